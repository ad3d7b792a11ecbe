"""Values of many parts that are refused, or that nobody waits for any more: they are freed in parts, and none stays."""

import asyncio
import sys
import threading
import weakref
from typing import Any

import pytest
from support.freeing import watched_freeing
from support.graphs import declare, edge, end, node, start

from flowgram_core.embedded.disposer import Disposer
from flowgram_core.engine.limits import Limits
from flowgram_core.engine.program import Program
from flowgram_core.hosting.errors import InvalidWorkflow
from flowgram_core.hosting.program_cache import ProgramCache
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.modeling import json_text
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.nodes.registry import Registry, pure_node_types

PARTS = 30_000
IN_ONE_GO = 15_000
"""Blocks of memory: more than are read at once, and half of all."""


def schema(**types: str) -> str:
    first = start(**types)
    return json_text.dumps({"nodes": [first, end()], "edges": [edge("start_0", "end_0")]})


def objects(count: int = PARTS) -> str:
    return f"[{','.join(['{}'] * count)}]"


class Witness:
    """Says when it goes."""

    def __init__(self, gone: threading.Event) -> None:
        weakref.finalize(self, gone.set)


class Cache(ProgramCache):
    """Begins to read inputs when it may."""

    def __init__(self, **settings: Any) -> None:
        self.disposer = Disposer(0.001)
        node_types = Registry(pure_node_types()).node_types
        super().__init__(node_types, RuntimeSettings(**settings), free=self.disposer.free)
        self.reading, self.go_on, self.read = threading.Event(), threading.Event(), threading.Event()
        self.go_on.set()

    def inputs(self, program: Program, text: str, *, accepted: bool = False) -> JSONObject:
        self.reading.set()
        assert self.go_on.wait(10)
        try:
            return super().inputs(program, text, accepted=accepted)
        finally:
            self.read.set()

    async def end(self) -> None:
        """Returns when its threads have done what they were given."""
        await asyncio.to_thread(self._threads.shutdown)
        for _ in range(3):  # what is given later may go first, but not before what was begun
            gone = threading.Event()
            self.disposer.free([Witness(gone)])
            assert await asyncio.to_thread(gone.wait, 10)
        self.disposer.close()


async def test_a_value_goes_in_one_go_otherwise() -> None:
    """What the other tests look for is seen."""
    with watched_freeing() as freeing:
        value = json_text.loads(objects())
        assert freeing.most < IN_ONE_GO
        freeing.look()
        del value
    assert freeing.most > PARTS // 2


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (f'{{"x": {objects()}}}', "number"),  # of another type than is declared
        (objects(), "must be a JSON object"),
        (f'{{"y": {objects()}, "z": ?}}', "not valid JSON"),
        (f'{{"y": {objects()}, "z": {objects()}}}', "bytes of memory"),
    ],
)
async def test_inputs_that_are_refused_are_freed_in_parts(inputs: str, reason: str) -> None:
    """Whatever they are refused for; and their text is kept by nothing, not even until the next collection."""
    cache, references = Cache(limits=Limits(max_task_memory=4_000_000)), sys.getrefcount(inputs)
    with watched_freeing() as freeing:
        with pytest.raises(InvalidWorkflow, match=reason) as caught:
            await cache.prepare(schema(x="number"), inputs)
        del caught
        await cache.end()
        assert sys.getrefcount(inputs) == references
    assert freeing.most < IN_ONE_GO


@pytest.mark.parametrize(
    "text",
    [
        objects(),
        f'{{"nodes": {objects()}, "edges": []}}',
        f'{{"nodes": [], "edges": {objects(PARTS)}}}',
        f'{{"nodes": {objects()}, "edges": [?]}}',
    ],
)
async def test_schemas_that_are_refused_are_freed_in_parts(text: str) -> None:
    """And their text is kept by nothing, for each of those who asked at the same time."""
    cache, references = Cache(), sys.getrefcount(text)
    with watched_freeing() as freeing:
        outcomes = await asyncio.gather(
            cache.prepare(text, ""), cache.prepare(text, ""), return_exceptions=True
        )
        assert all(isinstance(outcome, InvalidWorkflow) for outcome in outcomes)
        del outcomes
        await cache.end()
        await asyncio.sleep(0)
        assert sys.getrefcount(text) == references
    assert freeing.most < IN_ONE_GO


async def test_a_schema_with_too_long_names_is_freed_in_parts() -> None:
    """It is compiled before the names are looked at."""
    first = node("start_0", "start", {"outputs": declare(), "more": json_text.loads(objects())})
    nodes = [first, node("n" * 300, "variable", {"assign": []}), end()]
    text = json_text.dumps({"nodes": nodes, "edges": [edge("start_0", "n" * 300), edge("n" * 300, "end_0")]})
    cache = Cache()
    with watched_freeing() as freeing:
        with pytest.raises(InvalidWorkflow):
            await cache.prepare(text, "")
        await cache.end()
    assert freeing.most < IN_ONE_GO


async def test_inputs_that_nobody_waits_for_are_freed_in_parts() -> None:
    """The caller has gone while they were read, in the thread that read them."""
    cache, inputs = Cache(), f'{{"x": {objects()}}}'
    references = sys.getrefcount(inputs)
    with watched_freeing() as freeing:
        cache.go_on.clear()
        asking = asyncio.create_task(cache.prepare(schema(), inputs))
        assert await asyncio.to_thread(cache.reading.wait, 10)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        del asking
        cache.go_on.set()
        await cache.end()
        assert cache.read.is_set()
        assert sys.getrefcount(inputs) == references
    assert freeing.most < IN_ONE_GO


async def test_inputs_that_were_only_checked_are_freed_in_parts() -> None:
    """A validation keeps none of them."""
    cache, inputs = Cache(), f'{{"x": {objects()}}}'
    with watched_freeing() as freeing:
        assert (await cache.validate(schema(), inputs)).problems == ()
        await cache.end()
    assert freeing.most < IN_ONE_GO
