"""The response stream of TaskRunBatch: an async generator, and so apart from `batch`, which is compiled."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from flowgram.runtime.v1.runtime_service_pb2 import TaskRunBatchRequest
from flowgram_core.hosting.service import TaskService
from flowgram_core.journal.interface import TaskRecord
from flowgram_server.rpc.batch import Batch


async def batch_responses(
    requests: AsyncIterator[TaskRunBatchRequest],
    application: TaskService,
    namespace: str,
    encode: Callable[[TaskRecord], bytes],
) -> AsyncGenerator[bytes, None]:
    """The serialized responses, until all runs have an outcome and the client sends no more. See `Batch` for the arguments.

    Raises:
        ArgumentInvalid: The first request, or a key, is not as it should be.
        ShuttingDown: The service ends before the tasks do. They go on after the next start.
    """
    first = await anext(requests, None)
    if first is None:
        return
    batch = Batch(first, requests, application, namespace, encode)
    batch.start()
    try:
        while (response := await batch.next_response()) is not None:
            yield response
    finally:
        await batch.close()
