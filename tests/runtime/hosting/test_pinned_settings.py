"""Settings that change while tasks are under way: each task goes by those it was accepted with."""

import itertools
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.applications import call_schema, changed, logged, quiet, shown
from support.fakes import FakeClock, ScriptedCalls, running_application
from support.graphs import constant, declare, edge, end, node, ref, start
from support.journals import accepted

from flowgram_core.embedded.application import Application
from flowgram_core.engine.errors import ProtocolError
from flowgram_core.engine.limits import UNLIMITED, Limits
from flowgram_core.engine.node_type import CallBehavior, NodeType
from flowgram_core.hosting.errors import InvalidWorkflow, RequestConflict
from flowgram_core.hosting.pinned_settings import PinnedSettings
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling import json_text
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.node_settings import HTTPSettings

KEY = "sk-1234567890123456"


class HTTPCalls(ScriptedCalls):
    """The node type http, whose requests the test answers."""

    def __init__(self, timeout: float) -> None:
        super().__init__("http")
        self._node = HTTPNode(HTTPSettings(timeout=timeout))

    def bind(self, node: Node) -> CallBehavior:
        return self._node.bind(node)

    @property
    def pins(self) -> JSONObject:
        return self._node.pins

    def pinned(self, pins: JSONObject) -> NodeType:
        return self._node.pinned(pins)


def loop(name: str) -> dict[str, Any]:
    blocks = [node(f"{name}_first", "block-start"), node(f"{name}_last", "block-end")]
    edges = [edge(f"{name}_first", f"{name}_last")]
    return node(name, "loop", {"loopFor": ref("start_0", "items")}, blocks=blocks, edges=edges)


def request(name: str) -> dict[str, Any]:
    headers = {"X-Word": constant("a word of sixteen letters"), "X-Key": constant(KEY)}
    data = {
        "api": {"method": "GET", "url": {"type": "template", "content": "http://localhost/a/long/way"}},
        "headers": declare(**dict.fromkeys(headers, "string")),
        "headersValues": headers,
        "body": {"bodyType": "none"},
    }
    return node(name, "http", data)


def revealing() -> TaskRequest:
    """A task with two loops and two requests, one after the other: settings show in each of them."""
    nodes = [start(items={"type": "array", "items": {"type": "integer"}})]
    nodes += [loop("loop_0"), request("a"), loop("loop_1"), request("b"), end()]
    edges = [edge(one["id"], other["id"]) for one, other in itertools.pairwise(nodes)]
    schema = json_text.dumps({"nodes": nodes, "edges": edges})
    return TaskRequest(schema, '{"items": [1, 2, 3]}', request_id="r")


class Setup(NamedTuple):
    """Settings of a server."""

    settings: RuntimeSettings
    http_timeout: float = 10


USUAL = Setup(quiet())
UNUSUAL = Setup(
    replace(
        quiet(),
        limits=Limits(max_events=99, max_loop_iterations=9, max_snapshot_bytes=9_999),
        secret_names=frozenset({"apiKey", "X-Key"}),
    ),
    http_timeout=7.5,
)
OTHERS = {
    "http.timeout": Setup(quiet(), http_timeout=20),
    "secret_names": Setup(replace(quiet(), secret_names=frozenset({"apiKey", "X-Word"}))),
    "no secret_names": Setup(replace(quiet(), secret_names=frozenset())),
    "max_events": Setup(replace(quiet(), limits=Limits(max_events=3))),
    "max_loop_iterations": Setup(replace(quiet(), limits=Limits(max_loop_iterations=2))),
    "max_snapshot_bytes": Setup(replace(quiet(), limits=Limits(max_snapshot_bytes=20))),
    "max_inputs_bytes": Setup(replace(quiet(), max_inputs_bytes=2)),
    "max_schema_bytes": Setup(replace(quiet(), max_schema_bytes=2)),
    "max_nodes": Setup(replace(quiet(), max_nodes=2)),
}


