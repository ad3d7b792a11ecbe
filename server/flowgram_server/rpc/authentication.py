"""The guard of calls: finds out who calls, and whether the caller may, before anything else is done.

A server that asks for no credentials has no guard, and its calls are handled as they are.
"""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, NoReturn

import grpc

from flowgram_core.concurrency.clock import Clock
from flowgram_server.auth.audit import AuditLog
from flowgram_server.auth.authenticator import Authenticator, Known
from flowgram_server.auth.errors import AuthError, AuthFailure, CredentialsInvalid
from flowgram_server.auth.failure_delay import FailureDelay
from flowgram_server.auth.namespaces import NAMESPACE_KEY, in_namespace
from flowgram_server.auth.open_streams import CredentialEnded, OpenStreams
from flowgram_server.auth.permissions import MINIMUM_ROLE, check_role
from flowgram_server.auth.principal import STRANGER, Role, current_principal
from flowgram_server.auth.private_socket import CERTIFICATE_KEY, PEER_KEY, PRIVATE_PEER
from flowgram_server.rpc.access_log import note, shown_peer
from flowgram_server.rpc.errors import ArgumentInvalid, Violation
from flowgram_server.rpc.grpc_types import Context, Handler
from flowgram_server.rpc.observed_calls import note_all
from flowgram_server.rpc.rich_status import abort

AUTHORIZATION: Final = "authorization"
"""The metadata that carries a key or a token."""

_STRANGER: Final = Known.of(STRANGER, sys.maxsize)

_SAYS_MORE: Final = frozenset({AUTHORIZATION, NAMESPACE_KEY, PEER_KEY})
"""Metadata that is to be looked at more closely: two credentials, another namespace, a call of the gateway."""


