"""The contract of all clients: what each of them does, in whatever language, against the real server.

A scenario is a function of an environment (the server and what surrounds it) and a client. It knows a client by the protocol
`surface.Client`, which a client in Python implements itself, a gateway by HTTP (`gateway_client`), and a client in another
language by a *runner*: a small program that makes the calls that it reads, and writes what comes of them (`runner`).
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from clients.client_protocol import CallFailed, Client, Event
from clients.environment import Environment, http_node
from support.scripted_server import ScriptedServer
from support.workflows import ECHO, START, chain, edge, node

from flowgram.runtime.v1.runtime_service_pb2 import TaskRunResponse

Scenario = Callable[[Environment, Client], Awaitable[None]]

_EVENTS_SECONDS = 60


async def runs_a_workflow(environment: Environment, client: Client) -> None:
    """A task runs to its outputs, and can be asked about, listed, and found by its labels."""
    checked = await client.validate(ECHO, '{"text": "hi"}')
    assert (list(checked.violations), list(checked.warnings)) == ([], [])
    task_id = await client.run(ECHO, '{"text": "hi"}', labels={"scenario": "runs a workflow"})
    result = await client.wait(task_id)
    assert (result.task_id, result.status, result.outputs) == (task_id, "SUCCEEDED", {"text": "hi"})
    assert await client.result(task_id) == result
    report = await client.report(task_id)
    assert (report.task_id, report.status, report.last_sequence) == (task_id, "SUCCEEDED", 4)
    assert list(report.nodes) == ["start_0", "end_0"]
    assert (report.inputs, report.outputs) == ({"text": "hi"}, {"text": "hi"})
    if not client.is_gateway:
        basic = await client.report(task_id, basic=True)
        assert (basic.inputs, basic.outputs, basic.last_sequence) == (None, None, 4)
    info = await client.info()
    assert info["name"] == "flowgram-server"
    assert "llm" in info["node_types"]


async def runs_and_waits(environment: Environment, client: Client) -> None:
    """One call runs a workflow."""
    result = await client.run_and_wait(ECHO, '{"text": "hi"}')
    assert (result.status, result.outputs) == ("SUCCEEDED", {"text": "hi"})


async def lists_tasks_page_by_page(environment: Environment, client: Client) -> None:
    """A list goes through all its pages, newest first, and heeds its filters."""
    labels = {"scenario": str(uuid.uuid4()), "team": "blue = green & ü"}
    ids = [(await client.run_and_wait(ECHO)).task_id for _ in range(2)]
    ids += [await client.run(ECHO, labels=labels) for _ in range(3)]
    for task_id in ids[2:]:
        await client.wait(task_id)
    assert list(await client.list(labels=labels, page_size=1)) == ids[:1:-1]
    assert list(await client.list(labels=labels, statuses=[4, 5])) == []
    assert list(await client.list(statuses=[3, 4]))[:5] == ids[::-1]


async def watches_live(environment: Environment, client: Client) -> None:
    """Events come as they happen: those before the gate while the task waits there, the others once it is opened."""
    task_id = await client.run(environment.gated("live"), '{"text": "hi"}')
    async with client.watch(task_id) as events:
        seen = await until_started(events, "http_0")
        await environment.gate.reached("live")
        assert (await client.result(task_id)).status == "PROCESSING"
        environment.gate.release("live")
        seen += await rest(events)
    complete(seen)
    assert seen[-1].outputs == {"text": "hi"}
    assert [event.outputs["body"] for event in seen if event.node_id == "http_0" and event.outputs] == [
        "open"
    ]
    if client.is_gateway:
        return
    async with client.watch(task_id, basic=True) as events:
        assert {event.outputs for event in complete(await rest(events))} == {None}


async def goes_on_after_a_sequence(environment: Environment, client: Client) -> None:
    """A watch begins after the sequence that it is given, and a task that has nothing more to tell ends it at once."""
    task_id = (await client.run_and_wait(ECHO)).task_id
    for after in (1, 3, 4):
        async with client.watch(task_id, after=after) as events:
            assert [event.sequence for event in await rest(events)] == [1, 2, 3, 4][after:]


async def survives_a_killed_server(environment: Environment, client: Client) -> None:
    """A server that is killed and started again in the middle of a watch costs no event, and no event comes twice."""
    task_id = await client.run(environment.gated("killed"), '{"text": "hi"}')
    async with client.watch(task_id) as events:
        seen = await until_started(events, "http_0")
        await environment.gate.reached("killed")
        going_on = asyncio.ensure_future(rest(events))
        await asyncio.to_thread(environment.server.kill)
        await asyncio.to_thread(environment.server.start)
        environment.gate.release("killed")
        seen += await going_on
    complete(seen)
    assert seen[-1].outputs == {"text": "hi"}


async def survives_a_server_that_is_replaced(environment: Environment, client: Client) -> None:
    """The same where the server is asked to stop; and every waiter for the outcome gets it too."""
    task_id = await client.run(environment.gated("replaced"), '{"text": "hi"}')
    waiting = asyncio.ensure_future(client.wait(task_id))
    async with client.watch(task_id) as events:
        seen = await until_started(events, "http_0")
        await environment.gate.reached("replaced")
        going_on = asyncio.ensure_future(rest(events))
        await asyncio.to_thread(environment.server.terminate)
        await asyncio.to_thread(environment.server.start)
        environment.gate.release("replaced")
        seen += await going_on
    complete(seen)
    assert (await waiting).outputs == {"text": "hi"}


async def waits_with_a_deadline_over_a_replaced_server(environment: Environment, client: Client) -> None:
    """A deadline far away does not end a wait early: a waiter gets the outcome from the server that comes next."""
    deadline = 60.0 if client.has_deadlines else None
    schema = environment.gated("deadline")
    task_id = await client.run(schema, '{"text": "a"}')
    running = asyncio.ensure_future(client.run_and_wait(schema, '{"text": "b"}', deadline=deadline))
    waiting = asyncio.ensure_future(client.wait(task_id, deadline=deadline))
    await environment.gate.reached("deadline", times=2)
    await asyncio.to_thread(environment.server.terminate)
    await asyncio.to_thread(environment.server.start)
    environment.gate.release("deadline")
    assert [(each.status, each.outputs) for each in (await waiting, await running)] == [
        ("SUCCEEDED", {"text": "a"}),
        ("SUCCEEDED", {"text": "b"}),
    ]


async def reads_slowly(environment: Environment, client: Client) -> None:
    """Who reads slowly holds up neither the task nor others, and misses nothing."""
    items, size = 24, min(1024 * 1024, environment.server.largest_value)
    environment.gate.release("big", b"x" * size)
    task_id = await client.run(
        looping(http_node("http_0", environment.gate.url("big"))), json.dumps({"items": ["x"] * items})
    )
    async with client.watch(task_id) as slow:
        seen = [await anext(slow)]
        assert (await client.wait(task_id)).status == "SUCCEEDED"
        async with client.watch(task_id) as other:
            complete(await rest(other))
        seen += await rest(slow)
    complete(seen)
    bodies = [len(event.outputs["body"]) for event in seen if event.node_id == "http_0" and event.outputs]
    assert bodies == [size] * items


async def leaves_a_watch(environment: Environment, client: Client) -> None:
    """Who leaves a watch leaves the task alone."""
    task_id = await client.run(environment.gated("left"))
    async with client.watch(task_id) as events:
        await until_started(events, "http_0")
    await environment.gate.reached("left")
    assert (await client.result(task_id)).status == "PROCESSING"
    environment.gate.release("left")
    assert (await client.wait(task_id)).status == "SUCCEEDED"


async def cancels(environment: Environment, client: Client) -> None:
    """A task is stopped once; its watch ends with that, and the reason is kept."""
    task_id = await client.run(environment.gated("canceled"))
    async with client.watch(task_id) as events:
        seen = await until_started(events, "http_0")
        assert await client.cancel(task_id, "enough")
        seen += await rest(events)
    complete(seen, "CANCELED")
    assert client.is_gateway or any("enough" in event.text for event in seen)
    assert not await client.cancel(task_id)
    assert (await client.wait(task_id)).status == "CANCELED"
    messages = (await client.report(task_id)).messages
    assert client.is_gateway or any("enough" in text for text in messages)


async def tells_why_a_task_failed(environment: Environment, client: Client) -> None:
    """What goes wrong while a task runs is data, and no failure of a call."""
    result = await client.run_and_wait(
        chain(START, http_node("http_0", "http://127.0.0.1:1/nobody"), END_OF_NOTHING)
    )
    assert (result.status, result.outputs) == ("FAILED", None)
    assert result.errors


async def refuses_bad_workflows(environment: Environment, client: Client) -> None:
    """What is wrong with a schema or its inputs comes with the error, all of it."""
    demanding = chain(node("start_0", "start", outputs=REQUIRED), END_OF_NOTHING)
    for schema, inputs, reason, count in (
        ("{", "", "SCHEMA_INVALID", 1),
        ("[]", "", "SCHEMA_INVALID", 1),
        (chain(START, START), "", "SCHEMA_INVALID", 2),
        (ECHO, "[]", "INPUTS_INVALID", 1),
        (ECHO, '{"text": NaN}', "INPUTS_INVALID", 1),
        (demanding, "{}", "INPUTS_INVALID", 2),
    ):
        failure = await failed(client.run(schema, inputs))
        if client.is_gateway and inputs in ("[]", '{"text": NaN}'):
            assert (failure.kind, failure.reason) == ("invalid_argument", "ARGUMENT_INVALID"), inputs
            continue
        assert (failure.kind, failure.reason) == ("invalid_workflow", reason), schema
        assert len(failure.descriptions) >= count, failure.descriptions
        checked = await client.validate(schema, inputs)
        assert [text for _, text in checked.violations] == list(failure.descriptions)
    failure = await failed(client.run(""))
    assert (failure.kind, failure.reason) == ("invalid_argument", "ARGUMENT_INVALID")


async def warns_of_what_is_probably_not_meant(environment: Environment, client: Client) -> None:
    """What does not keep a workflow from running comes with its place, apart from what is wrong."""
    checked = await client.validate(ECHO, '{"text": "hi", "typo": 1}')
    assert list(checked.violations) == []
    ((field, text),) = checked.warnings
    assert "typo" in field
    assert text
    checked = await client.validate(chain(START, START))
    assert checked.violations
    assert all(field.startswith("schema") for field, _ in checked.violations)


async def tells_what_a_task_is(environment: Environment, client: Client) -> None:
    """A task can be asked for: what was run, with which inputs, under which name and labels."""
    labels = {"team": "blue"}
    task_id = await client.run(ECHO, '{"text": "hi"}', labels=labels, name="order 7")
    await client.wait(task_id)
    task = await client.get(task_id)
    assert (task.task_id, task.status, task.name, dict(task.labels)) == (
        task_id,
        "SUCCEEDED",
        "order 7",
        labels,
    )
    assert (task.schema, task.inputs) == (json.loads(ECHO), {"text": "hi"})
    assert (await failed(client.get("nobody"))).kind == "task_not_found"


async def runs_a_batch(environment: Environment, client: Client) -> None:
    """Each run has its outcome, with its key: a result, or the reason why it was refused, while the others run."""
    runs = [("a", '{"text": "A"}'), ("wrong", '{"text": 1}'), ("b", '{"text": "B"}')]
    outcomes = {each.key: each for each in await client.run_batch(ECHO, runs)}
    assert outcomes.keys() == {"a", "b", "wrong"}
    results = [outcomes[key].result for key in ("a", "b")]
    assert [result and (result.status, result.outputs) for result in results] == [
        ("SUCCEEDED", {"text": "A"}),
        ("SUCCEEDED", {"text": "B"}),
    ]
    assert (outcomes["wrong"].result, outcomes["wrong"].refusal) == (None, "INPUTS_INVALID")


async def a_batch_goes_on_with_the_next_server(environment: Environment, client: Client) -> None:
    """A server that is replaced in the middle of a batch costs no outcome, and no run comes twice."""
    if client.is_gateway:
        pytest.skip("a gateway tells the browser, which sends the rest again")
    runs = [(str(number), json.dumps({"text": str(number)})) for number in range(4)]
    running = asyncio.ensure_future(client.run_batch(environment.gated("batch"), runs))
    await environment.gate.reached("batch", times=4)
    await asyncio.to_thread(environment.server.terminate)
    await asyncio.to_thread(environment.server.start)
    environment.gate.release("batch")
    outcomes = await running
    assert sorted(each.key for each in outcomes) == ["0", "1", "2", "3"]
    assert all(each.result and each.result.outputs == {"text": each.key} for each in outcomes)


async def follows_tasks(environment: Environment, client: Client) -> None:
    """A watch of tasks gives those that there are, and then each one that changes, also over a server that is replaced."""
    labels = {"follows": str(uuid.uuid4())}
    first = (await client.run(ECHO, labels=labels), "SUCCEEDED")
    await client.wait(first[0])
    async with client.watch_tasks(labels) as changes, asyncio.timeout(_EVENTS_SECONDS):
        assert await anext(changes) == first
        second = await client.run(environment.gated("followed"), labels=labels)
        while await anext(changes) != (second, "PROCESSING"):
            pass
        if not client.is_gateway:
            await asyncio.to_thread(environment.server.terminate)
            await asyncio.to_thread(environment.server.start)
        environment.gate.release("followed")
        while await anext(changes) != (second, "SUCCEEDED"):
            pass


async def distinguishes_errors(environment: Environment, client: Client) -> None:
    """Each mistake is an error of its own kind, and no mistake is tried again."""
    for call in (
        client.result("nobody"),
        client.wait("nobody"),
        client.report("nobody"),
        client.cancel("nobody"),
    ):
        failure = await failed(call)
        assert (failure.kind, failure.reason) == ("task_not_found", "TASK_NOT_FOUND")
    assert (await failed(everything(client, "nobody"))).kind == "task_not_found"

    request_id = str(uuid.uuid4())
    first = await client.run(ECHO, '{"text": "a"}', request_id=request_id)
    assert await client.run(ECHO, '{"text": "a"}', request_id=request_id) == first
    failure = await failed(client.run(ECHO, '{"text": "b"}', request_id=request_id))
    assert (failure.kind, failure.reason) == ("already_exists", "REQUEST_ID_REUSED")

    await client.wait(first)
    failure = await failed(everything(client, first, 5))
    assert (failure.kind, failure.reason) == ("sequence_out_of_range", "SEQUENCE_OUT_OF_RANGE")

    failure = await failed(client.run(ECHO, labels={"k": "v" * 1000}))
    assert (failure.kind, failure.reason) == ("invalid_argument", "ARGUMENT_INVALID")
    assert failure.descriptions


async def finds_the_server_away(environment: Environment, client: Client) -> None:
    """A server that is away is an error of its own kind, and the client works again when it is back."""
    task_id = (await client.run_and_wait(ECHO)).task_id
    await asyncio.to_thread(environment.server.kill)
    failure = await failed(client.run(ECHO))
    assert (failure.kind, failure.reason) == ("unavailable", "")
    await asyncio.to_thread(environment.server.start)
    assert (await client.wait(task_id)).status == "SUCCEEDED"


async def keeps_deadlines(environment: Environment, client: Client) -> None:
    """A deadline ends a watch with an error of its own kind, and a wait with the state of things; the task goes on."""
    if not client.has_deadlines:
        pytest.skip("a gateway has bounds of its own")
    task_id = await client.run(environment.gated("bounded"))
    await environment.gate.reached("bounded")
    assert (await client.wait(task_id, deadline=1)).status == "PROCESSING"
    assert (await failed(everything(client, task_id, deadline=0.5))).kind == "deadline_exceeded"
    environment.gate.release("bounded")
    assert (await client.wait(task_id)).status == "SUCCEEDED"


async def carries_large_outputs(environment: Environment, client: Client) -> None:
    """Outputs far beyond gRPC's usual limits, or as large as they may be, arrive whole, in every way to ask for them."""
    text = "0123456789abcdef" * (min(8 * 1024 * 1024, environment.server.largest_value) // 16)
    result = await client.run_and_wait(ECHO, json.dumps({"text": text}))
    assert result.outputs == {"text": text}
    assert (await client.report(result.task_id)).outputs == {"text": text}
    async with client.watch(result.task_id) as events:
        assert complete(await rest(events))[-1].outputs == {"text": text}


async def keeps_every_digit_and_character(environment: Environment, client: Client) -> None:
    """Numbers beyond doubles and text beyond the basic plane come out as they went in."""
    value = {
        "integer": 2**200 + 1,
        "negative": -(2**63) - 1,
        "fraction": 0.1,
        "": "empty name",
        "text": 'ü漢字𝄞👩‍👩‍👧\u2028\u2029\0\x1f\\"</script>\r\n\ufeff',
        "nested": [[], {}, [None, True, 1]],
    }
    any_object = {"type": "object", "properties": {"value": {"type": "object"}}}
    echo = chain(
        node("start_0", "start", outputs=any_object),
        node(
            "end_0",
            "end",
            inputs=any_object,
            inputsValues={"value": {"type": "ref", "content": ["start_0", "value"]}},
        ),
    )
    for ensure_ascii in (True, False):
        inputs = json.dumps({"value": value}, ensure_ascii=ensure_ascii, indent=1)
        result = await client.run_and_wait(echo, inputs)
        assert result.outputs == {"value": value}
        assert (await client.report(result.task_id)).inputs == {"value": value}
        async with client.watch(result.task_id) as events:
            assert complete(await rest(events))[-1].outputs == {"value": value}
        task_id = await client.run(echo, inputs)
        assert (await client.wait(task_id)).outputs == {"value": value}


SCENARIOS: Sequence[Scenario] = (
    runs_a_workflow,
    runs_and_waits,
    lists_tasks_page_by_page,
    watches_live,
    goes_on_after_a_sequence,
    survives_a_killed_server,
    survives_a_server_that_is_replaced,
    waits_with_a_deadline_over_a_replaced_server,
    reads_slowly,
    leaves_a_watch,
    cancels,
    tells_why_a_task_failed,
    refuses_bad_workflows,
    warns_of_what_is_probably_not_meant,
    tells_what_a_task_is,
    runs_a_batch,
    a_batch_goes_on_with_the_next_server,
    follows_tasks,
    distinguishes_errors,
    finds_the_server_away,
    keeps_deadlines,
    carries_large_outputs,
    keeps_every_digit_and_character,
)
"""What every client is put through with the real server."""


async def sends_metadata_and_deadlines(server: ScriptedServer, client: Client) -> None:
    """What a caller says beside the request arrives with it. Not in SCENARIOS: the server is one that tells what it got."""
    server.on("TaskRun", TaskRunResponse(task_id="t1"))
    metadata = {
        "authorization": "Bearer x",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    deadline = 17.0 if client.has_deadlines else None
    assert await client.run("{}", metadata=metadata, deadline=deadline) == "t1"
    (received,) = server.servicer.metadata
    assert metadata.items() <= received.items()
    (remaining,) = server.servicer.time_remaining
    assert remaining is not None  # a gateway's own bound
    assert deadline is None or 0 < remaining <= deadline + 1  # gRPC rounds it up


REQUIRED = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "string"}},
    "required": ["a", "b"],
}
END_OF_NOTHING = node("end_0", "end", inputs={"type": "object", "properties": {}}, inputsValues={})


