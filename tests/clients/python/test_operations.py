"""The operations without any I/O: a test plays the network."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted_server import history, watched

from flowgram.runtime.v1 import event_pb2, report_pb2, runtime_service_pb2
from flowgram_client import RetryPolicy, Status, TaskRemoved, View, _convert, errors
from flowgram_client._flow import Call, Emit, Flow, Open, Read, Sleep, Walk
from flowgram_client._operations import Operations

UNAVAILABLE = errors.UnavailableError("away", grpc.StatusCode.UNAVAILABLE)


class Time:
    """A clock that only moves when it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def operations(time: Time | None = None, attempts: int = 4, timeout: float | None = None) -> Operations:
    policy = RetryPolicy(attempts=attempts, initial=1.0, maximum=8.0)
    return Operations(timeout=timeout, retry=policy, reconnect=policy, rand=lambda: 1.0, clock=time or Time())


def play(
    flow: Flow[Any], answer: Callable[[Any], Any], time: Time | None = None, items: list[Any] | None = None
) -> tuple[list[Any], list[Any], Any]:
    """Perform a flow with `answer`; the effects, the items emitted, and the result."""
    walk = Walk(flow)
    effects = []
    items = [] if items is None else items
    while (effect := walk.effect) is not None:
        effects.append(effect)
        if isinstance(effect, Emit):
            items.append(effect.item)
            walk.reply(None)
        elif isinstance(effect, Sleep):
            if time is not None:
                time.now += effect.seconds
            walk.reply(None)
        else:
            reply = answer(effect)
            if isinstance(reply, errors.RequestError):
                walk.fail(reply)
            else:
                walk.reply(reply)
    return effects, items, walk.result


def play_until(flow: Flow[Any], script: list[Any]) -> tuple[list[Any], list[Any]]:
    """Perform a flow as long as the script has replies; the effects, and the items emitted."""
    walk = Walk(flow)
    effects: list[Any] = []
    items: list[Any] = []
    left = iter(script)
    while True:
        effects.append(walk.effect)
        if isinstance(walk.effect, Emit):
            items.append(walk.effect.item)
            walk.reply(None)
            continue
        try:
            reply = next(left)
        except StopIteration:
            return effects, items
        walk.reply(reply)


def replies(*each: Any) -> Callable[[Any], Any]:
    left = iter(each)
    return lambda effect: next(left)


def run_flow(core: Operations, timeout: float | None = None) -> Flow[str]:
    return core.run({}, {}, request_id=None, task_timeout=None, labels=None, timeout=timeout)


RUNNING = runtime_service_pb2.TaskRunResponse(task_id="t", status={"status": report_pb2.STATUS_PROCESSING})
STILL = runtime_service_pb2.TaskResultResponse(status={"status": report_pb2.STATUS_PROCESSING})
DONE = runtime_service_pb2.TaskResultResponse(
    status={"status": report_pb2.STATUS_SUCCEEDED}, outputs='{"a":1}'
)


def run_and_wait_flow(core: Operations, timeout: float | None) -> Flow[Any]:
    return core.run_and_wait({}, None, request_id=None, task_timeout=None, labels=None, timeout=timeout)


def run_with(core: Operations, **options: Any) -> Flow[str]:
    given = {"request_id": None, "task_timeout": None, "labels": None, "timeout": None, **options}
    return core.run({}, {}, **given)


def watch_flow(core: Operations, after: int = 0, heartbeat: float | None = 10.0) -> Flow[None]:
    return core.watch(
        "t",
        lambda events: events,
        after_sequence=after,
        view=View.FULL,
        deltas=False,
        heartbeat=heartbeat,
        timeout=None,
    )


