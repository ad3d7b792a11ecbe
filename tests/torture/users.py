"""Users of the server: each starts tasks, watches, asks, cancels and repeats itself, and remembers all that it gets."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import grpc
from tests.torture.history import History, Violation, result_of
from tests.torture.workflows import SHAPES, VARIANTS, Variant

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

_WATCH = "/flowgram.runtime.v1.WorkflowRuntimeService/WatchTask"
_AWAY = {grpc.StatusCode.UNAVAILABLE}
_BROKEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED}
"""What gRPC also makes of a connection that breaks; answers of the server with these statuses carry details."""
_OPTIONS = [
    ("grpc.lb_policy_name", "round_robin"),  # of several servers each call goes to another one
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.max_receive_message_length", -1),
]


class Users:
    """All users.

    Args:
        target: Where the server listens.
        base_url: Where the workflows' calls go.
        chance: Decides what they do.
        late: Whether a call may miss its deadline: a server whose store is away cannot say how a task is.

    Attributes:
        history: What they were reported, task by task.
        interruptions: How many calls were cut off by a kill.
        streams: How many watches were opened.
    """

    def __init__(self, target: str, base_url: str, chance: random.Random, *, late: bool = False) -> None:
        self.history: list[History] = []
        self.interruptions = 0
        self.streams = 0
        self._base_url = base_url
        self._chance = chance
        self._away = _AWAY | {grpc.StatusCode.DEADLINE_EXCEEDED} if late else _AWAY
        self._channel = grpc.aio.insecure_channel(target, _OPTIONS)
        self._stub: Any = WorkflowRuntimeServiceStub(self._channel)
        # The bytes as they come: what is reported is compared byte for byte.
        self._watch = self._channel.unary_stream(
            _WATCH, request_serializer=service.WatchTaskRequest.SerializeToString, response_deserializer=bytes
        )
        self._stopping = asyncio.Event()

    async def close(self) -> None:
        """Ends all connections."""
        await self._channel.close()

    def stop(self) -> None:
        """Lets nobody start another task."""
        self._stopping.set()

    async def live(self) -> None:
        """One user: one task after the other until `stop`."""
        while not self._stopping.is_set():
            await self.one_task(self._chance.choice(VARIANTS))

    async def one_task(self, variant: Variant) -> History:
        """Starts a task, and does something with it until it has ended and all was said about it."""
        history = History(variant, f"tag-{len(self.history)}-{self._chance.randrange(1 << 32):08x}")
        self.history.append(history)
        await self._start(history)
        others: list[Coroutine[Any, Any, None]] = [
            self._look_on(history) for _ in range(self._chance.randrange(1, 4))
        ]
        if self._chance.random() < 0.4:
            others.append(self._poll(history))
        if self._chance.random() < 0.2:
            others.append(self._cancel(history))
        if self._chance.random() < 0.2:
            others.append(self._repeat(history))
        async with asyncio.TaskGroup() as group:
            for other in others:
                group.create_task(other)
        await self._settle(history)
        return history

    async def undisturbed(self, variant: Variant) -> History:
        """Starts a task, and only looks on."""
        history = History(variant, f"tag-{len(self.history)}")
        self.history.append(history)
        history.accepted((await self._call("TaskRun", self._request(history))).task_id)
        await self._stream(history, 0, "quick")
        return history

    async def listed(self) -> set[str]:
        """The ids of all tasks that the server lists."""
        ids: set[str] = set()
        request = service.TaskListRequest(page_size=1000)
        while True:
            page = await self._call("TaskList", request)
            ids.update(task.task_id for task in page.tasks)
            if not page.next_page_token:
                return ids
            request.page_token = page.next_page_token

    async def _start(self, history: History) -> None:
        request = self._request(history)
        request.wait = self._chance.random() < 0.2
        times = 3 if self._chance.random() < 0.2 else 1
        for answer in await asyncio.gather(*(self._call("TaskRun", request) for _ in range(times))):
            history.accepted(answer.task_id)
            if answer.status.terminated:
                history.settled(result_of(answer))

    def _request(self, history: History) -> service.TaskRunRequest:
        schema, inputs = SHAPES[history.variant.shape], history.variant.inputs(self._base_url, history.tag)
        return service.TaskRunRequest(schema=schema, inputs=inputs, request_id=history.tag)

    async def _repeat(self, history: History) -> None:
        """Sends the request again, and another one under its id."""
        await self._pause(2)
        history.accepted((await self._call("TaskRun", self._request(history))).task_id)
        other = self._request(history)
        other.inputs = VARIANTS[0].inputs(self._base_url, "other")
        try:
            await self._call("TaskRun", other)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
        else:
            raise Violation(f"{history.tag}: another request was accepted under its request_id")

    async def _look_on(self, history: History) -> None:
        """A watcher: quick, slow, or one that comes and goes."""
        manner = self._chance.choice(("quick", "slow", "flighty"))
        seen, over = 0, False
        while not over:
            if manner == "flighty" and seen and self._chance.random() < 0.3:
                seen = self._chance.randrange(seen)
            seen, over = await self._stream(history, seen, manner)

    async def _stream(self, history: History, seen: int, manner: str) -> tuple[int, bool]:
        """One stream: the last sequence that was seen, and whether the task has ended."""
        self.streams += 1
        request = service.WatchTaskRequest(
            task_id=history.task_id, after_sequence=seen, include_deltas=self._chance.random() < 0.3
        )
        stream = self._watch(request)
        responses = self._chance.randrange(4) if manner == "flighty" else -1
        try:
            while responses != 0:
                response: Any = await stream.read()
                if response is grpc.aio.EOF:
                    if not history.terminated:
                        raise Violation(
                            f"{history.tag}: a watch ended after event {seen}, and the task has not"
                        )
                    return seen, True
                seen = history.saw(response, seen)
                responses -= 1
                if manner == "slow":
                    await self._pause(0.3)
        except grpc.aio.AioRpcError as error:
            await self._interrupted(error)
        finally:
            stream.cancel()
        return seen, False

    async def _poll(self, history: History) -> None:
        while not history.terminated:
            if self._chance.random() < 0.5:
                await self._report(history)
            else:
                await self._result(history, wait=self._chance.random() < 0.5)
            await self._pause(0.5)

    async def _cancel(self, history: History) -> None:
        await self._pause(3)
        history.cancel_asked = True
        for _ in range(self._chance.randrange(1, 3)):
            answer = await self._call("TaskCancel", service.TaskCancelRequest(task_id=history.task_id))
            if answer.success and history.canceled:
                raise Violation(f"{history.tag}: was canceled twice")
            history.canceled |= answer.success

    async def _settle(self, history: History) -> None:
        await self._result(history, wait=True)
        await self._report(history)

    async def _result(self, history: History, *, wait: bool) -> None:
        answer = await self._call(
            "TaskResult", service.TaskResultRequest(task_id=history.task_id, wait=wait), timeout=20
        )
        if answer.status.terminated:
            history.settled(result_of(answer))

    async def _report(self, history: History) -> None:
        answer = await self._call("TaskReport", service.TaskReportRequest(task_id=history.task_id))
        history.reported(answer.report)

    async def _call(self, method: str, request: Any, **options: Any) -> Any:
        """Makes a call until it is answered."""
        while True:
            try:
                return await getattr(self._stub, method)(request, **options)
            except grpc.aio.AioRpcError as error:
                await self._interrupted(error)

    async def _interrupted(self, error: grpc.aio.AioRpcError) -> None:
        """Waits a moment if the server was away; raises the error if that is not why."""
        details = any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ())
        if error.code() not in self._away and (details or error.code() not in _BROKEN):
            raise error
        self.interruptions += 1
        await self._pause(0.5)

    async def _pause(self, longest: float) -> None:
        await asyncio.sleep(self._chance.uniform(0, longest))
