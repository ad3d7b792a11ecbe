"""Batches of both clients, against the real server, through a restart."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.keys import add_key
from support.workflows import chain, node

import flowgram_client as fc
from flowgram_server.app import Server, open_server
from flowgram_server.auth.api_keys import change_keys
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings

OUTPUTS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ECHO = chain(
    node("start_0", "start", outputs=OUTPUTS),
    node("end_0", "end", inputs=OUTPUTS, inputsValues={"n": {"type": "ref", "content": ["start_0", "n"]}}),
)


def settings(data: Path, address: str = "127.0.0.1:0", **more: Any) -> Settings:
    return load_settings(flags={"listen": address, "data": data, "access_log": False, **more})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with open_server(settings(tmp_path)) as server:
        yield server


@pytest.fixture(params=["async", "sync"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def collect(kind: str, address: str, rows: Any, **options: Any) -> list[fc.BatchOutcome]:
    """All outcomes of a batch, by either client."""
    if kind == "async":
        async with fc.AsyncClient(address) as client:
            return [each async for each in client.run_batch(ECHO, rows, **options)]

    def run() -> list[fc.BatchOutcome]:
        with fc.Client(address) as client:
            return list(client.run_batch(ECHO, rows, **options))

    return await asyncio.to_thread(run)


async def test_every_row_has_its_outcome(kind: str, server: Server) -> None:
    """Of any iterable; in the order of the rows where that is asked for."""
    found = await collect(kind, server.address, ({"n": n} for n in range(1000)), ordered=True)
    assert [(each.index, each.outputs) for each in found] == [(n, {"n": n}) for n in range(1000)]
    found = await collect(kind, server.address, [json.dumps({"n": n}) for n in range(300)], max_in_flight=7)
    assert {each.index: each.outputs["n"] for each in found} == {n: n for n in range(300)}
    assert await collect(kind, server.address, []) == []


async def test_an_async_iterable_of_rows(server: Server) -> None:
    """Rows are taken as they come, also from one that waits for outcomes before it."""
    seen = asyncio.Event()

    async def rows() -> AsyncIterator[dict[str, int]]:
        yield {"n": 0}
        await seen.wait()
        yield {"n": 1}

    async with fc.AsyncClient(server.address) as client:
        async for outcome in client.run_batch(ECHO, rows()):
            seen.set()
            assert outcome.outputs == {"n": outcome.index}


async def test_a_refused_row_is_an_outcome(kind: str, server: Server) -> None:
    """It raises what `run` would raise where its outputs are asked for; the others run."""
    found = await collect(kind, server.address, [{"n": 1}, {"n": "x"}, {"n": 3}], ordered=True)
    assert [each.result is None for each in found] == [False, True, False]
    with pytest.raises(fc.InvalidWorkflowError, match="n"):
        _ = found[1].outputs
    assert found[2].outputs == {"n": 3}


async def test_the_same_batch_again(kind: str, server: Server) -> None:
    """Under one id no row is run twice."""
    first = await collect(kind, server.address, [{"n": n} for n in range(5)], batch_id="b", ordered=True)
    again = await collect(kind, server.address, [{"n": n} for n in range(5)], batch_id="b", ordered=True)
    assert [each.result and each.result.task_id for each in first] == [
        each.result and each.result.task_id for each in again
    ]


async def test_errors_of_the_rows_are_raised(kind: str, server: Server) -> None:
    """Where the caller iterates: what the iterable raises, and that a row is no JSON."""

    def rows() -> Iterator[dict[str, Any]]:
        yield {"n": 1}
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        await collect(kind, server.address, rows())
    with pytest.raises(fc.InvalidValueError, match=r"rows\[1\]"):
        await collect(kind, server.address, [{"n": 1}, {"n": float("nan")}])


async def test_a_bad_batch_is_refused(kind: str, server: Server) -> None:
    """A window that is out of its range at once; a schema that is not valid for each row."""
    with pytest.raises(fc.InvalidValueError, match="max_in_flight"):
        await collect(kind, server.address, [], max_in_flight=-1)


async def test_rows_beyond_the_limit_of_tasks_are_tried_again(kind: str, tmp_path: Path) -> None:
    """A full server refuses runs for now; each comes to its turn."""
    limited = settings(tmp_path, max_running_tasks=1, max_waiting_tasks=0)
    async with open_server(limited) as server:
        found = await collect(kind, server.address, ({"n": n} for n in range(20)), max_in_flight=4)
    assert sorted(each.outputs["n"] for each in found) == list(range(20))


async def test_a_batch_outlives_the_server(kind: str, tmp_path: Path) -> None:
    """The server is replaced in the middle; every row has one outcome, and no task ran twice."""
    half = asyncio.Event()
    replaced = asyncio.Event()
    loop = asyncio.get_running_loop()

    def rows() -> Iterator[dict[str, int]]:
        for n in range(400):
            if n == 200:
                loop.call_soon_threadsafe(half.set)
            yield {"n": n}

    async def async_rows() -> AsyncIterator[dict[str, int]]:
        for n in range(400):
            if n == 200:
                half.set()
                await replaced.wait()
            yield {"n": n}

    async with open_server(settings(tmp_path)) as server:
        address = server.address
        given: Any = async_rows() if kind == "async" else rows()
        running = asyncio.create_task(collect(kind, address, given, batch_id="b", max_in_flight=16))
        await half.wait()
        await server.drain(0)
    async with open_server(settings(tmp_path, address)), fc.AsyncClient(address) as client:
        replaced.set()
        found = await running
        assert sorted(each.index for each in found) == list(range(400))
        assert all(each.outputs == {"n": each.index} for each in found)
        tasks = [task.task_id async for task in client.list()]
        assert len(tasks) == 400


async def test_a_batch_goes_on_with_a_new_key(tmp_path: Path) -> None:
    """A key that is replaced in the middle ends the stream of the batch, which begins another one with the key of that moment."""
    file = tmp_path / "keys.json"
    keys = [add_key(file)[0][1].removeprefix("Bearer ")]
    seen, renewed = asyncio.Event(), asyncio.Event()

    def token() -> str:
        if len(keys) == 2:
            renewed.set()
        return keys[-1]

    async def rows() -> AsyncIterator[dict[str, int]]:
        yield {"n": 0}
        await seen.wait()
        change_keys(file, lambda _: [])
        keys.append(add_key(file)[0][1].removeprefix("Bearer "))
        await renewed.wait()
        yield {"n": 1}

    async with (
        open_server(settings(tmp_path / "data", auth={"api_keys_file": file})) as server,
        fc.AsyncClient(server.address, token=token) as client,
    ):
        found = []
        async for outcome in client.run_batch(ECHO, rows()):
            seen.set()
            found.append(outcome.outputs["n"])
    assert found == [0, 1]