def test_run_repeats_the_very_same_request() -> None:
    """After UNAVAILABLE, run sends the same request id and content again, after growing waits."""
    sent: list[bytes] = []
    answers = iter([UNAVAILABLE, UNAVAILABLE, runtime_service_pb2.TaskRunResponse(task_id="t")])

    def answer(effect: Call) -> Any:
        sent.append(effect.request.SerializeToString(deterministic=True))
        return next(answers)

    effects, _, task_id = play(run_flow(operations()), answer)
    assert task_id == "t"
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert runtime_service_pb2.TaskRunRequest.FromString(sent[0]).request_id
    assert [each.seconds for each in effects if isinstance(each, Sleep)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("begin", "said"),
    [
        (lambda core: run_flow(core, timeout=float("nan")), "timeout: nan"),
        (lambda core: run_flow(core, timeout="soon"), "timeout: 'soon'"),
        (lambda core: run_with(core, labels={"a": 1}), "labels: "),
        (lambda core: run_with(core, labels={"a": "\udcff"}), "labels: "),
        (lambda core: run_with(core, labels=5), "labels: expected a mapping of texts, not int"),
        (lambda core: run_with(core, request_id="\udcff"), "request_id: "),
        (lambda core: run_with(core, task_timeout=float("inf")), "task_timeout: inf is not a duration"),
        (lambda core: run_with(core, task_timeout=float("nan")), "task_timeout: nan is not a duration"),
        (lambda core: run_with(core, task_timeout="1"), "task_timeout: '1' is not a duration"),
        (lambda core: core.result("\udcff", wait=False, timeout=None), "task_id: "),
        (lambda core: core.result(5, wait=True, timeout=None), "task_id: "),
        (lambda core: core.report("\udcff", view=View.FULL, timeout=None), "task_id: "),
        (lambda core: core.cancel("t", reason="\udcff", timeout=None), "reason: "),
        (lambda core: core.list(statuses=(), labels=None, page_size=2**40, timeout=None), "page_size: "),
        (lambda core: core.list(statuses=(), labels={1: "a"}, page_size=1, timeout=None), "labels: "),
        (lambda core: watch_flow(core, after=2**63), "after_sequence: "),
        (lambda core: watch_flow(core, after="1"), "after_sequence: "),
        (lambda core: watch_flow(core, heartbeat=float("inf")), "heartbeat: inf is not a duration"),
    ],
)
def test_what_no_request_can_hold_is_refused(begin: Callable[[Operations], Flow[Any]], said: str) -> None:
    """A value of another type, out of its range or not Unicode is refused by name, before anything is sent."""
    with pytest.raises(errors.InvalidValueError) as caught:
        Walk(begin(operations()))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("timeout", [float("inf"), 1e300])
def test_a_deadline_that_never_comes_is_none(timeout: float) -> None:
    """It is more than gRPC can hold, which would end the call at once."""
    effects, _, _ = play(
        run_flow(operations(), timeout=timeout), replies(runtime_service_pb2.TaskRunResponse(task_id="t"))
    )
    assert effects[0].timeout is None


def test_two_runs_have_two_request_ids() -> None:
    """Equal requests of two calls are two tasks."""
    seen = set()
    for _ in range(2):
        effects, _, _ = play(
            run_flow(operations()), replies(runtime_service_pb2.TaskRunResponse(task_id="t"))
        )
        seen.add(effects[0].request.request_id)
    assert len(seen) == 2


def test_calls_give_up_by_policy() -> None:
    """After the last attempt, the failure is raised as it was."""
    with pytest.raises(errors.UnavailableError) as caught:
        play(run_flow(operations(attempts=2)), replies(UNAVAILABLE, UNAVAILABLE))
    assert caught.value is UNAVAILABLE


def test_other_failures_are_not_repeated() -> None:
    """What the server refuses it would refuse again."""
    refused = errors.ResourceExhaustedError("full", grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=1.0)
    with pytest.raises(errors.ResourceExhaustedError):
        play(run_flow(operations()), replies(refused))


def test_no_retry_outlives_the_timeout() -> None:
    """Each attempt gets what is left of the time, and a wait that would outlast it ends the call."""
    time = Time()
    timeouts = []

    def answer(effect: Call) -> Any:
        timeouts.append(effect.timeout)
        time.now += 0.5
        return UNAVAILABLE

    with pytest.raises(errors.UnavailableError):
        play(run_flow(operations(time, attempts=9), timeout=5.0), answer, time)
    assert timeouts == [5.0, 3.5, 1.0]


