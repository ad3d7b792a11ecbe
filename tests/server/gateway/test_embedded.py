"""The gateway as a part of `flowgram serve`, and as a process of its own."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs
from support.gateway import EventStream
from support.scripted_server import ScriptedServer
from support.workflows import ECHO, ENDLESS

from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoResponse
from flowgram_server.address import address_of
from flowgram_server.app import ListenError, Server, serve
from flowgram_server.gateway.embedded import bind_embedded
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings
from flowgram_server.stop_signals import StopSignals


@pytest.fixture
def taken() -> Any:
    """An address that something else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield address_of(listener)


def settings_for(data: Path, **flags: Any) -> Settings:
    return load_settings(
        flags={"listen": "127.0.0.1:0", "data": data, "access_log": False, "shutdown_grace": 0.2, **flags}
    )


async def ask(url: str) -> Any:
    """The JSON that is answered."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        return (await http.get(url)).json()


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[dict[str, Any]]:
    """A command that serves in a process of its own; the line that says where."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWGRAM_")}
    environment["FLOWGRAM_METRICS_LISTEN"] = ""  # others may run at the default address
    command = (sys.executable, "-m", "flowgram_server.cli", *arguments, "--log-format", "json")
    running = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=environment)
    assert running.stderr is not None
    try:
        while (line := json.loads(await running.stderr.readline()))["event"] != "serving":
            pass
        yield line
    finally:
        running.terminate()
        _, rest = await running.communicate()
    assert running.returncode == 0
    assert json.loads(rest.splitlines()[-1])["event"] == "stopped"


async def test_serve_starts_it_too(tmp_path: Path) -> None:
    """One command serves gRPC and REST, over the same tasks, and ends both."""
    flags = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", str(tmp_path))
    async with process("serve", *flags) as line, httpx2.AsyncClient(trust_env=False) as http:
        url = f"http://{line['http']}/api"
        body = {"schema": ECHO, "inputs": {"text": "hi"}}
        task_id = (await http.post(f"{url}/task/run", json=body)).json()["taskID"]
        events = (await http.get(f"{url}/task/watch", params={"taskID": task_id})).text
        assert events.count("\nid: ") == 4
        result = await http.get(f"{url}/task/result", params={"taskID": task_id})
        assert result.json() == {"text": "hi"}


async def test_no_proxy_stands_between_the_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under whatever name the server listens, its gateway finds it in its own process."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    place = ("--listen", "LocalHost:0", "--http", "127.0.0.1:0", "--data", str(tmp_path))
    async with process("serve", *place) as line:
        assert (await ask(f"http://{line['http']}/api/info"))["name"] == "flowgram-server"


async def test_serve_without_it(tmp_path: Path) -> None:
    """`--no-http` leaves it out."""
    async with process("serve", "--listen", "127.0.0.1:0", "--no-http", "--data", str(tmp_path)) as line:
        assert line["http"] is None


async def test_the_gateway_alone(scripted: ScriptedServer) -> None:
    """It speaks to the server that it was pointed to."""
    scripted.on("ServerInfo", ServerInfoResponse(name="elsewhere"))
    metadata = ("--metadata", "authorization=key")
    async with process("gateway", "--target", scripted.target, "--listen", "127.0.0.1:0", *metadata) as line:
        assert (await ask(f"http://{line['http']}/api/info"))["name"] == "elsewhere"
    assert scripted.servicer.metadata[0]["authorization"] == "key"


async def test_an_address_that_was_asked_for_is_taken(tmp_path: Path, taken: str) -> None:
    """The server does not start without the gateway that somebody wants, and says why before it touches anything."""
    with pytest.raises(
        ListenError, match=f"cannot listen on {taken} for HTTP: another program listens there"
    ):
        await serve(settings_for(tmp_path / "data", http_listen=taken), StopSignals())
    assert not (tmp_path / "data").exists()


def test_the_default_address_is_taken(taken: str) -> None:
    """Nobody asked for it: the server goes on without a gateway, and says so, and how to have one."""
    settings = Settings.model_construct(set(), http_listen=taken)
    with capture_logs() as logs:
        assert bind_embedded(settings) is None
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("no REST gateway", "warning")
    assert line["reason"] == f"cannot listen on {taken} for HTTP: another program listens there"
    assert "--http" in line["hint"]


async def test_watches_end_when_the_server_drains(tmp_path: Path) -> None:
    """Their tasks go on after the restart, and so can they; the gateway ends with the server."""
    settings = settings_for(tmp_path, http_listen="127.0.0.1:0", code={"workers": 1})
    stops = StopSignals()
    ready = asyncio.Event()

    async def on_ready(_: Server) -> None:
        ready.set()

    with capture_logs() as logs:
        serving = asyncio.create_task(serve(settings, stops, on_ready))
        await ready.wait()
    address = next(line["http"] for line in logs if line["event"] == "serving")
    async with httpx2.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=30) as http:
        body = {"schema": ENDLESS, "inputs": {}}
        task_id = (await http.post("/api/task/run", json=body)).json()["taskID"]
        async with http.stream("GET", "/api/task/watch", params={"taskID": task_id}) as answer:
            events = EventStream(answer)
            await events.until("node_status_changed", nodeID="code_0")
            stops.stop()
            assert await events.rest() == []
        await serving
        with pytest.raises(httpx2.ConnectError):
            await http.get("/api/info")


async def test_probes(tmp_path: Path) -> None:
    """Orchestrators may ask the REST port, without credentials."""
    flags = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", str(tmp_path))
    async with process("serve", *flags) as line, httpx2.AsyncClient(trust_env=False) as http:
        for path in ("/healthz", "/readyz"):
            answer = await http.get(f"http://{line['http']}{path}")
            assert (answer.status_code, answer.text) == (200, "ok\n")