class CallGuard:
    """Lets calls through to their handlers with `current_principal` set, and refuses all others.

    Args:
        authenticator: Says who calls.
        delay: Slows down refusals.
        clock: Tells the time, and waits.
        audit: Is notified of streams when they begin, for they may last; None: nothing is.

    Attributes:
        streams: Those that are open. Its `keep` has to run, for them to end with their credentials.
    """

    def __init__(
        self, authenticator: Authenticator, delay: FailureDelay, clock: Clock, audit: AuditLog | None = None
    ) -> None:
        self._authenticator = authenticator
        self._delay = delay
        self._audit = audit
        self.streams = OpenStreams(authenticator, clock)

    def guarded(self, method: str, handler: Handler) -> Handler:
        """The handler of a method of the contract, for callers who may. Raises `KeyError` for a method without a role."""
        needed = MINIMUM_ROLE[method]
        if handler.response_streaming:
            arity = "stream_stream" if handler.request_streaming else "unary_stream"
            guarded = self._guarded_stream(method, needed, getattr(handler, arity))
        else:
            arity = "unary_unary"
            guarded = self._guarded_unary(method, needed, getattr(handler, arity))
        made: Handler = getattr(grpc, f"{arity}_rpc_method_handler")(guarded)
        return made

    def _guarded_unary(
        self, method: str, needed: Role, behavior: Callable[[Any, Context], Awaitable[bytes]]
    ) -> Any:
        async def handle(request: Any, context: Context) -> bytes:
            if self._admitted_at_once(needed, context) is None:
                await self._admit(method, needed, context)
            return await behavior(request, context)

        return handle

    def _guarded_stream(
        self, method: str, needed: Role, behavior: Callable[[Any, Context], AsyncGenerator[bytes, None]]
    ) -> Any:
        async def handle(request: Any, context: Context) -> AsyncGenerator[bytes, None]:
            changes = self._authenticator.changes
            admitted = self._admitted_at_once(needed, context) or await self._admit(method, needed, context)
            if self._audit is not None:
                self._tell_of_stream(self._audit, method, context)

            async def recheck() -> int:
                found = await self._known(needed, context)
                check_role(found.principal, method, needed)
                if found.principal.namespace != admitted.principal.namespace:
                    raise CredentialsInvalid(
                        "the credential is for another namespace now", AuthFailure.UNKNOWN
                    )
                return found.until

            with self.streams.opened(recheck, admitted.until, changes) as stream:
                async with aclosing(behavior(request, context)) as answers:
                    try:
                        while True:
                            yield await stream.next(answers)
                    except StopAsyncIteration:
                        return
                    except CredentialEnded as ended:
                        reason = ended.reason
            await _refuse(context, reason)

        return handle

    @staticmethod
    def _tell_of_stream(audit: AuditLog, method: str, context: Context) -> None:
        principal = current_principal.get()
        audit.write(
            principal=principal.name,
            namespace=principal.namespace,
            peer=shown_peer(_peer(context)),
            method=method,
            allowed=True,
            status="OPEN",
        )

    def _admitted_at_once(self, needed: Role, context: Context) -> Known | None:
        """As `_admit`, with less work, for nearly all calls: those whose one credential is known. None: that has to look closer."""
        authorization = None
        for key, value in context.invocation_metadata() or ():
            if key in _SAYS_MORE:
                if key != AUTHORIZATION or authorization is not None:
                    return None
                authorization = value
        if authorization is None:
            return None
        found = self._authenticator.known(str(authorization))
        if found is None or found.principal.role < needed:
            return None
        note_all(found.fields)
        current_principal.set(found.principal)
        return found

    async def _admit(self, method: str, needed: Role, context: Context) -> Known:
        """Sets the principal of a call, and gives it; ends the call if it may not be made."""
        if context.peer().startswith(PRIVATE_PEER):
            note(caller=_peer(context))
        try:
            admitted = await self._known(needed, context)
            check_role(admitted.principal, method, needed)
        except CredentialsInvalid as error:
            note(failures=str(await self._delay.wait(_peer(context))))
            await _refuse(context, error)
        except AuthError as error:
            await _refuse(context, error)
        except ArgumentInvalid as error:
            await abort(context, error)
        current_principal.set(admitted.principal)
        return admitted

    async def _known(self, needed: Role, context: Context) -> Known:
        """Who makes a call, in the namespace that it names. Raises `AuthError` and `ArgumentInvalid`."""
        authorization = namespace = None
        for key, value in context.invocation_metadata() or ():
            if key == AUTHORIZATION:
                if authorization is not None:
                    raise CredentialsInvalid("there is more than one authorization")
                authorization = value
            elif key == NAMESPACE_KEY:
                if namespace is not None and namespace != value:
                    raise ArgumentInvalid(Violation(NAMESPACE_KEY, "there is more than one"))
                namespace = value
        found = await self._bearer(authorization, needed, context)
        note_all(found.fields)
        if namespace is None:
            return found
        try:
            principal = in_namespace(found.principal, str(namespace))
        except ValueError as error:
            raise ArgumentInvalid(Violation(NAMESPACE_KEY, str(error))) from None
        note(namespace=principal.namespace)
        return Known.of(principal, found.until)

    async def _bearer(self, authorization: str | bytes | None, needed: Role, context: Context) -> Known:
        authenticator = self._authenticator
        if authorization is not None:
            text = str(authorization)
            return authenticator.known(text) or await authenticator.check(text)
        if authenticator.certificates is not None:
            certificate = _certificate(context)
            if certificate is not None:
                return authenticator.holder(certificate)
        if needed == Role.NONE:
            return _STRANGER
        raise authenticator.missing()


async def _refuse(context: Context, error: AuthError) -> NoReturn:
    note(auth_failure=error.failure)
    await abort(context, error)


def _certificate(context: Context) -> bytes | None:
    """The certificate that the caller has shown, in PEM, or in DER where the gateway tells of it; None: it has none."""
    if context.peer().startswith(PRIVATE_PEER):
        received = _recorded(context, CERTIFICATE_KEY)
        return received if isinstance(received, bytes) else None
    shown = context.auth_context().get("x509_pem_cert")
    return next(iter(shown), None) if shown else None


def _peer(context: Context) -> str:
    """Where a call comes from: HOST:PORT, or as gRPC writes it."""
    peer = context.peer()
    return str(_recorded(context, PEER_KEY) or peer) if peer.startswith(PRIVATE_PEER) else peer


def _recorded(context: Context, wanted: str) -> str | bytes | None:
    return next((value for key, value in context.invocation_metadata() or () if key == wanted), None)