def test_the_clients_timeout_is_for_quick_calls_only() -> None:
    """A call that is answered at once has the client's timeout; one that waits for a task has none."""
    core = operations(timeout=30.0)
    done = runtime_service_pb2.TaskResultResponse(status={"status": report_pb2.STATUS_SUCCEEDED})
    effects, _, _ = play(core.result("t", wait=False, timeout=None), replies(done))
    assert effects[0].timeout == 30.0
    effects, _, _ = play(core.result("t", wait=True, timeout=None), replies(done))
    assert effects[0].timeout is None
    effects, _, _ = play(core.result("t", wait=False, timeout=float("inf")), replies(done))
    assert effects[0].timeout is None


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_waiting_goes_on_until_the_task_has_ended(timeout: float | None) -> None:
    """A server that ends a wait early, since it shuts down say, is asked again; a deadline far away changes nothing."""
    core = operations()
    _, _, result = play(run_and_wait_flow(core, timeout), replies(RUNNING, STILL, UNAVAILABLE, DONE))
    assert result.outputs == {"a": 1}
    _, _, result = play(core.result("t", wait=True, timeout=timeout), replies(STILL, STILL, DONE))
    assert result.outputs == {"a": 1}


def test_a_wait_ends_near_its_deadline() -> None:
    """An answer within the last second before the deadline is the server's to the deadline: the task is not asked for again."""
    time = Time()

    def answer(effect: Call) -> Any:
        assert effect.timeout == 5.0
        time.now += 4.5
        return RUNNING if effect.method == "TaskRun" else STILL

    core = operations(time)
    _, _, result = play(run_and_wait_flow(core, 5.0), answer, time)
    assert (result.task_id, result.terminated) == ("t", False)
    with pytest.raises(errors.TaskUnfinishedError, match="task t is processing"):
        _ = result.outputs
    _, _, result = play(core.result("t", wait=True, timeout=5.0), answer, time)
    assert not result.terminated


def test_a_task_that_was_accepted_is_named_when_the_deadline_passes() -> None:
    """Where the server that accepted the task does not answer again in time, the result has its id."""
    late = errors.DeadlineExceededError("", grpc.StatusCode.DEADLINE_EXCEEDED)
    _, _, result = play(run_and_wait_flow(operations(), 60.0), replies(RUNNING, late))
    assert (result.task_id, result.terminated) == ("t", False)


@pytest.mark.parametrize("timeout", [0, -1.0, timedelta(0), float("-inf")])
def test_a_timeout_leaves_time(timeout: Any) -> None:
    """A timeout that has passed before the call begins is a mistake, in a call and in the client's own."""
    for begin in (
        lambda: Walk(run_flow(operations(), timeout=timeout)),
        lambda: Walk(operations().result("t", wait=True, timeout=timeout)),
        lambda: operations(timeout=timeout),
    ):
        with pytest.raises(errors.InvalidValueError, match=r"^timeout: .* leaves no time"):
            begin()


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_outputs_that_the_answer_has_no_room_for(timeout: float | None) -> None:
    """They are asked for; where they are too large for that too, the error says so."""
    accepted = runtime_service_pb2.TaskRunResponse(
        task_id="t", status={"status": report_pb2.STATUS_SUCCEEDED, "terminated": True}
    )
    outcome = runtime_service_pb2.TaskResultResponse(status=accepted.status, outputs='{"a":1}')
    too_large = errors.ResourceExhaustedError("too large", grpc.StatusCode.RESOURCE_EXHAUSTED)

    def flow() -> Flow[Any]:
        return operations(Time()).run_and_wait(
            {}, None, request_id=None, task_timeout=None, labels=None, timeout=timeout
        )

    _, _, result = play(flow(), replies(accepted, outcome))
    assert result.outputs == {"a": 1}
    with pytest.raises(errors.ResourceExhaustedError):
        play(flow(), replies(accepted, too_large))