async def live_through(first: Setup, second: Setup, third: Setup, *, waits: bool) -> str:
    """The log of a task that is accepted under the first, and goes on under the others.

    Args:
        first: It is accepted, and gets as far as the request "a" unless it waits for its turn.
        second: It has its turn now, and gets from "a" to "b".
        third: It fails with an error of "b".
        waits: Whether it waits for its turn under the first.
    """
    journal, clock, ids = MemoryJournal(), FakeClock(), itertools.count()

    def server(setup: Setup, calls: HTTPCalls) -> AbstractAsyncContextManager[Application]:
        settings = replace(setup.settings, max_running_tasks=1)
        return running_application(
            calls, ScriptedCalls(), journal=journal, settings=settings, clock=clock, first_id=next(ids)
        )

    async with server(first, calls := HTTPCalls(first.http_timeout)) as application:
        ahead = await application.run(TaskRequest(call_schema("ahead"))) if waits else None
        task_id = (await application.run(revealing())).task_id
        if not waits:
            await calls.running("a")
    async with server(second, calls := HTTPCalls(second.http_timeout)) as application:
        if ahead is not None:
            assert (await application.task(task_id)).status == Status.PENDING
            assert await application.cancel(ahead.task_id, "")
        await calls.running("a")
        calls.answer("a", {"statusCode": 200})
        await calls.running("b")
    async with server(third, calls := HTTPCalls(third.http_timeout)) as application:
        await calls.running("b")
        calls.fail("b", f"{KEY} is no key")
        assert (await application.wait(task_id)).status == Status.FAILED
        return shown(await logged(application, task_id))


@pytest.mark.parametrize("changed", OTHERS)
@pytest.mark.parametrize("before", [USUAL, UNUSUAL], ids=["usual", "unusual"])
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after waiting"])
async def test_other_settings_do_not_end_a_task(before: Setup, changed: str, waits: bool) -> None:
    """Over several restarts the log becomes the same as if the settings had not changed."""
    other = OTHERS[changed]
    undisturbed = await live_through(before, before, before, waits=waits)
    assert "no key" in undisturbed
    assert await live_through(before, other, before, waits=waits) == undisturbed
    assert await live_through(before, other, other, waits=waits) == undisturbed


async def test_tasks_that_are_accepted_later_go_by_the_new_settings() -> None:
    """Also where others go on beside them with the same schema, and by the settings before."""
    journal, settings = MemoryJournal(), replace(quiet(), limits=Limits(max_loop_iterations=2))
    async with running_application(calls := HTTPCalls(10), journal=journal, settings=quiet()) as application:
        old = (await application.run(revealing())).task_id
        await calls.running("a")
    async with running_application(
        calls := HTTPCalls(20), journal=journal, settings=settings, first_id=1
    ) as application:
        await calls.running("a")
        new = await application.run(changed(revealing(), request_id="", inputs='{"items": [1]}'))
        await calls.running("a")
        assert "'timeout': 20000" in shown(await logged(application, new.task_id))
        assert "'timeout': 10000" in shown(await logged(application, old))
        refused = await application.run(changed(revealing(), request_id=""))
        assert b"max_loop_iterations = 2" in ((await application.wait(refused.task_id)).result or b"")


async def test_a_task_without_any_event_goes_by_the_settings_under_which_it_starts() -> None:
    """Half of what was to be written may be there; from its first input on it is as any other."""
    journal, wanted = MemoryJournal(), revealing()
    await journal.commit(accepted("task-1", schema=wanted.schema, inputs=wanted.inputs))
    for setup in (UNUSUAL, USUAL, USUAL):
        calls = HTTPCalls(setup.http_timeout)
        async with running_application(calls, journal=journal, settings=setup.settings) as application:
            await calls.running("a")
            first, *_ = await logged(application, "task-1")
    assert first.cause is not None
    assert json_text.loads(first.cause)[2:] == [
        {
            "max_events": 99,
            "max_loop_iterations": 9,
            "max_snapshot_bytes": 9_999,
            "max_node_work": 5_000_000_000,
            "max_task_memory": 256 * 1024 * 1024,
            "secret_names": ["X-Key", "apiKey"],
            "node_types": {"http": {"timeout": 7.5}},
            "secrets": True,
        }
    ]


async def test_tasks_of_all_settings_share_the_slots_of_calls() -> None:
    """What was accepted under other settings makes no calls beyond the limit."""
    journal = MemoryJournal()
    async with running_application(HTTPCalls(10), journal=journal, settings=quiet()) as application:
        old = (await application.run(revealing())).task_id
    settings, code = replace(OTHERS["secret_names"].settings, max_calls=1), ScriptedCalls()
    async with running_application(
        calls := HTTPCalls(10), code, journal=journal, settings=settings, first_id=1
    ) as application:
        await calls.running("a")
        await application.run(TaskRequest(call_schema("next")))
        await code.stays("next", running=False)
        assert await application.cancel(old, "")
        await code.running("next")


