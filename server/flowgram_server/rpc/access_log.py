"""The access log: one line per call, with its method, status, duration, peer and task; no content."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any
from urllib.parse import unquote

import grpc
import structlog
from grpc import StatusCode

from flowgram_server.rpc.grpc_types import Context, Handler

_OWN_FAULTS = {StatusCode.UNKNOWN, StatusCode.INTERNAL, StatusCode.DATA_LOSS}
_MAX_NOTE = 128
"""Characters of a field: what a client sends must not fill the disk."""
_ARITIES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

_notes: ContextVar[dict[str, str] | None] = ContextVar("access_log_notes", default=None)


def note(**fields: str) -> None:
    """Adds fields to the line of the call that is being handled; of long ones, their beginning."""
    notes = _notes.get()
    if notes is not None:
        for name, text in fields.items():
            notes[name] = text if len(text) <= _MAX_NOTE else f"{text[: _MAX_NOTE - 1]}…"


class AccessLog(grpc.aio.ServerInterceptor):
    """Logs every call when it has ended.

    Args:
        logger: Gets the lines: `error` for calls that failed by the server's own fault, `info` for all others.
        clock: Seconds, from any beginning.
    """

    def __init__(
        self, logger: structlog.typing.FilteringBoundLogger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = logger
        self._clock = clock
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler of a method with logging around it; made once for each method that exists."""
        method = handler_call_details.method
        known = self._handlers.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        logged = self._handlers[method] = self._logged(method, handler)
        return logged

    def _logged(self, method: str, handler: Handler) -> Handler:
        arity = next(arity for arity in _ARITIES if getattr(handler, arity) is not None)
        behavior = getattr(handler, arity)
        if isasyncgenfunction(behavior):
            wrapped = self._logged_generator(method, behavior)
        elif iscoroutinefunction(behavior):
            wrapped = self._logged_coroutine(method, behavior)
        else:
            return handler  # runs in a thread, where a call's notes could not be found
        make = getattr(grpc, f"{arity}_rpc_method_handler")
        made: Handler = make(wrapped, handler.request_deserializer, handler.response_serializer)
        return made

    def _logged_coroutine(self, method: str, behavior: Callable[[Any, Context], Awaitable[Any]]) -> Any:
        async def handle(request: Any, context: Context) -> Any:
            with self._line(method, context):
                return await behavior(request, context)

        return handle

    def _logged_generator(
        self, method: str, behavior: Callable[[Any, Context], AsyncGenerator[Any, None]]
    ) -> Any:
        async def handle(request: Any, context: Context) -> AsyncGenerator[Any, None]:
            with self._line(method, context):
                async with aclosing(behavior(request, context)) as answers:
                    async for answer in answers:
                        yield answer

        return handle

    @contextmanager
    def _line(self, method: str, context: Context) -> Iterator[None]:
        notes: dict[str, str] = {}
        _notes.set(notes)
        peer = _shown_peer(context.peer())  # it has none any more once the call has ended
        begin = self._clock()
        fallback = StatusCode.OK
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            fallback = StatusCode.DEADLINE_EXCEEDED if context.time_remaining() == 0 else StatusCode.CANCELLED
            raise
        except BaseException:
            fallback = StatusCode.UNKNOWN
            raise
        finally:
            set_code: StatusCode | None = (
                context.code()
            )  # None if the handler set none, whatever its stub says
            code = fallback if set_code is None else set_code
            log = self._log.error if code in _OWN_FAULTS else self._log.info
            ms = round((self._clock() - begin) * 1000, 3)
            log("call", method=method, code=code.name, ms=ms, peer=peer, **notes)


def _shown_peer(peer: str) -> str:
    """Where a call comes from: `127.0.0.1:4711` where gRPC says `ipv4:127.0.0.1:4711`."""
    return unquote(peer.partition(":")[2]) if peer.startswith(("ipv4:", "ipv6:")) else peer