def test_a_long_wait_that_breaks_is_not_a_failure_in_a_row() -> None:
    """A server that restarts every now and then never ends a wait: failures do not add up."""
    time = Time()
    done = runtime_service_pb2.TaskResultResponse(status={"status": report_pb2.STATUS_SUCCEEDED})
    answers = iter([UNAVAILABLE] * 20 + [done])

    def answer(effect: Call) -> Any:
        time.now += 3600.0
        return next(answers)

    _, _, result = play(operations(time, attempts=2).result("t", wait=True, timeout=None), answer, time)
    assert result.succeeded


def test_lists_page_by_page() -> None:
    """The next page is asked for with the token of the last, once its tasks are used up."""
    first = runtime_service_pb2.TaskListResponse(
        tasks=[{"task_id": "a"}, {"task_id": "b"}], next_page_token="2"
    )
    second = runtime_service_pb2.TaskListResponse(tasks=[{"task_id": "c"}])
    tokens = []
    answers = iter([first, second])

    def answer(effect: Call) -> Any:
        tokens.append(effect.request.page_token)
        return next(answers)

    flow = operations().list(statuses=(), labels=None, page_size=2, timeout=None)
    effects, items, _ = play(flow, answer)
    assert [task.task_id for task in items] == ["a", "b", "c"]
    assert tokens == ["", "2"]
    assert [type(effect) for effect in effects] == [Call, Emit, Emit, Call, Emit]


TASK = {"task_id": "a", "status": {"status": report_pb2.STATUS_PROCESSING}, "last_sequence": 3}


def changes(*tasks: dict[str, Any], removed: tuple[str, ...] = ()) -> runtime_service_pb2.WatchTasksResponse:
    return runtime_service_pb2.WatchTasksResponse(tasks=tasks, removed_task_ids=removed)


def listing(*tasks: dict[str, Any], token: str = "") -> runtime_service_pb2.TaskListResponse:
    return runtime_service_pb2.TaskListResponse(tasks=tasks, next_page_token=token)


def watch_tasks(core: Operations, *statuses: Status) -> Flow[None]:
    return core.watch_tasks(statuses=statuses, labels={"team": "x"}, heartbeat=None, timeout=None)


def watched_tasks(*script: Any, statuses: tuple[Status, ...] = ()) -> list[str]:
    """What a watch of tasks gives, until its server refuses: `id status`, or `-id` of a task that is gone."""
    refusal = errors.ResourceExhaustedError("enough", grpc.StatusCode.RESOURCE_EXHAUSTED)
    items: list[Any] = []
    with pytest.raises(errors.ResourceExhaustedError):
        play(watch_tasks(operations(), *statuses), replies(None, *script, refusal), items=items)
    return [
        f"-{item.task_id}" if isinstance(item, TaskRemoved) else f"{item.task_id} {item.status}"
        for item in items
    ]


def test_tasks_are_listed_once_the_watch_is_live() -> None:
    """First the list, page by page, then what changed and is newer, each once; heartbeats are left out."""
    effects, items = play_until(
        watch_tasks(operations(), Status.PROCESSING),
        [None, changes(), listing(TASK, token="2"), listing(TASK | {"task_id": "b"}), changes()],
    )
    assert [type(each) for each in effects[:3]] == [Open, Read, Call]
    assert [each.task_id for each in items] == ["a", "b"]
    lists = [each.request for each in effects if isinstance(each, Call)]
    assert all(dict(each.labels) == {"team": "x"} and list(each.statuses) == [2] for each in lists)


def test_a_change_that_the_list_has_already_is_left_out() -> None:
    """Of two summaries of one task the one with the higher sequence is the later one."""
    later = TASK | {"last_sequence": 5, "status": {"status": report_pb2.STATUS_FAILED}}
    assert watched_tasks(changes(), listing(later), changes(TASK), changes(later)) == ["a failed"]
    assert watched_tasks(changes(TASK), listing(), changes(later)) == ["a processing", "a failed"]


def test_tasks_that_are_gone() -> None:
    """A removed task is reported if it was given; after a reconnection so is every one that is no longer listed."""
    other = TASK | {"task_id": "b"}
    script = (changes(), listing(TASK, other), changes(removed=("a", "x")), UNAVAILABLE, None)
    assert watched_tasks(*script, changes(), listing()) == ["a processing", "b processing", "-a", "-b"]


