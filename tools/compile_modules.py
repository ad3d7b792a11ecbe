"""Compiles the modules of tools/compiled_modules.txt with mypyc, where they are not compiled already as they are.

    python tools/compile_modules.py [--optional]

It takes a C compiler and Python's headers, and a minute or two. With --optional it is no error where it cannot be done, unless CI=true:
the service then runs as Python. `flowgram_core.compiled` says when compiled modules are used.
"""

# ruff: noqa: INP001, T201  a script that talks to its user

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from flowgram_core import compiled

_TOOLS = Path(__file__).parent
_BUILD = _TOOLS.parent / "build" / "compiled"
_MESSAGES = "setup.log"
_CORE = (
    "flowgram_core.engine.",
    "flowgram_core.modeling.",
    "flowgram_core.nodes.condition.",
    "flowgram_server.",
)
"""Beginnings of names: the modules that call each other most, in one library. There are two, which are compiled side by side."""
_FLAGS = "-fcommon -fno-semantic-interposition -fvisibility=hidden"
"""One C file per module compiles in two thirds of the time of one per library. Each defines the library's table of exports, which are to be
one; and the compiler may know that nobody replaces a library's functions.
"""
_SETUP = """
import json, sys
from setuptools import setup
from mypyc.build import mypycify

groups = json.loads(sys.argv[1])
options = ["--config-file=", "--cache-dir=../mypy_cache", "--follow-imports=silent", "--ignore-missing-imports"]
sources = [source for group, _ in groups for source in group]
separate = [tuple(group) for group in groups]
extensions = mypycify([*options, *sources], opt_level="2", debug_level="0", multi_file=True, separate=separate)
build = ["build_ext", "--parallel", "2", "--build-lib", "built", "--build-temp", "objects"]
setup(name="flowgram", ext_modules=extensions, script_args=build)
"""


def modules() -> list[str]:
    """The names of the modules."""
    lines = (_TOOLS / "compiled_modules.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def lacking() -> str | None:
    """What a machine lacks for compiling, in words; None if nothing."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None and shutil.which("cc") is None:
        return f"there is no C compiler ({compiler})"
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return None if headers.exists() else f"there are no headers of Python ({headers}; Debian: python3-dev)"


def compile_modules(names: list[str]) -> None:
    """Compiles modules into the folder in which they are looked for, in place of what is there.

    Raises:
        subprocess.CalledProcessError: It failed; what the compilers say is in the log in the build folder.
    """
    digest = compiled.digest_of(names)
    shutil.rmtree(_BUILD, ignore_errors=True)
    _BUILD.mkdir(parents=True)
    root = _TOOLS.parent
    packages = ("runtime", "server", "clients/python")
    environment = os.environ | {
        "MYPYPATH": os.pathsep.join(str(root / each) for each in packages),
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} {_FLAGS}",
    }
    first = [name for name in names if name.startswith(_CORE)]
    groups = (first, [name for name in names if name not in first])
    sources = [[str(compiled.source_of(name)) for name in group] for group in groups]
    libraries = [name.removesuffix("__mypyc") for name in compiled.LIBRARIES]
    # A process of its own: setuptools and mypyc take over more than one wants here.
    command = [sys.executable, "-c", _SETUP, json.dumps([*zip(sources, libraries, strict=True)])]
    with (_BUILD / _MESSAGES).open("w") as log:
        subprocess.run(  # noqa: S603 - this interpreter, and sources of this project
            command, cwd=_BUILD, env=environment, stdout=log, stderr=log, check=True
        )
    built = _BUILD / "built"
    fresh = _BUILD / "fresh"
    fresh.mkdir()
    for file in built.rglob(f"*{compiled.SUFFIX}"):
        file.rename(fresh / ".".join(file.relative_to(built).parts))
    compiled.write_manifest(fresh, names, digest)
    shutil.rmtree(compiled.FOLDER, ignore_errors=True)
    fresh.rename(compiled.FOLDER)


def main() -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--optional", action="store_true", help="do without where compiling is not possible")
    arguments = parser.parse_args()
    names = modules()
    if list(compiled.compiled_names()) == names:
        return 0
    if (missing := lacking()) is not None:
        print(f"Nothing is compiled: {missing}. The service runs as Python.", file=sys.stderr)
        return 0 if arguments.optional and os.environ.get("CI") != "true" else 1
    print("Compiling modules (once, until they change; a minute or two)", file=sys.stderr)
    try:
        compile_modules(names)
    except subprocess.CalledProcessError:
        print((_BUILD / _MESSAGES).read_text()[-2000:], file=sys.stderr)
        print(f"Compiling failed; all that was said is in {_BUILD / _MESSAGES}", file=sys.stderr)
        return 0 if arguments.optional and os.environ.get("CI") != "true" else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
