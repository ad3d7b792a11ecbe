"""What the commands import: the packages of the server, and of displays, take longer than all that a command does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = str(Path(__file__).parents[3] / "examples" / "order_triage.json")
SERVER = frozenset(
    {"fastapi", "openai", "pycurl", "pydantic", "sqlite3", "starlette", "structlog", "uvicorn"}
)
CLIENT = frozenset({"asyncio", "flowgram_client", "google.protobuf", "grpc"})
DISPLAY = frozenset({"rich"})
ASYNC_CLIENT = frozenset({"flowgram_client._async"})

_PROGRAM = """
import json, os, sys
from flowgram_server.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(*arguments: str) -> frozenset[str]:
    """The modules that a command has imported when it is done, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    return frozenset(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("no-such-command",)])
def test_help_needs_no_client(arguments: tuple[str, ...]) -> None:
    """`flowgram --help` names all commands without importing any."""
    modules = imported(*arguments)
    assert "click" in modules
    assert not modules & (SERVER | CLIENT | DISPLAY)


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", EXAMPLE, "--target", "127.0.0.1:1"),
        ("list", "--target", "127.0.0.1:1"),
        ("run", EXAMPLE, "--target", "127.0.0.1:1"),
    ],
)
def test_client_commands_need_no_server_and_no_display(arguments: tuple[str, ...]) -> None:
    """A command that asks a server, with its output in a pipe, imports gRPC and the client for threads, and no more."""
    modules = imported(*arguments)
    assert {"grpc", "flowgram_client._sync"} <= modules
    assert not modules & (SERVER | DISPLAY | ASYNC_CLIENT)


def test_the_server_starts_without_what_only_calls_need() -> None:
    """The openai package takes longer to import than the rest of the server, and few servers check tokens or certificates.

    What the REST gateway needs is imported once the server listens for gRPC.
    """
    modules = imported("serve", "--help")
    assert "flowgram_core.nodes.llm.node" in modules
    on_demand = {
        "openai",
        "temporalio",
        "flowgram_core.nodes.llm.package_client",
        "flowgram_client",
        "fastapi",
    }
    assert not modules & (on_demand | {"jwt", "cryptography.x509", "opentelemetry", "prometheus_client"})
