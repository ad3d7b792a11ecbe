"""A client that gives the contract's own messages, with JSON as the text it came in: for gateways, not for users."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from flowgram.runtime.v1 import event_pb2, runtime_service_pb2
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

from . import models
from ._async import AsyncClient, open_channel
from ._channel import Metadata
from ._requests import Seconds
from ._status import error_from_rpc

_SERVICE: Any = runtime_service_pb2.DESCRIPTOR.services_by_name["WorkflowRuntimeService"]


class _StreamChannel:
    """A connection for streams alone, and how many it has."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.stub = WorkflowRuntimeServiceStub(channel)
        self.streams = 0


class RawClient(AsyncClient):
    """An AsyncClient with methods for the contract's messages. Calls are repeated as those of AsyncClient are.

    A server takes a bounded number of calls at once on one connection, and those beyond it wait without a word. So streams, which
    last, have connections of their own, and never keep other calls waiting.

    Args:
        target: as that of AsyncClient.
        call_metadata: gives metadata for a call that begins now, beside that of all calls; it is not looked at.
        stream_connections: so many connections share the streams; 0: they share that of all other calls.
        options: the other arguments of AsyncClient, but `channel`.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        call_metadata: Callable[[], Metadata] | None = None,
        stream_connections: int = 0,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
        **others: Any,
    ) -> None:
        super().__init__(target, credentials=credentials, options=options, **others)
        self._more_metadata = call_metadata
        # Channels with the same options share one connection, unless each has its own pool.
        of_streams = (*options, ("grpc.use_local_subchannel_pool", 1))
        self._stream_channels = [
            _StreamChannel(open_channel(target, credentials, of_streams)) for _ in range(stream_connections)
        ]
        stub: Any = self._stub
        stub.TaskReportUndecoded = self._channel.unary_unary(
            f"/{_SERVICE.full_name}/TaskReport",
            request_serializer=runtime_service_pb2.TaskReportRequest.SerializeToString,
        )

    def _call_metadata(self) -> Metadata:
        metadata = super()._call_metadata()
        return metadata if self._more_metadata is None else metadata + self._more_metadata()

    async def close(self) -> None:
        """As that of AsyncClient."""
        for each in self._stream_channels:
            await each.channel.close()
        await super().close()

    def _begin_stream(self) -> WorkflowRuntimeServiceStub:
        if not self._stream_channels:
            return self._stub
        least = min(self._stream_channels, key=lambda each: each.streams)
        least.streams += 1
        return least.stub

    def _end_stream(self, stub: WorkflowRuntimeServiceStub) -> None:
        for each in self._stream_channels:
            if each.stub is stub:
                each.streams -= 1

    async def call(self, method: str, request: Message) -> Any:
        """The response of a unary call. It may be sent several times: a TaskRunRequest needs a `request_id`."""
        return await self._finish(self._operations.call(method, request, timeout=None))

    async def report_bytes(self, request: runtime_service_pb2.TaskReportRequest) -> bytes:
        """The response of TaskReport as it came, a serialized `TaskReportResponse`: to decode a large one takes long."""
        data: bytes = await self.call("TaskReportUndecoded", request)
        return data

    async def run_messages(
        self, requests: AsyncIterator[runtime_service_pb2.TaskRunBatchRequest]
    ) -> AsyncGenerator[runtime_service_pb2.TaskRunBatchResponse, None]:
        """One stream of TaskRunBatch, as it is: where it breaks off, `requests` cannot be sent again."""
        stub: Any = self._begin_stream()
        call = stub.TaskRunBatch(requests, metadata=self._call_metadata())
        try:
            async for response in call:
                yield response
        except grpc.RpcError as error:
            raise error_from_rpc(error) from None
        finally:
            call.cancel()
            self._end_stream(stub)

    def watch_events(
        self,
        task_id: str,
        *,
        after_sequence: int = 0,
        view: models.View = models.View.FULL,
        deltas: bool = False,
        heartbeat: Seconds | None = 10.0,
    ) -> AsyncGenerator[Sequence[event_pb2.TaskEvent], None]:
        """As `watch`, without the conversion of events: as many at a time as came in one response."""
        flow = self._operations.watch(
            task_id,
            lambda events: (events,),
            after_sequence=after_sequence,
            view=view,
            deltas=deltas,
            heartbeat=heartbeat,
            timeout=None,
        )
        return self._items(flow)

    def watch_changes(
        self,
        *,
        statuses: Iterable[models.Status] = (),
        labels: Mapping[str, str] | None = None,
        heartbeat: Seconds | None = 10.0,
    ) -> AsyncGenerator[runtime_service_pb2.WatchTasksResponse | None, None]:
        """As `watch_tasks`, without the list: None whenever the watch becomes live, then list anew; else what changed."""
        flow = self._operations.watch_changes(
            statuses=statuses, labels=labels, heartbeat=heartbeat, timeout=None
        )
        return self._items(flow)
