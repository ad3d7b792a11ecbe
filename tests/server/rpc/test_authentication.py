import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from support.fakes import FakeClock
from support.serving import Service, refused, serving

from flowgram.runtime.v1.runtime_service_pb2 import (
    ServerInfoRequest,
    TaskCancelRequest,
    TaskResultRequest,
    TaskRunBatchRequest,
    TaskRunRequest,
    WatchTaskRequest,
    WatchTasksRequest,
)
from flowgram_server.auth.api_keys import APIKeys, RoleName, new_key
from flowgram_server.auth.authenticator import Authenticator
from flowgram_server.auth.failure_delay import FailureDelay
from flowgram_server.auth.principal import Principal, current_principal
from flowgram_server.rpc.authentication import CallGuard


class Impatient(FakeClock):
    """Waits for nothing."""

    async def sleep(self, seconds: float) -> None:
        return


class Keys:
    """One key for each role, all of team-a."""

    def __init__(self) -> None:
        self.entries = []
        self.texts: dict[str, str] = {}
        roles: tuple[RoleName, ...] = ("reader", "runner", "admin")
        for role in roles:
            text, entry = new_key(
                namespace="team-a",
                role=role,
                lifetime=None,
                note="",
                now=datetime(2026, 1, 1, tzinfo=UTC),
            )
            self.texts[role] = text
            self.entries.append(entry)

    def bearer(self, role: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.texts[role]}"), *more)


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
async def service(keys: Keys) -> AsyncIterator[Service]:
    clock = Impatient()
    guard = CallGuard(Authenticator(clock, keys=APIKeys(keys.entries)), FailureDelay(clock), clock)
    async with serving(guard=guard) as service:
        yield service


def calls(service: Service, metadata: Any) -> list[Any]:
    """One call of each kind."""
    return [
        service.stub.TaskResult(TaskResultRequest(task_id="t1"), metadata=metadata),
        service.stub.WatchTask(WatchTaskRequest(task_id="t1"), metadata=metadata),
        service.stub.TaskRunBatch(iter([TaskRunBatchRequest()]), metadata=metadata),
    ]


async def test_calls_without_credentials(service: Service) -> None:
    """Calls of every kind are refused, and say what to send."""
    for call in calls(service, ()):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIALS_MISSING")
        assert "an API key as `authorization: Bearer" in refusal.text
    assert service.application.asked == {}


@pytest.mark.parametrize("text", ["Bearer fgk_x", "Basic eDp5", "", "Bearer a.b.c"])
async def test_calls_with_invalid_credentials(service: Service, text: str) -> None:
    """What is no key is refused, and nothing of it is in the answer."""
    for call in calls(service, (("authorization", text),)):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def test_two_authorizations(service: Service, keys: Keys) -> None:
    """Which of two counts would be for a proxy and the server to agree on: neither does."""
    refusal = await refused(calls(service, keys.bearer("admin", *keys.bearer("admin")))[0])
    assert refusal.reason == "CREDENTIALS_INVALID"


async def test_a_known_credential_gets_no_less_of_a_look(service: Service, keys: Keys) -> None:
    """Once a credential was found valid, its calls are still held to its role, to one credential, and to the namespace that they name."""
    request = ServerInfoRequest()
    for role in ("reader", "admin", "reader", "admin"):
        assert (await service.stub.ServerInfo(request, metadata=keys.bearer(role))).caller.role == role
    run = service.stub.TaskRun(TaskRunRequest(schema="{}"), metadata=keys.bearer("reader"))
    assert (await refused(run)).reason == "PERMISSION_DENIED"
    for more, reason in (
        (keys.bearer("admin"), "CREDENTIALS_INVALID"),
        ((("flowgram-namespace", "team-b"),), "PERMISSION_DENIED"),
    ):
        call = service.stub.ServerInfo(request, metadata=keys.bearer("reader", *more))
        assert (await refused(call)).reason == reason, more


async def test_who_calls_is_known_to_the_service(service: Service, keys: Keys) -> None:
    """The principal of a call is set where it is answered, also in a stream."""
    seen: list[Principal] = []

    async def task(task_id: str, **_: Any) -> Any:
        seen.append(current_principal.get())
        return service.application.records[task_id]

    service.application.task = task  # type: ignore[method-assign]  # a fake's
    service.application.watched.put_nowait(None)
    await service.stub.TaskResult(TaskResultRequest(task_id="t1"), metadata=keys.bearer("reader"))
    async for _ in service.stub.WatchTask(WatchTaskRequest(task_id="t1"), metadata=keys.bearer("admin")):
        pass
    assert [(each.namespace, each.role.name) for each in seen] == [("team-a", "READER"), ("team-a", "ADMIN")]
    assert seen[0].name.startswith("key:")
    assert seen[0].name.removeprefix("key:") in keys.texts["reader"]


