"""The library: compiled workflows, and the check of schemas and inputs."""

import asyncio
import sqlite3
import sys
import threading
from collections import UserDict
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest
from support.graphs import declare, edge, end, node, start
from support.loops import let_the_loop_go_on

from flowgram_core.engine.limits import Limits
from flowgram_core.engine.node_type import NodeType, NodeTypes
from flowgram_core.engine.program import Program
from flowgram_core.hosting.errors import InvalidWorkflow
from flowgram_core.hosting.program_cache import ProgramCache
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.modeling import json_text
from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.nodes.registry import Registry, pure_node_types


def program_cache(**settings: Any) -> ProgramCache:
    return ProgramCache(Registry(pure_node_types()).node_types, RuntimeSettings(**settings))


def schema(title: str = "", **types: str) -> str:
    first = node("start_0", "start", {"title": title, "outputs": declare(**types)})
    return json_text.dumps({"nodes": [first, end()], "edges": [edge("start_0", "end_0")]})


def problems(caught: pytest.ExceptionInfo[InvalidWorkflow]) -> list[tuple[str, str]]:
    return [(problem.path, problem.text) for problem in caught.value.problems]


def test_a_schema_is_compiled_once() -> None:
    """Tasks of the same text share one program."""
    shelf = program_cache()
    assert shelf.program(schema()) is shelf.program(schema())
    assert shelf.program(schema()) is not shelf.program(schema("other"))


def test_the_programs_that_were_used_last_are_kept() -> None:
    """The one that was not used for longest goes first."""
    shelf = program_cache(cached_documents=2)
    a, b = shelf.program(schema("a")), shelf.program(schema("b"))
    assert shelf.program(schema("a")) is a
    shelf.program(schema("c"))
    assert shelf.program(schema("a")) is a
    assert shelf.program(schema("b")) is not b


def test_texts_that_are_kept_are_bounded_in_bytes() -> None:
    """However few they are; and what is dropped counts no longer."""
    text = schema("x" * 10_000)
    shelf = program_cache(cached_schema_bytes=3 * sys.getsizeof(text))
    first = shelf.program(text)
    for letter in "abcdefgh":
        shelf.program(schema(letter * 10_000))
        shelf.program(text)
    assert shelf.program(text) is first
    shelf.program(schema("y" * 25_000))
    assert shelf.program(text) is not first


def test_a_text_that_grows_counts_as_when_it_came() -> None:
    """One that is not ASCII takes more memory once somebody has encoded it, as the journal does: the bound holds."""
    texts = [schema(letter * 10_000) for letter in "äöüßéèêáàâ"]
    shelf = program_cache(cached_schema_bytes=3 * sys.getsizeof(texts[0]))
    with closing(sqlite3.connect(":memory:")) as database:
        for text in texts:
            program = shelf.program(text)
            database.execute("SELECT ?", (text,))
            assert sys.getsizeof(text) > 15_000
            assert shelf.program(text) is program
    first = shelf.program(texts[0])
    for text in texts[1:5]:
        shelf.program(text)
    assert shelf.program(texts[0]) is not first


async def test_a_schema_beyond_the_bytes_that_are_kept_works_all_the_same() -> None:
    """It is compiled each time, and takes nothing from the others but their place."""
    shelf = program_cache(cached_schema_bytes=5_000)
    text = schema("x" * 200_000)
    assert (await shelf.prepare(text, "")).program is not (await shelf.prepare(text, "")).program
    assert shelf.program(schema()) is shelf.program(schema())


def large_schema(nodes: int) -> str:
    """A chain."""
    ids = [f"node_{number}" for number in range(nodes)]
    parts = [start(), *(node(name, "variable") for name in ids), end()]
    edges = [edge(one, other) for one, other in pairwise(["start_0", *ids, "end_0"])]
    return json_text.dumps({"nodes": parts, "edges": edges})


def test_a_large_program_that_is_kept_no_longer_is_given_away() -> None:
    """Its millions of objects must not be freed in one go; small ones may."""
    given: list[Any] = []
    settings = RuntimeSettings(cached_documents=1)
    cache = ProgramCache(Registry(pure_node_types()).node_types, settings, free=given.extend)
    large = cache.program(large_schema(4_000))
    assert cache.program(schema()) is not large
    assert given == [large]
    cache.program(large_schema(1))
    assert given == [large]


