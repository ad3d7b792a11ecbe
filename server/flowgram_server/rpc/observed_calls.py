"""Observed calls: notifies the access log, metrics and traces of every gRPC call.

One layer around a handler for all of them, since each costs every message of a stream some time.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, Final, NamedTuple, Protocol

import grpc
from grpc import StatusCode

from flowgram_server.logs import shortened
from flowgram_server.rpc.grpc_types import Context, Handler

_ARITIES: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_TYPES: Final = {
    "unary_unary": "unary",
    "unary_stream": "server_stream",
    "stream_unary": "client_stream",
    "stream_stream": "bidi_stream",
}

_notes: ContextVar[dict[str, str] | None] = ContextVar("call_notes", default=None)


def note(**fields: str) -> None:
    """Adds fields to what observers get to know of the call that is being handled; of long ones, their beginning."""
    notes = _notes.get()
    if notes is not None:
        for name, text in fields.items():
            notes[name] = shortened(text)


def note_all(fields: Mapping[str, str]) -> None:
    """As `note`, for fields of which the same are added again and again: with texts that are `shortened` already."""
    notes = _notes.get()
    if notes is not None:
        notes.update(fields)


class Method(NamedTuple):
    """A method that the server has.

    Attributes:
        path: `/package.Service/Method`.
        service: `package.Service`.
        name: `Method`.
        type: `unary`, `server_stream`, `client_stream` or `bidi_stream`.
    """

    path: str
    service: str
    name: str
    type: str


class Call:
    """One call of a method.

    Attributes:
        method: The method.
        context: gRPC's.
        notes: What the handlers have noted; see `note`.
        code: How it has ended.
        seconds: How long it took.
        began: When it began, by the clock of `ObservedServer`.
        given: What the listeners have given when it began, in their order.
    """

    __slots__ = ("began", "code", "context", "given", "method", "notes", "seconds")

    def __init__(self, method: Method, context: Context, began: float) -> None:
        self.method = method
        self.context = context
        self.notes: dict[str, str] = {}
        self.code = StatusCode.OK
        self.seconds = 0.0
        self.began = began
        self.given: list[Any] = []


class CallListener(Protocol):
    """Is notified of the calls of one method. What it does must be quick, and must not raise."""

    def begun(self, call: Call) -> Any:
        """A call has begun. What it gives is handed to `ended`."""
        ...

    def ended(self, call: Call, given: Any) -> None:
        """A call has ended; `code` and `seconds` are set."""
        ...

    def received(self) -> None:
        """A call got one message of a stream. Of a method that takes one alone, `begun` tells of it."""
        ...

    def sent(self) -> None:
        """A call has sent one message of a stream. Of a method that gives one alone, `ended` tells of it."""
        ...


class CallObserver(Protocol):
    """Is notified of all calls."""

    counts_messages: bool
    """Whether `received` and `sent` are of interest."""

    def listener(self, method: Method) -> CallListener | None:
        """What is notified of the calls of a method; asked for once for each. None: they are not of interest."""
        ...


class ObservedServer:
    """Where services are added to a gRPC server so that observers are notified of every call of theirs.

    The handlers are wrapped when they are added: an interceptor would cost each call about a hundred microseconds more, since gRPC
    then looks for the handler anew.

    Args:
        server: A server that has not started.
        observers: Whom to notify; the first is notified first when a call begins, and last when one ends.
        clock: Seconds, from any beginning.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        observers: Sequence[CallObserver] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._observers = observers
        self._clock = clock

    def add_methods(
        self, service: str, handlers: dict[str, Handler], *, frequent: Collection[str] = ()
    ) -> None:
        """Adds the methods of a service.

        Args:
            service: `package.Service`.
            handlers: By the methods' names.
            frequent: Those that are called most, which should be few: gRPC finds them with less work, but waits anew for the next call of
                each of them whenever any call comes, which takes a microsecond or two per method.
        """
        if self._observers:
            handlers = {name: self._observed(service, name, handler) for name, handler in handlers.items()}
        if frequent:
            registered = {name: handlers[name] for name in frequent}
            self._server.add_registered_method_handlers(service, registered)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """Adds the methods of a service, as what is generated does."""
        self.add_methods(service, handlers)

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Adds nothing: what is generated calls this as well, with the methods that it registers."""

    def _observed(self, service: str, name: str, handler: Handler) -> Handler:
        arity = next(arity for arity in _ARITIES if getattr(handler, arity) is not None)
        behavior = getattr(handler, arity)
        method = Method(f"/{service}/{name}", service, name, _TYPES[arity])
        calls = _Calls(method, self._observers, self._clock)
        if not calls.are_observed:
            return handler
        if isasyncgenfunction(behavior):
            wrapped = calls.around_generator(behavior)
        elif iscoroutinefunction(behavior):
            wrapped = calls.around_coroutine(behavior)
        else:
            return handler  # runs in a thread, where a call's notes could not be found
        make = getattr(grpc, f"{arity}_rpc_method_handler")
        made: Handler = make(wrapped, handler.request_deserializer, handler.response_serializer)
        return made


class _Calls:
    """The calls of one method."""

    def __init__(self, method: Method, observers: Sequence[CallObserver], clock: Callable[[], float]) -> None:
        self._method = method
        self._clock = clock
        self._listeners: list[CallListener] = []
        self._received: list[Callable[[], None]] = []
        self._sent: list[Callable[[], None]] = []
        for observer in observers:
            listener = observer.listener(method)
            if listener is None:
                continue
            self._listeners.append(listener)
            if observer.counts_messages:
                self._received.append(listener.received)
                self._sent.append(listener.sent)
        if method.type in {"unary", "server_stream"}:
            self._received.clear()
        if method.type in {"unary", "client_stream"}:
            self._sent.clear()
        self._ending = [*enumerate(self._listeners)][::-1]

    @property
    def are_observed(self) -> bool:
        """Whether anybody is notified of them."""
        return bool(self._listeners)

    def around_coroutine(self, behavior: Callable[[Any, Context], Awaitable[Any]]) -> Any:
        # Written out, here and below: a context manager made by a generator would cost as much as all that it does.
        async def handle(request: Any, context: Context) -> Any:
            call = self._begun(context)
            try:
                answer = await behavior(self._counted(request) if self._received else request, context)
            except BaseException as error:
                self._ended(call, _fallback(error, context))
                raise
            self._ended(call, StatusCode.OK)
            return answer

        return handle

    def around_generator(self, behavior: Callable[[Any, Context], AsyncGenerator[Any, None]]) -> Any:
        async def handle(request: Any, context: Context) -> AsyncGenerator[Any, None]:
            call = self._begun(context)
            try:
                given = self._counted(request) if self._received else request
                async with aclosing(behavior(given, context)) as answers:
                    async for answer in answers:
                        for count in self._sent:
                            count()
                        yield answer
            except BaseException as error:
                self._ended(call, _fallback(error, context))
                raise
            self._ended(call, StatusCode.OK)

        return handle

    async def _counted(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            for count in self._received:
                count()
            yield request

    def _begun(self, context: Context) -> Call:
        call = Call(self._method, context, self._clock())
        _notes.set(call.notes)
        call.given = [listener.begun(call) for listener in self._listeners]
        return call

    def _ended(self, call: Call, fallback: StatusCode) -> None:
        # None if the handler set none, whatever its stub says
        set_code: StatusCode | None = call.context.code()
        call.code = fallback if set_code is None else set_code
        call.seconds = self._clock() - call.began
        for index, listener in self._ending:
            listener.ended(call, call.given[index])


def _fallback(error: BaseException, context: Context) -> StatusCode:
    """How a call has ended whose handler raised an error, and set no code."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return StatusCode.DEADLINE_EXCEEDED if context.time_remaining() == 0 else StatusCode.CANCELLED
    return StatusCode.UNKNOWN
