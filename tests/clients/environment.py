"""What surrounds a client in a scenario: the real server, in a process that can be killed, and what its tasks wait for."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import grpc
from support.ports import lasting_port
from support.raw_http import RawServer, Received, response
from support.workflows import END, START, chain, node

PROGRAM = """
import sys
from pathlib import Path
from flowgram_server.app import run
from flowgram_server.settings.loading import load_settings
flags = {"listen": sys.argv[1], "data": Path(sys.argv[2]), "access_log": False, "http": {"trust_env": False}}
if sys.argv[3]:
    temporal = {"address": sys.argv[3], "encryption_keys": {"test": "A" * 43 + "="}, "worker_grace": 0.5}
    temporal |= {"heartbeat_timeout": 2.0, "sticky_timeout": 0.5}  # how long a killed worker is waited for
    flags |= {"runtime": "temporal", "with_worker": True, "temporal": temporal}
run(load_settings(flags={**flags, "code": {"workers": 1}, "shutdown_grace": 0.5, "http_listen": ""}))
"""
_START_SECONDS = 60
_REACHED_SECONDS = 15


class ServerProcess:
    """The real server on a port that stays the same, with a journal that outlives it; or on a Temporal cluster.

    Attributes:
        target: Where it listens.
        temporal: The address of the cluster; empty: it is on its own.
        largest_value: About how many bytes of text one output may have.
    """

    def __init__(self, data: Path, temporal: str = "") -> None:
        self._data = data
        self.temporal = temporal
        self.largest_value = 320 * 1024 if temporal else 15 * 1024 * 1024
        self._log = data / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.target = f"127.0.0.1:{lasting_port()}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWGRAM_")}
        environment["FLOWGRAM_METRICS_LISTEN"] = ""  # others may run at the default address
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, self.target, self._data / "journal", self.temporal],
                stdout=log,
                stderr=log,
                env=environment,
            )
        with grpc.insecure_channel(self.target, (("grpc.enable_http_proxy", 0),)) as channel:
            grpc.channel_ready_future(channel).result(timeout=_START_SECONDS)
        assert self._process.poll() is None, self.log

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(_START_SECONDS)
        self._process = None

    def kill(self) -> None:
        """Ends it as a crash does."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """Ends it as an operator does."""
        self._end(signal.SIGTERM)

    def ensure_started(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self.start()

    def close(self) -> None:
        if self._process is not None:
            self.kill()


class Gate:
    """A web server that holds the http nodes of tasks back until they are released."""

    def __init__(self) -> None:
        self._server = RawServer(self._respond)
        self._requests: defaultdict[str, int] = defaultdict(int)
        self._came = asyncio.Condition()
        self._released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._bodies: dict[str, bytes] = {}

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        for event in self._released.values():
            event.set()
        await self._server.__aexit__(*failure)

    async def _respond(self, received: Received) -> bytes:
        name = received.target.removeprefix("/")
        async with self._came:
            self._requests[name] += 1
            self._came.notify_all()
        await self._released[name].wait()
        return response(self._bodies.get(name, b"open"))

    def url(self, name: str) -> str:
        return f"{self._server.url}/{name}"

    async def reached(self, name: str, times: int = 1) -> None:
        """Returns when a task, or so many, wait at the gate, within a short bound."""
        async with asyncio.timeout(_REACHED_SECONDS), self._came:
            await self._came.wait_for(lambda: self._requests[name] >= times)

    def release(self, name: str, body: bytes = b"open") -> None:
        """Lets every task pass, now and from now on."""
        self._bodies[name] = body
        self._released[name].set()


def http_node(node_id: str, url: str) -> dict[str, object]:
    """A node that asks for a URL."""
    empty = {"type": "object", "properties": {}}
    return node(
        node_id,
        "http",
        api={"method": "GET", "url": {"type": "template", "content": url}},
        headers=empty,
        headersValues={},
        params=empty,
        paramsValues={},
        body={"bodyType": "none"},
        timeout={"timeout": 600_000, "retryTimes": 1},
        outputs={
            "type": "object",
            "properties": {"body": {"type": "string"}, "statusCode": {"type": "integer"}},
        },
    )


class Environment:
    """The server and the gate.

    Attributes:
        server: Runs when a scenario begins.
        gate: Holds tasks back.
    """

    def __init__(self, server: ServerProcess, gate: Gate) -> None:
        self.server = server
        self.gate = gate

    def gated(self, name: str) -> str:
        """The schema of a workflow that waits at the gate, and gives its input `text` back."""
        return chain(START, http_node("http_0", self.gate.url(name)), END)


@asynccontextmanager
async def environment_around(server: ServerProcess) -> AsyncIterator[Environment]:
    """The environment of one scenario; the server is left running."""
    await asyncio.to_thread(server.ensure_started)
    async with Gate() as gate:
        yield Environment(server, gate)