def test_too_many_nodes_are_refused_before_anything_is_made_of_them() -> None:
    """The nodes need not even be valid: one look at the lists is enough."""
    cache = program_cache(max_nodes=10)
    text = json_text.dumps({"nodes": [{"type": "loop", "blocks": [1] * 6}, *[2] * 5], "edges": []})
    with pytest.raises(InvalidWorkflow, match="has 12 nodes, more than the limit max_nodes = 10"):
        cache.program(text)
    with pytest.raises(InvalidWorkflow, match="has 12 nodes"):
        cache.program(large_schema(10))


class BlockedLibrary(ProgramCache):
    """Reads inputs once it may, and counts how many are being read."""

    def __init__(self) -> None:
        super().__init__(Registry(pure_node_types()).node_types, RuntimeSettings())
        self.open = threading.Event()
        self.reading = 0

    def inputs(self, program: Program, text: str, *, accepted: bool = False) -> JSONObject:
        self.reading += 1
        assert self.open.wait(10)
        return super().inputs(program, text, accepted=accepted)


async def test_who_leaves_makes_no_room_for_more_work() -> None:
    """What was begun for them goes on; others wait for it, but only those who want the same kind of work."""
    shelf, text = BlockedLibrary(), " " * 2_000_000 + "{}"
    for _ in range(5):
        asking = [asyncio.create_task(shelf.prepare(schema(), text)) for _ in range(3)]
        while shelf.reading < 2:  # noqa: ASYNC110 - threads begin when they like
            await asyncio.sleep(0)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
    assert await asyncio.to_thread(lambda: shelf.reading) == 2
    shelf.open.set()
    assert (await shelf.prepare(schema(), text)).inputs == {}


async def test_the_loop_goes_on_where_much_is_declared_for_many_values() -> None:
    """Neither need be large: what counts is that each of the one may have to be looked for in all of the other."""
    shelf = WaitingLibrary(Registry(pure_node_types()).node_types, RuntimeSettings())
    shelf.loop = asyncio.get_running_loop()
    numbers = list(range(3_000))
    declared = {"type": "array", "items": {"type": "integer", "enum": numbers}}
    first = start(numbers=declared)
    text = json_text.dumps({"nodes": [first, end()], "edges": [edge("start_0", "end_0")]})
    inputs = (await shelf.prepare(text, json_text.dumps({"numbers": numbers}))).inputs
    assert inputs == {"numbers": numbers}


