"""The programs of the clients in Go and TypeScript, built for tests: the runner of a client, and its gateway."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from support.toolchains import build, require

ROOT = Path(__file__).parents[2]
GO_MODULE = ROOT / "clients" / "go"
JS_PACKAGE = ROOT / "clients" / "js"


class Programs(NamedTuple):
    """Command lines, without their arguments."""

    runner: tuple[str, ...]
    gateway: tuple[str, ...]


def go_command() -> str:
    """The Go command, with the modules that the client needs. Without a network the test is skipped, unless CI=true."""
    command = require("go")
    done = subprocess.run(
        [command, "mod", "download"], cwd=GO_MODULE, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip("the modules that the client needs cannot be downloaded")
    return command


def go_programs(folder: Path) -> Programs:
    """Those in Go, built into a folder."""
    build(go_command(), "build", "-o", f"{folder}/", "./internal/contract", "./cmd/gateway", cwd=GO_MODULE)
    return Programs((str(folder / "contract"),), (str(folder / "gateway"),))


def js_programs() -> Programs:
    """Those in TypeScript, built where they are."""
    node = require("node")
    require("npm")
    build(str(ROOT / "tools/build_js.sh"), cwd=ROOT)
    if not (JS_PACKAGE / "node_modules/.stamp").exists():
        pytest.skip(
            "the packages that the client needs cannot be installed"
        )  # build fails instead if CI=true
    dist = JS_PACKAGE / "dist"
    return Programs((node, str(dist / "test/contract.js")), (node, str(dist / "gateway/main.js")))