def test_a_task_that_no_longer_fits_is_given_once_more() -> None:
    """After that it is forgotten: it is not among those that are gone after a reconnection."""
    ended = TASK | {"last_sequence": 5, "status": {"status": report_pb2.STATUS_SUCCEEDED}}
    script = (changes(), listing(TASK), changes(ended), UNAVAILABLE, None, changes(), listing())
    assert watched_tasks(*script, statuses=(Status.PROCESSING,)) == ["a processing", "a succeeded"]


def test_a_watch_of_tasks_that_ends_is_opened_again() -> None:
    """Neither a clean end of the stream nor a slow client's loss of changes is the end of the watch."""
    behind = errors.ServerError("behind", grpc.StatusCode.ABORTED, "WATCH_BEHIND")
    for end in (None, behind):
        script = (changes(), listing(), end, None, changes(), listing(TASK))
        assert watched_tasks(*script) == ["a processing"]


def test_a_list_that_fails_is_begun_again() -> None:
    """The watch is opened anew, and the list read from its first page."""
    script = (changes(), listing(TASK, token="2"), *[UNAVAILABLE] * 4, None, changes(), listing(TASK))
    assert watched_tasks(*script) == ["a processing"]


def test_a_watch_ends_after_the_last_event() -> None:
    """One read after the last event lets the stream end by itself; how it ends does not matter."""
    for end in (None, UNAVAILABLE):
        effects, items, _ = play(watch_flow(operations()), replies(None, watched(*history(4)), end))
        assert [event.sequence for event in items] == [1, 2, 3, 4]
        assert sum(isinstance(each, Open) for each in effects) == 1


def test_a_finished_task_may_have_nothing_to_tell() -> None:
    """A watch after the last event ends without one."""
    _, items, _ = play(watch_flow(operations(), after=7), replies(None, None))
    assert items == []


def test_a_watch_gives_up_after_failures_in_a_row() -> None:
    """Progress forgives earlier failures; without any, the policy's last failure is raised."""
    events = history(9)
    patient = [x for event in events[:3] for x in (UNAVAILABLE, None, watched(event), UNAVAILABLE)]
    left = iter([*patient, UNAVAILABLE, UNAVAILABLE])
    items: list[Any] = []
    with pytest.raises(errors.UnavailableError):
        play(watch_flow(operations(attempts=3)), lambda effect: next(left), items=items)
    assert [event.sequence for event in items] == [1, 2, 3]
    assert next(left, "all used") == "all used"


