# ruff: noqa: INP001, S603, S607, T201 - a script that runs programs of the system, and prints what it does
"""Tries the image without a container daemon: runs the steps of the Dockerfile in a chroot of Debian, and the server in what they make.

    sudo .venv/bin/python tools/try_image.py [--work FOLDER] [--suite trixie]

It needs Linux, root, debootstrap, unshare and npm, and a network. What stands for the base images is said at the end: a Debian of
debootstrap with its Python, and Node from npm. The server is tried as a container would run it: as the image's user, without
capabilities, with a root that cannot be written to, and a network of its own.
"""

import argparse
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).parents[1]
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS: Final = 60.0
"""A bound of what is waited for."""


@dataclass
class Stage:
    """What one stage of the Dockerfile has made so far."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    folder: str = "/"
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, with lines that go on joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [
        (word, rest.strip())
        for line in joined.splitlines()
        if line.strip()
        for word, _, rest in [line.partition(" ")]
    ]


def inside(root: Path, *command: str, env: dict[str, str], folder: str = "/") -> None:
    """Runs a command of a build in a root, with the network and the certificates of this machine."""
    mounts = ["mount -t proc proc $root/proc", "mount --rbind /dev $root/dev"]
    for shared in ("/etc/resolv.conf", "/etc/ssl/certs", "/etc/pip.conf", "/root/.npmrc"):
        if Path(shared).exists():
            place = root / shared.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if Path(shared).is_dir():
                place.mkdir(exist_ok=True)
            else:
                place.touch()
            mounts.append(f"mount --bind {shared} $root{shared}")
    script = f'root=$1; folder=$2; shift 2; {"; ".join(mounts)}; exec chroot $root /bin/sh -c \'cd "$0" && exec "$@"\' $folder "$@"'
    wanted = re.compile(r"PIP_|NPM_|NODE_EXTRA|SSL_|.*_CA_|.*_proxy$", re.IGNORECASE)
    given = {name: value for name, value in os.environ.items() if wanted.match(name)}
    subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-eu", "-c", script, "sh", root, folder, *command],
        env={"HOME": "/root", **given, **env},
        check=True,
    )


class Build:
    """Runs the instructions of the Dockerfile.

    Args:
        work: The folder for what is made; a base that is there is used again.
        suite: The release of Debian.
    """

    def __init__(self, work: Path, suite: str) -> None:
        self._work = work
        self._suite = suite
        self._stages: dict[str, Stage] = {}
        self._arguments: dict[str, str] = {}
        self._context = work / "context"

    def run(self) -> Stage:
        """The last stage, once all have been built."""
        self._copy_context()
        stage = Stage(self._work)
        for word, rest in instructions((PROJECT / "Dockerfile").read_text(encoding="utf-8")):
            print(f"{word} {rest[:110]}", flush=True)
            if word == "ARG":
                name, _, value = rest.partition("=")
                self._arguments[name] = value
            elif word == "FROM":
                image, *name = rest.replace("${", "{").format_map(self._arguments).split(" AS ")
                stage = self._begin(image, len(self._stages))
                self._stages[name[0] if name else ""] = stage
            else:
                self._apply(stage, word, rest)
        return stage

    def _copy_context(self) -> None:
        """What git knows: the rest, such as builds, is in no context either."""
        shutil.rmtree(self._context, ignore_errors=True)
        self._context.mkdir(parents=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True
        ).stdout
        packed = subprocess.run(
            ["tar", "--create", "--null", "--files-from=-"],
            cwd=PROJECT,
            input=listed,
            capture_output=True,
            check=True,
        ).stdout
        subprocess.run(["tar", "--extract"], cwd=self._context, input=packed, check=True)

    def _begin(self, image: str, number: int) -> Stage:
        base = self._work / "base"
        if not (base / "usr/local/bin/python").is_symlink():
            shutil.rmtree(base, ignore_errors=True)
            packages = "--include=python3,python3-venv,ca-certificates"
            subprocess.run(["debootstrap", "--variant=minbase", packages, self._suite, base], check=True)
            (base / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        root = self._work / f"stage-{number}"
        subprocess.run(["rm", "-rf", root], check=True)
        subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
        if image.startswith("node:"):
            self._add_node(root, image.removeprefix("node:").partition("-")[0])
        return Stage(root)

    def _add_node(self, root: Path, version: str) -> None:
        """The Node of the image's version, from npm, and the npm of this machine."""
        package = self._work / "node"
        subprocess.run(["npm", "install", "--silent", "--prefix", package, f"node@{version}"], check=True)
        binary = next(package.glob("node_modules/node-*/bin/node"), package / "node_modules/node/bin/node")
        shutil.copy2(binary, root / "usr/local/bin/node")
        npm = Path(shutil.which("npm") or "/usr/bin/npm").resolve().parents[1]
        shutil.copytree(npm, root / "usr/local/lib/node_modules/npm", symlinks=True)
        (root / "usr/local/bin/npm").symlink_to("/usr/local/lib/node_modules/npm/bin/npm-cli.js")

    def _apply(self, stage: Stage, word: str, rest: str) -> None:
        match word:
            case "RUN":
                inside(stage.root, "/bin/sh", "-c", rest, env=stage.env, folder=stage.folder)
            case "COPY":
                self._copy(stage, rest)
            case "WORKDIR":
                stage.folder = os.path.normpath(f"{stage.folder}/{rest}" if rest[0] != "/" else rest)
                stage.root.joinpath(stage.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "ENV":
                for name, value in re.findall(r"(\w+)=(\S+)", rest):
                    stage.env[name] = re.sub(r"\$(\w+)", lambda found: stage.env.get(found[1], ""), value)
            case "USER":
                stage.user = rest
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.command = json.loads(rest)
            case "HEALTHCHECK":
                stage.healthcheck = json.loads(rest.partition(" CMD ")[2])
            case "LABEL" | "VOLUME" | "EXPOSE" | "STOPSIGNAL":
                pass  # nothing is made by them
            case _:
                raise SystemExit(f"try_image: {word} is not known here")

    def _copy(self, stage: Stage, rest: str) -> None:
        source_root = self._context
        if found := re.match(r"--from=(\w+) ", rest):
            source_root = self._stages[found[1]].root
            rest = rest[found.end() :]
        *sources, target = rest.split()
        place = stage.root / str(Path(stage.folder, target)).lstrip("/")
        for each in sources:
            source = source_root / each.lstrip("/")
            if source.is_dir():
                shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
            else:
                into = target.endswith("/") or len(sources) > 1
                place.parent.mkdir(parents=True, exist_ok=True)
                if into:
                    place.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, place / source.name if into else place)


