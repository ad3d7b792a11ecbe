"""Both clients against the real server, through a restart."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import flowgram_client as fc
from flowgram_server.app import open_server
from flowgram_server.fake_openai import FakeOpenAI
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings


def workflow(api_host: str) -> dict[str, Any]:
    """Start, a model that is asked, end."""
    constants = {
        "modelName": "m",
        "apiKey": "sk-test",
        "apiHost": api_host,
        "temperature": 0,
        "prompt": "Grüße 🌍",
    }
    types = {"temperature": "number"}
    inputs = {name: {"type": types.get(name, "string")} for name in constants}
    meta = {"position": {"x": 0, "y": 0}}
    big = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    return {
        "nodes": [
            {"id": "start_0", "type": "start", "meta": meta, "data": {"outputs": big}},
            {
                "id": "llm_0",
                "type": "llm",
                "meta": meta,
                "data": {
                    "inputs": {"type": "object", "properties": inputs},
                    "inputsValues": {k: {"type": "constant", "content": v} for k, v in constants.items()},
                    "outputs": {"type": "object", "properties": {"result": {"type": "string"}}},
                },
            },
            {
                "id": "end_0",
                "type": "end",
                "meta": meta,
                "data": {
                    "inputs": {
                        "type": "object",
                        "properties": {"answer": {"type": "string"}, "n": {"type": "integer"}},
                    },
                    "inputsValues": {
                        "answer": {"type": "ref", "content": ["llm_0", "result"]},
                        "n": {"type": "ref", "content": ["start_0", "n"]},
                    },
                },
            },
        ],
        "edges": [
            {"sourceNodeID": "start_0", "targetNodeID": "llm_0"},
            {"sourceNodeID": "llm_0", "targetNodeID": "end_0"},
        ],
    }


N = 2**53 + 1
OUTPUTS = {"answer": "You said: Grüße 🌍", "n": N}


def settings(data: Path, address: str = "127.0.0.1:0") -> Settings:
    return load_settings(flags={"listen": address, "data": data, "access_log": False})


async def test_a_watch_outlives_the_server(tmp_path: Path) -> None:
    """The server goes away while a node runs; both clients see every event once, and the outcome."""
    watching = asyncio.Event()
    sequences: list[int] = []

    async def follow(client: fc.AsyncClient, task_id: str) -> None:
        async for event in client.watch(task_id):
            sequences.append(event.sequence)
            if isinstance(event, fc.NodeStatusChanged) and event.node_id == "llm_0":
                watching.set()

    async with FakeOpenAI(delay=0.1) as model:
        async with open_server(settings(tmp_path)) as server:
            address = server.address
            client = fc.AsyncClient(address)
            blocking = fc.Client(address)
            task_id = await client.run(workflow(model.base_url), {"n": N})
            following = asyncio.create_task(follow(client, task_id))
            waiting = asyncio.create_task(client.result(task_id, wait=True))
            listing = asyncio.create_task(
                asyncio.to_thread(lambda: [event.sequence for event in blocking.watch(task_id)])
            )
            await watching.wait()
        async with open_server(settings(tmp_path, address)):
            await following
            assert (await waiting).outputs == OUTPUTS
            assert sequences == list(range(1, len(sequences) + 1))
            assert await listing == sequences
            report = await client.report(task_id)
            assert report.last_sequence == sequences[-1]
            assert report.nodes["end_0"].snapshots[0].outputs == OUTPUTS
            await client.close()
            await asyncio.to_thread(blocking.close)


async def test_errors_of_the_real_server(tmp_path: Path) -> None:
    """Each refusal is the exception that the tree draws for it."""
    async with open_server(settings(tmp_path)) as server, fc.AsyncClient(server.address) as client:
        with pytest.raises(fc.InvalidWorkflowError) as invalid:
            await client.run({"nodes": [{}], "edges": [{}]})
        assert invalid.value.reason == "SCHEMA_INVALID"
        assert len(invalid.value.violations) > 1
        assert (await client.validate({"nodes": [{}], "edges": [{}]})).violations == invalid.value.violations
        schema = workflow("http://127.0.0.1:1/v1")
        with pytest.raises(fc.InvalidWorkflowError) as invalid:
            await client.run(schema, {})
        assert invalid.value.reason == "INPUTS_INVALID"
        assert (await client.validate(schema, {"n": 1})).valid
        with pytest.raises(fc.TaskNotFoundError):
            await client.report("nope")
        with pytest.raises(fc.TaskNotFoundError):
            await anext(client.watch("nope"))
        task_id = await client.run(schema, {"n": 1}, request_id="r1", labels={"team": "x"})
        assert await client.run(schema, {"n": 1}, request_id="r1", labels={"team": "x"}) == task_id
        with pytest.raises(fc.AlreadyExistsError):
            await client.run(schema, {"n": 2}, request_id="r1")
        with pytest.raises(fc.SequenceOutOfRangeError):
            await anext(client.watch(task_id, after_sequence=1_000))
        with pytest.raises(fc.InvalidArgumentError):
            await anext(client.list(page_size=-1))
        assert [task.task_id async for task in client.list(labels={"team": "x"})] == [task_id]
        await client.cancel(task_id, reason="enough")
        result = await client.result(task_id, wait=True)
        assert result.terminated
        assert await client.cancel(task_id) is False


async def test_deltas(tmp_path: Path) -> None:
    """Text of the model comes as it is written, to those who ask for it."""
    async with (
        FakeOpenAI(delay=0.01) as model,
        open_server(settings(tmp_path)) as server,
        fc.AsyncClient(server.address) as client,
    ):
        task_id = await client.run(workflow(model.base_url), {"n": 1})
        events = [event async for event in client.watch(task_id, deltas=True)]
        heard = "".join(event.text for event in events if isinstance(event, fc.OutputDelta))
        assert heard
        assert "You said: Grüße 🌍".startswith(heard)