def test_a_watch_goes_on_with_a_new_token() -> None:
    """A token that expires during a watch may have been renewed, which is tried once; where it was not, the watch ends."""
    expired = errors.UnauthenticatedError("expired", grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
    first, second, *rest = (watched(event) for event in history(4))
    script = replies(None, first, expired, None, second, expired, None, *rest, None)
    _, items, _ = play(watch_flow(operations()), script)
    assert [event.sequence for event in items] == [1, 2, 3, 4]
    for refused in ((expired,), (None, first, expired, None, expired)):
        with pytest.raises(errors.UnauthenticatedError):
            play(watch_flow(operations()), replies(*refused))


def test_a_heartbeat_is_progress() -> None:
    """A heartbeat forgives earlier failures as an event does: a watch of a quiet task outlives many restarts."""
    restart = (UNAVAILABLE, UNAVAILABLE, None, watched())
    script = replies(*restart * 5, watched(*history(3)), None)
    _, items, _ = play(watch_flow(operations(attempts=3)), script)
    assert [event.sequence for event in items] == [1, 2, 3]


def test_repeats_are_no_progress() -> None:
    """A server that sends the same event over and over does not keep a watch alive for ever."""
    event = watched(history(5)[0])
    script = itertools.chain([None, event, UNAVAILABLE], itertools.cycle([None, event, UNAVAILABLE]))
    with pytest.raises(errors.UnavailableError):
        play(watch_flow(operations(attempts=3)), lambda effect: next(script))


@pytest.mark.parametrize(
    ("error", "connected", "resumes"),
    [
        (errors.UnavailableError("", grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"), False, True),
        (errors.ServerError("reset", grpc.StatusCode.INTERNAL), True, True),
        (errors.ServerError("reset", grpc.StatusCode.INTERNAL), False, False),
        (errors.ServerError("bug", grpc.StatusCode.INTERNAL, "INTERNAL"), True, False),
        (errors.ResourceExhaustedError("", grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=1.0), True, True),
        (
            errors.ResourceExhaustedError("", grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=1.0),
            False,
            False,
        ),
        (errors.TaskNotFoundError("", grpc.StatusCode.NOT_FOUND), True, False),
        (errors.SequenceOutOfRangeError("", grpc.StatusCode.OUT_OF_RANGE), True, False),
        (errors.CallCanceledError("", grpc.StatusCode.CANCELLED), True, False),
        (errors.DeadlineExceededError("", grpc.StatusCode.DEADLINE_EXCEEDED), True, False),
    ],
)
def test_a_watch_reconnects_where_that_is_right(
    error: errors.RequestError, connected: bool, resumes: bool
) -> None:
    """Lost connections are made anew, refusals are raised."""
    first, *rest = history(3)
    before = (None, watched(first)) if connected else ()
    script = replies(*before, error, None, watched(*([] if connected else [first]), *rest), None)
    if resumes:
        _, items, _ = play(watch_flow(operations()), script)
        assert [event.sequence for event in items] == [1, 2, 3]
    else:
        with pytest.raises(type(error)):
            play(watch_flow(operations()), script)


def test_unknown_kinds_of_events_are_left_out_but_counted() -> None:
    """An event of a later version is skipped, and is no gap."""
    log = history(3)
    unknown = event_pb2.TaskEvent(sequence=2)
    flow = operations().watch(
        "t", _convert.events, after_sequence=0, view=View.FULL, deltas=False, heartbeat=None, timeout=None
    )
    _, items, _ = play(flow, replies(None, watched(log[0], unknown, log[2]), None))
    assert [event.sequence for event in items] == [1, 3]


def test_silence_is_three_heartbeats() -> None:
    """A watch asks for heartbeats, and takes three missing ones for a dead connection."""
    effects, _, _ = play(watch_flow(operations(), heartbeat=2.0), replies(None, None))
    assert effects[0].request.heartbeat.ToTimedelta().total_seconds() == 2.0
    assert effects[1] == Read(6.0)
    effects, _, _ = play(watch_flow(operations(), heartbeat=0.02), replies(None, None))
    assert effects[1] == Read(pytest.approx(0.3))  # no server sends them more often than every 0.1 seconds
    effects, _, _ = play(watch_flow(operations(), heartbeat=None), replies(None, None))
    assert not effects[0].request.HasField("heartbeat")
    assert effects[1] == Read(None)


@given(data=st.data(), count=st.integers(2, 30), after=st.integers(0, 31))
def test_every_event_comes_once_and_in_order(data: st.DataObject, count: int, after: int) -> None:
    """However the log is cut into responses, streams, repeats, gaps and failures, each event comes once, in order."""
    after = min(after, count)
    log = history(count)
    position = 0  # what the current stream has sent
    failures = 0

    def answer(effect: Any) -> Any:
        nonlocal position, failures
        if failures < 3 and data.draw(st.integers(0, 3)) == 3:
            failures += 1
            return UNAVAILABLE
        if isinstance(effect, Open):
            # a stream may begin too early (repeats), never too late
            position = data.draw(st.integers(0, effect.request.after_sequence))
            return None
        if position == count:
            return None
        if failures < 3 and position + 1 < count and data.draw(st.integers(0, 9)) == 9:
            position += 1  # an event is lost: the client must notice
            failures += 1
        size = data.draw(st.sampled_from([5, 3, 2, 1, 0]))
        chunk = log[position : position + size]
        position += len(chunk)
        if chunk:
            failures = 0
        return watched(*chunk)

    _, items, _ = play(watch_flow(operations(attempts=50), after=after), answer)
    assert [event.sequence for event in items] == list(range(after + 1, count + 1))
