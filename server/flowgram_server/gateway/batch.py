"""Batches over HTTP: NDJSON in, NDJSON out. The first line has the defaults, each further one a run; outcomes come as they are ready.

Lines are read while runs are under way. A line that is wrong is an outcome, too, with its number, and the others run. The body is
read no further than outcomes are taken, those of wrong lines too, as on the gRPC stream behind it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, TypeVar

from fastapi import Response
from google.protobuf.duration_pb2 import Duration
from google.rpc.status_pb2 import Status as RichStatus
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_client import RequestError
from flowgram_client._raw import RawClient
from flowgram_client._status import error_from_details
from flowgram_core.concurrency.offload import run_in_thread_if_large
from flowgram_server.gateway import json_encoding
from flowgram_server.gateway.errors import (
    BodyTimedOut,
    BodyTooLarge,
    ContentTypeUnsupported,
    ErrorAnswer,
    RequestInvalid,
    answer_to,
)
from flowgram_server.gateway.field_problems import problems_of
from flowgram_server.gateway.openapi_models import BatchDefaultsBody, BatchRunBody
from flowgram_server.gateway.request_body import Body, parse_body
from flowgram_server.gateway.responses import NEVER_KEPT

MEDIA_TYPE: Final = "application/x-ndjson"

_Shape = TypeVar("_Shape", bound=BaseModel)

_MOST_WRONG: Final = 64
"""Outcomes of wrong lines that wait for others to be written with."""
_BLANK = re.compile(rb"\s*+")
_NDJSON = re.compile(r"application/(?:x-ndjson|jsonl|x-jsonlines|json)", re.IGNORECASE)


def check_content_type(content_type: str) -> None:
    """Raises `ContentTypeUnsupported` unless a request says that it carries lines of JSON: pages cannot say so unasked."""
    if not _NDJSON.fullmatch(content_type.partition(";")[0].strip()):
        raise ContentTypeUnsupported(content_type)


class Lines:
    """The lines of a body, read as they are wanted; blank ones are passed over.

    Args:
        parts: The body.
        limit: The greatest length of a line.
    """

    def __init__(self, parts: AsyncIterator[bytes], limit: int) -> None:
        self.number = 0
        self._parts = parts
        self._limit = limit
        self._rest = bytearray()
        self._searched = 0  # so much of the rest has no end of a line
        self._ended = False

    async def next(self) -> bytes | None:
        """The next line; None at the end. Raises `BodyTooLarge`."""
        rest = self._rest
        while True:
            if not self._searched and (blank := _BLANK.match(rest)) is not None:
                length = blank.end()
                del blank  # while it is there, the rest cannot be resized
                del rest[:length]
            end = rest.find(b"\n", self._searched)
            if end >= 0 or (self._ended and rest):
                self._searched = 0
                end = len(rest) if end < 0 else end
                line = bytes(rest[:end]).rstrip()
                del rest[: end + 1]
                self.number += 1
                return line
            if self._ended:
                return None
            self._searched = len(rest)
            if self._searched > self._limit:
                raise BodyTooLarge(self._limit)
            part = await anext(self._parts, None)
            if part is None:
                self._ended = True
            else:
                rest += part


class BatchResponse(Response):
    """Answers with the outcomes of a batch. What keeps it from beginning is raised as an error.

    Args:
        client: Runs the batch.
        lines: The lines of the request.
        first_timeout: Seconds in which the first line must come.
        time_slice: Waits for the next slice of the event loop's time.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        client: RawClient,
        lines: Lines,
        *,
        first_timeout: float,
        time_slice: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(headers={**NEVER_KEPT, "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._client = client
        self._lines = lines
        self._first_timeout = first_timeout
        self._time_slice = time_slice
        self._wrong: list[bytes] = []
        self._writing = asyncio.Lock()
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Sends the answer.

        Raises:
            RequestInvalid: The first line has no valid defaults.
            BodyTimedOut: It does not come.
            RequestError: The batch was refused before there was an outcome.
        """
        defaults = await self._defaults()
        try:
            async with aclosing(self._client.run_messages(self._requests(defaults, send))) as responses:
                async for response in responses:
                    await self._write(send, b"".join(map(_line, response.outcomes)))
        except RequestError as error:
            if not self._started:
                raise
            await self._write(send, _encoded({"error": _error(answer_to(error))}))
        except ClientDisconnect:
            return
        await self._write(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Send, data: bytes = b"") -> None:
        """Sends the outcomes of wrong lines, and what follows them."""
        async with self._writing:
            if not self._started:
                self._started = True
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            wrong, self._wrong = self._wrong, []
            await send({"type": "http.response.body", "body": b"".join((*wrong, data)), "more_body": True})

    async def _defaults(self) -> service.TaskRunBatchRequest:
        try:
            async with asyncio.timeout(self._first_timeout):
                line = await self._lines.next()
        except TimeoutError:
            raise BodyTimedOut from None
        if line is None:
            raise RequestInvalid("the first line must have the defaults of the batch")
        wanted = await self._checked(BatchDefaultsBody, line)
        defaults = service.TaskRunRequest(
            schema=wanted.schema_text, labels=wanted.labels, display_name=wanted.display_name
        )
        if wanted.timeout:
            defaults.timeout.CopyFrom(_milliseconds(wanted.timeout))
        return service.TaskRunBatchRequest(defaults=defaults, max_in_flight=wanted.max_in_flight)

    async def _requests(
        self, first: service.TaskRunBatchRequest, send: Send
    ) -> AsyncIterator[service.TaskRunBatchRequest]:
        yield first
        while (line := await self._lines.next()) is not None:
            number = self._lines.number
            try:
                body = await parse_body(line, self._time_slice)
                wanted = _validated(BatchRunBody, body.value)
                request = await run_in_thread_if_large(body.size, _request_of, wanted, body, number)
            except RequestInvalid as error:
                self._wrong.append(_encoded({"line": number, "error": _error(answer_to(error))}))
                await self._time_slice()
                if len(self._wrong) >= _MOST_WRONG:
                    await self._write(send)
                continue
            yield request

    async def _checked(self, shape: type[BatchDefaultsBody], line: bytes) -> BatchDefaultsBody:
        return _validated(shape, (await parse_body(line)).value)


def _request_of(wanted: BatchRunBody, body: Body, number: int) -> service.TaskRunBatchRequest:
    request = service.TaskRunRequest(
        inputs=body.member_text("inputs"),
        request_id=wanted.request_id,
        labels=wanted.labels,
        display_name=wanted.display_name,
    )
    run = service.BatchRun(key=wanted.key or str(number), request=request)
    return service.TaskRunBatchRequest(runs=[run])


def _validated(shape: type[_Shape], value: Any) -> _Shape:
    try:
        return shape.model_validate(value, strict=True)
    except ValidationError as error:
        raise RequestInvalid(*problems_of(error.errors())) from None


def _milliseconds(count: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(count)
    return duration


def _line(outcome: service.BatchOutcome) -> bytes:
    """An outcome as a line."""
    if outcome.WhichOneof("result") == "rejected":
        error = answer_to(error_from_details(RichStatus.FromString(outcome.rejected.SerializeToString())))
        return _encoded({"key": outcome.key, "error": _error(error)})
    received = outcome.outcome
    shaped: dict[str, Any] = {
        "key": outcome.key,
        "taskID": received.task_id,
        "workflowStatus": json_encoding.status(received.status),
    }
    if received.outputs:
        shaped["outputs"] = json_encoding.json_object(received.outputs)
    if received.errors:
        shaped["messages"] = [json_encoding.message(each) for each in received.errors]
    return _encoded(shaped)


def _error(answer: ErrorAnswer) -> dict[str, Any]:
    return {"code": answer.code, "message": answer.message, "errors": answer.errors}


def _encoded(value: Any) -> bytes:
    # Ends of lines stand between the parts of a JSON text only, where a blank means the same.
    return json_encoding.encode(value).translate(json_encoding.LINE_ENDS) + b"\n"
