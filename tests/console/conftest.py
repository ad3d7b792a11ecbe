"""The console in a real browser, before a server in a process of its own and the development model."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from support.toolchains import require

from flowgram_server.address import address_of, bind
from flowgram_server.fake_openai import FakeOpenAI
from flowgram_server.gateway.console import BUNDLE

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ROOT / "console/node_modules"

_WORD_DELAY = 0.4
"""Seconds before each word of the model, so that there is something to see."""


def _miss(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and CI=true requires it")
    pytest.skip(what)


@pytest.fixture(scope="session")
def packages() -> Path:
    """The Node packages of the console."""
    if not (PACKAGES / ".stamp").is_file():
        _miss("the packages of the console are not installed: make console")
    return PACKAGES


@pytest.fixture(scope="session")
def chromium(packages: Path) -> str:
    """A browser."""
    require("node")
    if not (BUNDLE / "index.html").is_file():
        _miss("the console is not built: make console")
    return require("chromium")


class ServerProcess:
    """A server that can be killed and started again, at the same addresses and with the same data.

    Args:
        data: Its data directory.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._process: Process | None = None
        with bind("127.0.0.1:0") as one, bind("127.0.0.1:0") as other:
            self._grpc, self._http = address_of(one), address_of(other)
        self.url = f"http://{self._http}"

    async def start(self) -> None:
        """Starts it, and waits until it serves."""
        options = ("--listen", self._grpc, "--http", self._http, "--data", str(self._data))
        command = (sys.executable, "-m", "flowgram_server.cli", "serve", *options, "--log-format", "json")
        self._process = await asyncio.create_subprocess_exec(*command, stderr=PIPE)
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            if json.loads(line)["event"] == "serving":
                return
        raise AssertionError("the server ended before it served")

    @property
    def serves(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def kill(self) -> None:
        """Ends it at once, without a word."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


Play = Callable[..., Awaitable[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def play(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Play]:
    """Plays a scenario of a file in a browser before a server that all scenarios share; fails with what it says."""
    server = ServerProcess(tmp_path_factory.mktemp("console") / "data")
    failures = os.environ.get("BROWSER_PICTURES", "")

    async def play(file: Path, name: str, pictures: Path | None = None) -> None:
        browser_settings = {
            "chromium": chromium,
            "url": server.url,
            "model": model.base_url,
            "pictures": str(pictures or failures),
        }
        if not server.serves:
            await server.start()  # a scenario that failed may have left it killed
        command = ("node", str(Path(__file__).with_name("browser.mjs")), str(file), name)
        environment = {**os.environ, "WORLD": json.dumps(browser_settings)}
        browser = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment)
        assert browser.stdin is not None
        assert browser.stdout is not None
        said: list[str] = []
        try:
            async for line in browser.stdout:
                match line.decode().split():
                    case ["ask", "kill"]:
                        await server.kill()
                        browser.stdin.write(b"true\n")
                    case ["ask", "start"]:
                        await server.start()
                        browser.stdin.write(b"true\n")
                    case _:
                        said.append(line.decode())
        finally:
            if browser.returncode is None and not browser.stdout.at_eof():
                browser.kill()
            await browser.wait()
        assert browser.returncode == 0, "".join(said)

    async with FakeOpenAI(delay=_WORD_DELAY) as model:
        await server.start()
        try:
            yield play
        finally:
            await server.kill()