@pytest.mark.parametrize("setting", ["max_inputs_bytes", "max_schema_bytes", "max_nodes"])
async def test_a_request_that_was_accepted_is_found_also_when_limits_are_lower(setting: str) -> None:
    """A retry gets its task, and another request of its id the conflict; what is new is refused, although it is compiled."""
    journal, settings = MemoryJournal(), OTHERS[setting].settings
    async with running_application(HTTPCalls(10), journal=journal, settings=quiet()) as application:
        task_id = (await application.run(revealing())).task_id
    async with running_application(HTTPCalls(10), journal=journal, settings=settings) as application:
        assert (await application.run(revealing())).task_id == task_id
        with pytest.raises(RequestConflict):
            await application.run(changed(revealing(), labels={"another": "one"}))
        for request_id in ("", "new"):
            with pytest.raises(InvalidWorkflow, match=setting):
                await application.run(changed(revealing(), request_id=request_id))


async def first_cause(setup: Setup) -> str | None:
    async with running_application(HTTPCalls(setup.http_timeout), settings=setup.settings) as application:
        task = await application.run(revealing())
        return (await logged(application, task.task_id))[0].cause


async def test_only_what_is_unusual_is_recorded() -> None:
    """What differs from the constants of the log's format is in the first activation, and nothing else.

    Work and memory have no limit where the log names none.
    """
    at = FakeClock().now()
    limits = {"max_node_work": 5_000_000_000, "max_task_memory": 256 * 1024 * 1024}
    always: JSONObject = {**limits, "secrets": True}
    assert await first_cause(USUAL) == json_text.dumps(["start", at, always])
    changed: JSONObject = {"max_events": 3, **always}
    assert await first_cause(OTHERS["max_events"]) == json_text.dumps(["start", at, changed])
    changed = {**limits, "node_types": {"http": {"timeout": 20}}, "secrets": True}
    assert await first_cause(OTHERS["http.timeout"]) == json_text.dumps(["start", at, changed])


def test_a_log_that_says_nothing_stands_for_the_same_for_ever() -> None:
    """Defaults of settings may change; what old logs stand for does not."""
    limits = Limits(
        max_events=1_000_000,
        max_loop_iterations=100_000,
        max_snapshot_bytes=33_554_432,
        max_node_work=UNLIMITED,
        max_task_memory=UNLIMITED,
    )
    assert PinnedSettings.from_record(None) == PinnedSettings(limits, frozenset({"apiKey"}), {})
    node = HTTPNode(HTTPSettings(timeout=3))
    assert HTTPNode(HTTPSettings(timeout=10)).pins == node.pinned({}).pins == {}
    assert node.pins == node.pinned({"timeout": 3}).pins == {"timeout": 3}


@given(
    st.builds(
        PinnedSettings,
        st.builds(
            Limits,
            max_events=st.sampled_from((1_000_000, 7)),
            max_loop_iterations=st.sampled_from((100_000, 7)),
            max_snapshot_bytes=st.sampled_from((33_554_432, 7)),
        ),
        st.frozensets(st.sampled_from(("apiKey", "token", "max_events", "ä"))),
        st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers(), min_size=1)),
    )
)
def test_what_is_recorded_comes_back(pins: PinnedSettings) -> None:
    """Through its text, and the shortest record is none."""
    record = pins.to_record()
    assert PinnedSettings.from_record(json_text.loads(json_text.dumps(record))) == pins
    assert record != {}


@pytest.mark.parametrize("record", [{"max_things": 1}, {"secret_names": 1}, {"node_types": [1]}])
def test_a_record_of_another_version_is_refused(record: JSONObject) -> None:
    """What is not known could shape the log."""
    with pytest.raises(ProtocolError, match="of another version"):
        PinnedSettings.from_record(record)


async def test_a_secret_that_was_one_is_scrubbed_from_errors() -> None:
    """Also when its name is no longer among the settings', and one that has become one is too."""
    log = await live_through(UNUSUAL, UNUSUAL, OTHERS["no secret_names"], waits=False)
    assert KEY not in log
    log = await live_through(USUAL, UNUSUAL, UNUSUAL, waits=False)
    assert "error='sk-…3456 is no key'" in log