def looping(block: dict[str, Any]) -> str:
    """The schema of a loop over the input `items` around one node."""
    items = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "string"}}}}
    loop = node("loop_0", "loop", loopFor={"type": "ref", "content": ["start_0", "items"]}, loopOutputs={})
    loop["blocks"] = [node("first", "block-start"), block, node("last", "block-end")]
    loop["edges"] = [edge("first", block["id"]), edge(block["id"], "last")]
    return chain(node("start_0", "start", outputs=items), loop, END_OF_NOTHING)


async def rest(events: AsyncIterator[Event]) -> list[Event]:
    """All that still comes, within a bound that leaves time for a restart of the server."""
    async with asyncio.timeout(_EVENTS_SECONDS):
        return [event async for event in events]


async def until_started(events: AsyncIterator[Event], node_id: str) -> list[Event]:
    """The events up to the one with which a node begins to run."""
    seen = []
    async with asyncio.timeout(_EVENTS_SECONDS):
        async for event in events:
            seen.append(event)
            if event.node_id == node_id and event.status == "PROCESSING":
                return seen
    raise AssertionError(f"{node_id} did not begin to run")


def complete(events: Sequence[Event], status: str = "SUCCEEDED") -> Sequence[Event]:
    """The same events, which must be all that a task tells: each once, in order, to its end."""
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert (events[0].kind, events[-1].kind, events[-1].status) == ("task", "task", status)
    return events


async def everything(
    client: Client, task_id: str, after: int = 0, deadline: float | None = None
) -> list[Event]:
    """All events of a task."""
    async with client.watch(task_id, after=after, deadline=deadline) as events:
        return await rest(events)


async def failed(call: Awaitable[Any]) -> CallFailed:
    """How a call failed that must fail."""
    with pytest.raises(CallFailed) as caught:
        await call
    return caught.value