async def test_a_reader_may_not_change_anything(service: Service, keys: Keys) -> None:
    """What the role does not allow is PERMISSION_DENIED, and nothing is done."""
    metadata = keys.bearer("reader")
    for call in (
        service.stub.TaskRun(TaskRunRequest(schema="{}"), metadata=metadata),
        service.stub.TaskCancel(TaskCancelRequest(task_id="t1"), metadata=metadata),
        service.stub.TaskRunBatch(iter([TaskRunBatchRequest()]), metadata=metadata),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert "needs the role runner" in refusal.text
    assert service.application.requests == []
    assert service.application.asked == {}


async def test_an_admin_names_a_namespace(service: Service, keys: Keys) -> None:
    """An admin acts in the namespace that it names; for others it is refused, and an odd name is the caller's mistake."""
    named = ("flowgram-namespace", "team-b")
    seen: list[str] = []

    async def task(task_id: str, **_: Any) -> Any:
        seen.append(current_principal.get().namespace)
        return service.application.records[task_id]

    service.application.task = task  # type: ignore[method-assign]  # a fake's
    request = TaskResultRequest(task_id="t1")
    await service.stub.TaskResult(request, metadata=keys.bearer("admin", named))
    assert seen == ["team-b"]
    refusal = await refused(service.stub.TaskResult(request, metadata=keys.bearer("runner", named)))
    assert refusal.reason == "PERMISSION_DENIED"
    odd = keys.bearer("admin", ("flowgram-namespace", "a/b"))
    refusal = await refused(service.stub.TaskResult(request, metadata=odd))
    assert (refusal.reason, refusal.violations[0][0]) == ("ARGUMENT_INVALID", "flowgram-namespace")
    assert seen == ["team-b"]


async def test_what_a_stranger_learns(service: Service, keys: Keys) -> None:
    """Without credentials the server tells that it is one, and no version; with wrong ones not even that."""
    short = await service.stub.ServerInfo(ServerInfoRequest())
    assert (short.name, short.version, list(short.node_types)) == ("flowgram-server", "", [])
    full = await service.stub.ServerInfo(ServerInfoRequest(), metadata=keys.bearer("reader"))
    assert full.version
    assert list(full.node_types) == ["end", "start"]
    wrong = (("authorization", "Bearer fgk_x"),)
    refusal = await refused(service.stub.ServerInfo(ServerInfoRequest(), metadata=wrong))
    assert refusal.reason == "CREDENTIALS_INVALID"


async def test_a_method_that_does_not_exist(service: Service) -> None:
    """It is unimplemented for all."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.channel.unary_unary("/flowgram.runtime.v1.WorkflowRuntimeService/None")(b"")
    assert caught.value.code() == StatusCode.UNIMPLEMENTED


async def open_streams(guard: CallGuard, count: int) -> None:
    """Returns once so many streams are open."""
    while len(guard.streams) < count:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.001)


async def test_a_stream_ends_with_its_key(keys: Keys) -> None:
    """A watch and a batch that are open when their key is revoked end with CREDENTIALS_INVALID; those of other keys go on."""
    clock = FakeClock()
    authenticator = Authenticator(clock, keys=APIKeys(keys.entries))
    guard = CallGuard(authenticator, FailureDelay(clock), clock)
    async with serving(guard=guard) as service:
        watch = service.stub.WatchTasks(WatchTasksRequest(), metadata=keys.bearer("runner"))
        batch = service.stub.TaskRunBatch(metadata=keys.bearer("runner"))
        other = service.stub.WatchTasks(WatchTasksRequest(), metadata=keys.bearer("reader"))
        await open_streams(guard, 3)
        await guard.streams.look()
        assert len(guard.streams) == 3

        authenticator.replace_keys(APIKeys([key for key in keys.entries if key.role != "runner"]))
        await guard.streams.look()
        for call in (watch, batch):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
            assert "was revoked" in refusal.text
        assert len(guard.streams) == 1
        service.application.watched_tasks.put_nowait(None)
        assert [answer async for answer in other] == []
        assert await other.code() == StatusCode.OK


async def test_a_stream_ends_when_its_key_expires() -> None:
    """Nothing has to change for that: the time goes on, and the stream ends."""
    clock = FakeClock()
    text, entry = new_key(
        namespace="team-a",
        role="reader",
        lifetime=timedelta(seconds=30),
        note="",
        now=datetime.fromtimestamp(clock.now() / 1e6, UTC),
    )
    guard = CallGuard(Authenticator(clock, keys=APIKeys([entry])), FailureDelay(clock), clock)
    async with serving(guard=guard) as service:
        metadata = (("authorization", f"Bearer {text}"),)
        watch = service.stub.WatchTasks(WatchTasksRequest(), metadata=metadata)
        await open_streams(guard, 1)
        clock.advance(29)
        await guard.streams.look()
        assert len(guard.streams) == 1
        clock.advance(1)
        await guard.streams.look()
        refusal = await refused(watch)
        assert (refusal.reason, "has expired" in refusal.text) == ("CREDENTIALS_INVALID", True)


async def test_a_stream_whose_key_has_another_role(keys: Keys) -> None:
    """A batch may go on for as long as the role of its key may run tasks, and a watch for as long as it leads to the same tasks."""
    clock = FakeClock()
    authenticator = Authenticator(clock, keys=APIKeys(keys.entries))
    guard = CallGuard(authenticator, FailureDelay(clock), clock)
    async with serving(guard=guard) as service:
        batch = service.stub.TaskRunBatch(metadata=keys.bearer("runner"))
        watch = service.stub.WatchTasks(WatchTasksRequest(), metadata=keys.bearer("reader"))
        await open_streams(guard, 2)
        changes: dict[str, dict[str, Any]] = {"runner": {"role": "reader"}, "reader": {"namespace": "team-b"}}
        authenticator.replace_keys(
            APIKeys([key.model_copy(update=changes.get(key.role, {})) for key in keys.entries])
        )
        await guard.streams.look()
        assert (await refused(batch)).reason == "PERMISSION_DENIED"
        refusal = await refused(watch)
        assert (refusal.reason, "another namespace" in refusal.text) == ("CREDENTIALS_INVALID", True)


async def test_two_namespaces(service: Service, keys: Keys) -> None:
    """Which of two names counts would be for a proxy and the server to agree on."""
    two = keys.bearer("admin", ("flowgram-namespace", "team-a"), ("flowgram-namespace", "team-b"))
    refusal = await refused(service.stub.TaskResult(TaskResultRequest(task_id="t1"), metadata=two))
    assert (refusal.reason, refusal.violations[0][0]) == ("ARGUMENT_INVALID", "flowgram-namespace")
