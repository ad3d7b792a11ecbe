"""The guard of calls: finds out who calls, and whether the caller may, before anything else is done.

A server that asks for no credentials has no guard, and its calls are handled as they are.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import grpc

from flowgram_server.auth.audit import AuditLog
from flowgram_server.auth.authenticator import Authenticator
from flowgram_server.auth.errors import AuthError, CredentialsInvalid
from flowgram_server.auth.failure_delay import FailureDelay
from flowgram_server.auth.namespaces import NAMESPACE_KEY, in_namespace
from flowgram_server.auth.permissions import MINIMUM_ROLE, check_role
from flowgram_server.auth.principal import STRANGER, Principal, Role, current_principal
from flowgram_server.auth.private_socket import CERTIFICATE_KEY, PEER_KEY, PRIVATE_PEER
from flowgram_server.rpc.access_log import note, shown_peer
from flowgram_server.rpc.errors import ArgumentInvalid, Violation
from flowgram_server.rpc.grpc_types import Context, Handler
from flowgram_server.rpc.rich_status import abort

AUTHORIZATION: Final = "authorization"
"""The metadata that carries a key or a token."""


class CallGuard:
    """Lets calls through to their handlers with `current_principal` set, and refuses all others.

    Args:
        authenticator: Says who calls.
        delay: Slows down refusals.
        audit: Is notified of streams when they begin, for they may last; None: nothing is.
    """

    def __init__(
        self, authenticator: Authenticator, delay: FailureDelay, audit: AuditLog | None = None
    ) -> None:
        self._authenticator = authenticator
        self._delay = delay
        self._audit = audit

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
            await self._admit(method, needed, context)
            return await behavior(request, context)

        return handle

    def _guarded_stream(
        self, method: str, needed: Role, behavior: Callable[[Any, Context], AsyncGenerator[bytes, None]]
    ) -> Any:
        async def handle(request: Any, context: Context) -> AsyncGenerator[bytes, None]:
            await self._admit(method, needed, context)
            if self._audit is not None:
                self._tell_of_stream(self._audit, method, context)
            async with aclosing(behavior(request, context)) as answers:
                async for answer in answers:
                    yield answer

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

    async def _admit(self, method: str, needed: Role, context: Context) -> None:
        """Sets the principal of a call; ends the call if it may not be made."""
        if context.peer().startswith(PRIVATE_PEER):
            note(caller=_peer(context))
        try:
            principal = await self._principal(needed, context)
            check_role(principal, method, needed)
        except CredentialsInvalid as error:
            note(failures=str(await self._delay.wait(_peer(context))))
            await abort(context, error)
        except (AuthError, ArgumentInvalid) as error:
            await abort(context, error)
        current_principal.set(principal)

    async def _principal(self, needed: Role, context: Context) -> Principal:
        authorization = namespace = None
        for key, value in context.invocation_metadata() or ():
            if key == AUTHORIZATION:
                if authorization is not None:
                    raise CredentialsInvalid("there is more than one authorization")
                authorization = value
            elif key == NAMESPACE_KEY:
                namespace = value
        principal = await self._bearer(authorization, needed, context)
        note(principal=principal.name, namespace=principal.namespace)
        if namespace is None:
            return principal
        try:
            principal = in_namespace(principal, str(namespace))
        except ValueError as error:
            raise ArgumentInvalid(Violation(NAMESPACE_KEY, str(error))) from None
        note(namespace=principal.namespace)
        return principal

    async def _bearer(self, authorization: str | bytes | None, needed: Role, context: Context) -> Principal:
        authenticator = self._authenticator
        if authorization is not None:
            text = str(authorization)
            return authenticator.known(text) or await authenticator.check(text)
        if authenticator.certificates is not None:
            certificate = _certificate(context)
            if certificate is not None:
                return authenticator.holder(certificate)
        if needed == Role.NONE:
            return STRANGER
        raise authenticator.missing()


def _certificate(context: Context) -> bytes | None:
    """The certificate that the caller has shown, in PEM, or in DER where the gateway tells of it; None: it has none."""
    if context.peer().startswith(PRIVATE_PEER):
        told = _told(context, CERTIFICATE_KEY)
        return told if isinstance(told, bytes) else None
    shown = context.auth_context().get("x509_pem_cert")
    return next(iter(shown), None) if shown else None


def _peer(context: Context) -> str:
    """Where a call comes from: HOST:PORT, or as gRPC writes it."""
    peer = context.peer()
    return str(_told(context, PEER_KEY) or peer) if peer.startswith(PRIVATE_PEER) else peer


def _told(context: Context, wanted: str) -> str | bytes | None:
    return next((value for key, value in context.invocation_metadata() or () if key == wanted), None)