class WaitingNodeTypes(UserDict[str, NodeType]):
    """Looks a node type up only after the loop went on."""

    def __init__(self, node_types: NodeTypes, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(node_types)
        self._loop = loop

    def __getitem__(self, name: str) -> NodeType:
        if name == "variable":
            let_the_loop_go_on(self._loop)
        return super().__getitem__(name)


class WaitingLibrary(ProgramCache):
    """Reads inputs only after the loop went on."""

    loop: asyncio.AbstractEventLoop

    def inputs(self, program: Program, text: str, *, accepted: bool = False) -> JSONObject:
        let_the_loop_go_on(self.loop)
        return super().inputs(program, text, accepted=accepted)


async def test_the_loop_goes_on_while_a_large_schema_is_compiled() -> None:
    """Others are served meanwhile; all who ask for the same schema at once get the one program."""
    node_types = WaitingNodeTypes(Registry(pure_node_types()).node_types, asyncio.get_running_loop())
    shelf, text = ProgramCache(node_types, RuntimeSettings()), large_schema(1_000)
    programs = await asyncio.gather(*(shelf.prepare(text, "") for _ in range(5)))
    assert len({id(each.program) for each in programs}) == 1
    assert shelf.program(text) is programs[0].program


async def test_the_loop_goes_on_while_large_inputs_are_read() -> None:
    """And they are what a short text would have given; what is wrong with them is reported."""
    shelf = WaitingLibrary(Registry(pure_node_types()).node_types, RuntimeSettings())
    shelf.loop = asyncio.get_running_loop()
    numbers = list(range(300_000))
    inputs = (await shelf.prepare(schema(), json_text.dumps({"numbers": numbers}))).inputs
    assert inputs == {"numbers": numbers}
    with pytest.raises(InvalidWorkflow) as caught:
        await shelf.prepare(schema(), "[" + "1," * 1_000_000)
    assert caught.value.in_inputs


async def test_small_texts_are_worked_through_at_once() -> None:
    """Without a round of the event loop."""
    preparing = program_cache().prepare(schema(), "{}")
    with pytest.raises(StopIteration):
        preparing.send(None)


async def test_who_goes_does_not_take_the_schema_from_others() -> None:
    """One who asked first is cancelled: the other gets the program. A broken schema is reported to both."""
    shelf = program_cache()
    for text in (large_schema(1_000), "[" + " " * 200_000):
        first, second = (asyncio.create_task(shelf.prepare(text, "")) for _ in range(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first, second])
        assert first.cancelled()
        if text[0] == "{":
            assert second.result().program is shelf.program(text)
        else:
            assert isinstance(second.exception(), InvalidWorkflow)


def test_a_library_that_keeps_nothing() -> None:
    """It compiles every time."""
    shelf = program_cache(cached_documents=0)
    assert shelf.program(schema()) is not shelf.program(schema())


def test_a_broken_schema_is_refused_with_all_problems() -> None:
    """And is not kept."""
    shelf = program_cache()
    text = json_text.dumps({"nodes": [start(), node("", "code")], "edges": [edge("start_0", "nobody")]})
    for _ in range(2):
        with pytest.raises(InvalidWorkflow) as caught:
            shelf.program(text)
        assert len(caught.value.problems) >= 2
        assert not caught.value.in_inputs
        assert all(isinstance(problem, Problem) for problem in caught.value.problems)
        assert str(caught.value) == "; ".join(problem.text for problem in caught.value.problems)


def test_a_schema_may_not_be_longer_than_the_limit() -> None:
    """Counted in bytes of UTF-8, and checked before anything is read."""
    text = schema("\u20ac\u20ac")
    size = len(text.encode())
    program_cache(max_schema_bytes=size).program(text)
    with pytest.raises(InvalidWorkflow) as caught:
        program_cache(max_schema_bytes=size - 1).program(text)
    assert problems(caught) == [
        ("schema", f"{size} bytes of workflow schema are more than the limit max_schema_bytes = {size - 1}")
    ]


def test_a_schema_may_not_have_more_nodes_than_the_limit() -> None:
    """Those in blocks count as well."""
    blocks = [node("first", "block-start"), node("last", "block-end")]
    loop = node("loop", "loop", blocks=blocks, edges=[edge("first", "last")])
    edges = [edge("start_0", "loop"), edge("loop", "end_0")]
    text = json_text.dumps({"nodes": [start(), loop, end()], "edges": edges})
    program_cache(max_nodes=5).program(text)
    with pytest.raises(InvalidWorkflow) as caught:
        program_cache(max_nodes=4).program(text)
    assert problems(caught) == [
        ("schema.nodes", "Workflow schema has 5 nodes, more than the limit max_nodes = 4")
    ]


def inputs(text: str, **settings: Any) -> dict[str, Any]:
    shelf = program_cache(**settings)
    return shelf.inputs(shelf.program(schema(x="integer")), text)


def test_inputs_are_read_exactly() -> None:
    """What start does not declare stays, and big integers keep their digits; no text means no inputs."""
    assert inputs('{"x": 9007199254740993, "y": [null]}') == {"x": 9007199254740993, "y": [None]}
    assert inputs("") == {}


@pytest.mark.parametrize("text", ["[]", "null", "5", '"x"'])
def test_inputs_must_be_an_object(text: str) -> None:
    """Any other JSON value is refused."""
    with pytest.raises(InvalidWorkflow) as caught:
        inputs(text)
    assert problems(caught) == [("inputs", "Workflow inputs must be a JSON object")]
    assert caught.value.in_inputs


def test_inputs_must_be_json() -> None:
    """The problem names the place."""
    with pytest.raises(InvalidWorkflow) as caught:
        inputs('{"x": NaN}')
    ((path, text),) = problems(caught)
    assert path == "inputs"
    assert text.startswith("Workflow inputs are not valid JSON: ")
    assert "line 1, column 7" in text
    assert caught.value.in_inputs


def test_inputs_must_fit_what_start_declares() -> None:
    """In FlowGram's words, with the place."""
    with pytest.raises(InvalidWorkflow) as caught:
        inputs('{"x": "no"}')
    ((path, text),) = problems(caught)
    assert path == "inputs.x"
    assert text.startswith("JSON Schema validation failed: ")
    assert caught.value.in_inputs


def test_inputs_may_not_be_longer_than_the_limit() -> None:
    """In bytes of UTF-8."""
    text = '{"y": "\u20ac"}'
    assert inputs(text, max_inputs_bytes=12) == {"y": "\u20ac"}
    with pytest.raises(InvalidWorkflow) as caught:
        inputs(text, max_inputs_bytes=11)
    assert problems(caught) == [
        ("inputs", "12 bytes of workflow inputs are more than the limit max_inputs_bytes = 11")
    ]
    assert caught.value.in_inputs


def test_what_was_accepted_is_not_refused_again() -> None:
    """Limits are for new tasks: for those they also hold where the program is kept for another."""
    text = schema()
    shelf = program_cache(max_schema_bytes=5, max_nodes=1, max_inputs_bytes=5)
    program = shelf.program(text, accepted=True)
    assert shelf.inputs(program, '{"y": "long"}', accepted=True) == {"y": "long"}
    with pytest.raises(InvalidWorkflow, match="max_schema_bytes"):
        shelf.program(text)
    shelf = program_cache(max_nodes=1)
    assert shelf.program(text, accepted=True) is shelf.program(text, accepted=True)
    with pytest.raises(InvalidWorkflow, match="max_nodes"):
        shelf.program(text)


class Watched(str):
    """A text that does something once it has been looked up."""

    __slots__ = ("on_second_look",)

    on_second_look: Callable[[], None] | None

    def __hash__(self) -> int:
        looks.append(self)
        if len(looks) == 2 and self.on_second_look is not None:
            self.on_second_look()
        return super().__hash__()

    __eq__ = str.__eq__


looks: list[str] = []


def test_threads_share_a_cache() -> None:
    """What one thread has found is not dropped by another before the first has taken it."""
    shelf, text = program_cache(cached_documents=2), Watched(schema("mine"))
    text.on_second_look = None
    program = shelf.program(text)
    shelf.program(schema("newer"))
    other = threading.Thread(target=shelf.program, args=(schema("other"),))

    def drop() -> None:
        other.start()
        other.join(0.2)  # it waits for the first one, and may go on after it

    looks.clear()
    text.on_second_look = drop
    assert shelf.program(text) is program
    other.join()
    assert shelf.program(schema("mine")) is program, "it was used last"


@pytest.mark.parametrize(
    ("place", "schema"),
    [
        ("schema.nodes[1].id", {"nodes": [start(), node("n" * 257, "code"), end()], "edges": []}),
        (
            "schema.edges[0].sourcePortID",
            {"nodes": [start(), end()], "edges": [edge("start_0", "end_0", "p" * 257)]},
        ),
        ("schema.nodes[0].data", {"nodes": [start(**{"x" * 257: "string"}), end()], "edges": []}),
    ],
)
def test_names_are_not_long(place: str, schema: dict[str, Any]) -> None:
    """They are repeated in every event; tasks that were accepted with longer ones go on."""
    cache, text = ProgramCache({}, RuntimeSettings()), json_text.dumps(schema)
    for _ in range(2):
        with pytest.raises(
            InvalidWorkflow, match="has 257 characters: a name may have 256 at most"
        ) as caught:
            cache.program(text)
        assert [problem.path for problem in caught.value.problems] == [place]
        cache.program(text, accepted=True)


def test_inputs_that_take_too_much_are_refused() -> None:
    """Memory, as objects; and work of checking them."""
    schema = json_text.dumps(
        {"nodes": [start(x={"type": "array", "items": {"enum": "a" * 1_000}}), end()], "edges": []}
    )
    inputs = json_text.dumps({"x": ["b"] * 1_000})
    cache = ProgramCache({}, RuntimeSettings(limits=Limits(max_task_memory=20_000)))
    with pytest.raises(InvalidWorkflow, match="more than 20000 bytes of memory"):
        cache.inputs(cache.program(schema, accepted=True), inputs)
    cache = ProgramCache({}, RuntimeSettings(limits=Limits(max_node_work=1_000_000)))
    program = cache.program(schema)
    with pytest.raises(InvalidWorkflow, match="takes more work than the limit max_node_work = 1000000"):
        cache.inputs(program, inputs)
