"""Generates the Python code of the protos: messages, stubs and their types, with the protos themselves beside them.

    python tools/generate.py            writes clients/python/flowgram anew
    python tools/generate.py --check    fails where that would change a file, and changes nothing

Generated code runs with its generator's version of gRPC and Protocol Buffers and everything newer, so the generator is
the oldest version that is supported. It lives in an environment of its own, made once inside of .venv, because it does
not get along with the newest versions.
"""

# ruff: noqa: INP001, T201, S603  a script that talks to its user and starts the tools it names

import argparse
import difflib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
OUTPUT = ROOT / "clients" / "python" / "flowgram"
ENVIRONMENT = ROOT / ".venv" / "generate"

# mypy-protobuf types the gRPC stubs only; protoc itself types the messages.
REQUIREMENTS = (
    "grpcio-tools==1.72.2",
    "grpcio==1.72.2",
    "protobuf==6.33.6",
    "setuptools==80.9.0",
    "mypy-protobuf==5.1.0",
)
# The generator was built for these versions of Python, and never for newer ones.
PYTHONS = ((3, 11), (3, 12), (3, 13))

PACKAGE_DOCSTRING = '"""The messages and stubs of the package {package}: generated from its protos."""\n'


class GeneratorMissingError(Exception):
    """The generator could not be set up on this machine; the text says why."""


def find_python() -> str:
    """An interpreter that the generator was built for."""
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for major, minor in PYTHONS:
        if found := shutil.which(f"python{major}.{minor}"):
            return found
    raise GeneratorMissingError("it needs Python 3.11, 3.12 or 3.13")


def set_up_generator() -> Path:
    """The `bin` folder of the generator's environment, which is made if it is not there or not as it should be."""
    wanted = "\n".join(REQUIREMENTS)
    stamp = ENVIRONMENT / ".stamp"
    scripts = ENVIRONMENT / "bin"
    if stamp.exists() and stamp.read_text() == wanted:
        return scripts
    python = find_python()
    print(f"Setting up {ENVIRONMENT.relative_to(ROOT)} (once; needs a network)", file=sys.stderr)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    pip = [
        str(scripts / "python"),
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "install",
    ]
    try:
        subprocess.run([python, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([*pip, *REQUIREMENTS], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise GeneratorMissingError("its environment could not be installed") from error
    stamp.write_text(wanted)
    return scripts


def generate(scripts: Path, target: Path) -> None:
    """Writes the code of all protos below `target`, in folders that follow their packages."""
    protos = sorted(path.relative_to(PROTOS).as_posix() for path in (PROTOS / "flowgram").rglob("*.proto"))
    services = [proto for proto in protos if "\nservice " in (PROTOS / proto).read_text(encoding="utf-8")]
    protoc = [str(scripts / "python"), "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}"]
    messages = [f"--python_out={target}", f"--pyi_out={target}"]
    stubs = [
        f"--grpc_python_out={target}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--mypy_grpc_out=quiet:{target}",
    ]
    subprocess.run([*protoc, *messages, *protos], check=True)
    subprocess.run([*protoc, *stubs, *services], check=True)
    for proto in protos:  # users of the package generate code of their own from these
        shutil.copyfile(PROTOS / proto, target / proto)
    for folder in sorted({(target / proto).parent for proto in protos}):
        package = ".".join(folder.relative_to(target).parts)
        (folder / "__init__.py").write_text(PACKAGE_DOCSTRING.format(package=package), encoding="utf-8")
        (folder / "py.typed").touch()


def read_tree(folder: Path) -> dict[str, str]:
    """The texts of all generated files below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(wanted: dict[str, str], found: dict[str, str]) -> str:
    """A unified diff from what is there to what should be; empty if they are the same."""
    lines: list[str] = []
    for path in sorted(wanted.keys() | found.keys()):
        before, after = found.get(path), wanted.get(path)
        if before == after:
            continue
        name = f"{OUTPUT.relative_to(ROOT).as_posix()}/{path}"
        from_name = name if before is not None else "/dev/null"
        to_name = name if after is not None else "/dev/null"
        old, new = (before or "").splitlines(keepends=True), (after or "").splitlines(keepends=True)
        diff = list(difflib.unified_diff(old, new, from_name, to_name, n=1))
        lines.extend(diff or [f"{name} is {'missing' if before is None else 'not generated'}\n"])
    return "".join(lines)


def main() -> int:
    """The exit status: 0 if all is well."""
    parser = argparse.ArgumentParser(description="Generates the Python code of the protos.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file would change")
    check: bool = parser.parse_args().check
    try:
        scripts = set_up_generator()
    except GeneratorMissingError as error:
        required = not check or os.environ.get("CI") == "true"
        consequence = "failed" if required else "skipped"
        print(f"generate: {consequence}, {error}", file=sys.stderr)
        return int(required)
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary)
        generate(scripts, target)
        fresh = target / "flowgram"
        if check:
            diff = differences(read_tree(fresh), read_tree(OUTPUT))
            sys.stderr.write(f"{diff}generated code differs: run make generate\n" if diff else "")
            return int(bool(diff))
        shutil.rmtree(OUTPUT, ignore_errors=True)
        shutil.copytree(fresh, OUTPUT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