class Trial:
    """Runs the server of an image as a container would. It must be alone in its namespaces: see `main`.

    Args:
        image: What was built.
        work: The folder for data, keys and certificates.
    """

    def __init__(self, image: Stage, work: Path) -> None:
        self._image = image
        self._data = work / "data"
        self._settings = work / "settings"

    def run(self) -> None:
        """Ends with `SystemExit` where something is not as it should be."""
        self._prepare()
        refused = self._start({})
        said = refused.communicate(timeout=SECONDS)[1]
        check("it does not start open beyond loopback", refused.returncode != 0 and "takes TLS" in said, said)
        server = self._start(
            {
                "FLOWGRAM_TLS__CERT_FILE": "/etc/flowgram/tls.crt",
                "FLOWGRAM_TLS__KEY_FILE": "/etc/flowgram/tls.key",
                "FLOWGRAM_AUTH__API_KEYS_FILE": "/etc/flowgram/keys",
            }
        )
        try:
            self._use(server)
            server.send_signal(signal.SIGTERM)
            said = server.communicate(timeout=SECONDS)[1]
            check("SIGTERM drains and ends it", server.returncode == 0, said)
        except SystemExit:
            server.kill()
            print(f"The log of the server:\n{server.communicate()[1]}", file=sys.stderr)
            raise
        journal = self._data / "journal.sqlite3"
        found = journal.stat()
        check(
            "the journal is the user's alone", (found.st_uid, stat.S_IMODE(found.st_mode)) == (10001, 0o600)
        )

    def _use(self, server: "subprocess.Popen[str]") -> None:
        until = time.monotonic() + SECONDS
        while self._execute(*self._image.healthcheck).returncode != 0:
            if server.poll() is not None or time.monotonic() > until:
                server.kill()
                check("its health check succeeds", passed=False, found=server.communicate()[1])
            time.sleep(0.2)
        check("its health check succeeds", passed=True)
        key = (self._settings / "key").read_text().strip()
        flags = ("--target", "127.0.0.1:50051", "--tls-ca", "/etc/flowgram/tls.crt")
        ran = self._execute(
            "flowgram", "run", "--quiet", "/etc/flowgram/echo.json", *flags, FLOWGRAM_TOKEN=key
        )
        check("it runs a workflow with a code node", ran.returncode == 0 and '"HI"' in ran.stdout, ran.stderr)
        stranger = self._execute("flowgram", "list", *flags)
        check("it asks for credentials", stranger.returncode != 0, stranger.stdout)
        page = self._execute("python", "-c", _PAGE)
        check("the console is inside", "<title>FlowGram" in page.stdout, page.stdout[:500] + page.stderr)
        written = self._execute("python", "-c", "open('/written', 'w')")
        check("its root cannot be written to", "Read-only" in written.stderr, written.stderr)
        status = self._execute("python", "-c", "print(open('/proc/self/status').read())").stdout
        fields = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.MULTILINE))
        bare = {name: fields[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Uid")}
        check("it has no capabilities, and is no root", _is_bare(bare), str(bare))
        tools = self._execute(
            "sh", "-c", "command -v pip npm node gcc cc make git curl wget; python -m pip --version"
        )
        check("it holds no compiler, pip or Node", tools.returncode != 0 and not tools.stdout, tools.stdout)

    def _prepare(self) -> None:
        for folder in (self._data, self._settings):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        os.chown(self._data, 10001, 10001)
        self._data.chmod(0o700)
        root = self._image.root
        (root / "etc/flowgram").mkdir(exist_ok=True)
        run("ip", "link", "set", "lo", "up")
        run("mount", "--bind", root, root)
        run("mount", "-t", "tmpfs", "tmpfs", root / "tmp")
        run("mount", "-t", "proc", "proc", root / "proc")
        run("mount", "-t", "tmpfs", "tmpfs", root / "dev")
        for device in ("null", "zero", "urandom", "random"):
            (root / "dev" / device).touch()
            run("mount", "--bind", f"/dev/{device}", root / "dev" / device)
        run("mount", "--bind", self._settings, root / "etc/flowgram")
        run("mount", "--bind", self._data, root / "var/lib/flowgram")
        run("mount", "-o", "remount,bind,ro", root)
        run(
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", self._settings / "tls.key", "-out", self._settings / "tls.crt"),
        )
        created = subprocess.run(
            ["chroot", root, "/opt/flowgram/bin/flowgram", "key", "create", "--file", "/etc/flowgram/keys"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        (self._settings / "key").write_text(re.search(r"fgk_\w+", created)[0])  # type: ignore[index]  # it prints one
        (self._settings / "echo.json").write_text(json.dumps(_WORKFLOW))
        for path in self._settings.iterdir():
            os.chown(path, 10001, 10001)

    def _command(self, command: Sequence[str], more: dict[str, str]) -> list[str]:
        image = self._image
        user, group = image.user.split(":")
        env = [f"{name}={value}" for name, value in (image.env | more).items()]
        return [
            *("chroot", str(image.root), "setpriv", "--reuid", user, "--regid", group, "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
            *("env", "-i", f"--chdir={image.folder}", *env, *command),
        ]

    def _start(self, more: dict[str, str]) -> "subprocess.Popen[str]":
        command = self._command([*self._image.entrypoint, *self._image.command], more)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _execute(self, *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._command(command, more), capture_output=True, text=True, check=False, timeout=SECONDS
        )


_PAGE: Final = """
import ssl, urllib.request as r
context = ssl.create_default_context(cafile="/etc/flowgram/tls.crt")
print(r.build_opener(r.ProxyHandler({}), r.HTTPSHandler(context=context)).open("https://127.0.0.1:4000/").read().decode())
"""

_TEXT: Final = {"type": "object", "properties": {"text": {"type": "string"}}}


def _node(node_id: str, node_type: str, **data: Any) -> dict[str, Any]:
    return {"id": node_id, "type": node_type, "meta": {"position": {"x": 0, "y": 0}}, "data": data}


def _text_of(node_id: str) -> dict[str, Any]:
    return {"inputs": _TEXT, "inputsValues": {"text": {"type": "ref", "content": [node_id, "text"]}}}


_SCRIPT: Final = "async function main({ params }) { return { text: params.text.toUpperCase() }; }"
_WORKFLOW: Final = {
    "schema": {
        "nodes": [
            _node("start_0", "start", outputs=_TEXT),
            _node(
                "code_0",
                "code",
                script={"language": "javascript", "content": _SCRIPT},
                outputs=_TEXT,
                **_text_of("start_0"),
            ),
            _node("end_0", "end", **_text_of("code_0")),
        ],
        "edges": [
            {"sourceNodeID": "start_0", "targetNodeID": "code_0"},
            {"sourceNodeID": "code_0", "targetNodeID": "end_0"},
        ],
    },
    "inputs": {"text": "hi"},
}


def _is_bare(fields: dict[str, str]) -> bool:
    capabilities = [value for name, value in fields.items() if name.startswith("Cap")]
    return (
        not any(int(each, 16) for each in capabilities)
        and fields["NoNewPrivs"] == "1"
        and "10001" in fields["Uid"]
    )


def run(*command: str | Path) -> None:
    """Runs a program that must succeed."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check(what: str, passed: bool, found: str = "") -> None:
    """Prints that something is as it should be; ends the trial where it is not."""
    if not passed:
        raise SystemExit(f"try_image: not so: {what}\n{found}")
    print(f"  ok: {what}", flush=True)


def main() -> None:
    """Builds, and starts itself again in namespaces of its own for the trial."""
    parser = argparse.ArgumentParser(description="Try the image without a container daemon.")
    parser.add_argument("--work", type=Path, default=PROJECT / "build/image")
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--trial", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = options.work.resolve()
    if options.trial is not None:
        made = json.loads(options.trial.read_text(encoding="utf-8"))
        Trial(Stage(**{**made, "root": Path(made["root"])}), work).run()
        return
    missing = [
        tool
        for tool in ("debootstrap", "unshare", "setpriv", "npm", "openssl", "ip")
        if not shutil.which(tool)
    ]
    if missing or os.geteuid() != 0:
        raise SystemExit(f"try_image: needs root{''.join(f', {tool}' for tool in missing)}")
    work.mkdir(parents=True, exist_ok=True)
    image = Build(work, options.suite).run()
    made = work / "image.json"
    made.write_text(json.dumps({**vars(image), "root": str(image.root)}))
    size = subprocess.run(
        ["du", "-sm", image.root / "opt/flowgram"], capture_output=True, text=True, check=True
    ).stdout
    print(f"built: {size.split()[0]} MB in /opt/flowgram; the server is tried", flush=True)
    namespaces = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"]
    command = [*namespaces, sys.executable, Path(__file__), "--work", work, "--trial", made]
    raise SystemExit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
