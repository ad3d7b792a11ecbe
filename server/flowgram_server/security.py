"""What protects the ports of a server: its guard of calls, its certificates and the gateway's private socket.

All is read as the settings say, and read again when files change.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import NamedTuple

from flowgram_core.concurrency.clock import Clock
from flowgram_server.auth.api_keys import APIKeys, read_keys
from flowgram_server.auth.audit import AuditLog, open_audit_log
from flowgram_server.auth.authenticator import Authenticator
from flowgram_server.auth.client_certificates import ClientCertificates
from flowgram_server.auth.failure_delay import FailureDelay
from flowgram_server.auth.private_socket import private_socket
from flowgram_server.auth.tls import ServerTLS
from flowgram_server.auth.upkeep import Upkeep
from flowgram_server.rpc.authentication import CallGuard
from flowgram_server.settings.security import Auth
from flowgram_server.settings.server import Settings


class Security(NamedTuple):
    """What protects the ports of a server.

    Attributes:
        guard: Lets calls through; None: everybody may call.
        tls: The certificates of the ports; None: they are not encrypted.
        private_target: Where the embedded gateway reaches the server, as a gRPC target; None: by its port, like others.
        audit: Where decisions are written; None: nowhere.
    """

    guard: CallGuard | None
    tls: ServerTLS | None
    private_target: str | None
    audit: AuditLog | None = None


@asynccontextmanager
async def open_security(settings: Settings, clock: Clock) -> AsyncIterator[Security]:
    """What protects the ports of a server, kept up to date for as long as the block lasts.

    Raises:
        CredentialFileUnusable: A file of keys or certificates, or that of the audit log, cannot be used.
    """
    with open_audit_log(settings.audit_log, clock) as audit:
        async with _open_rest(settings, clock, audit) as security:
            yield security


@asynccontextmanager
async def _open_rest(settings: Settings, clock: Clock, audit: AuditLog | None) -> AsyncIterator[Security]:
    kept = Upkeep(clock)
    tls = None
    if settings.tls.files is not None:
        tls = ServerTLS(settings.tls.files)
        kept.watch(settings.tls.files.paths, tls.load)
    guard = None
    if settings.auth.enabled:
        guard = CallGuard(_authenticator(settings.auth, clock, kept), FailureDelay(clock), clock, audit)
        kept.run("open streams", guard.streams.keep)
    private = settings.http_listen and (guard is not None or tls is not None)
    with private_socket() if private else nullcontext() as target:
        async with kept.running():
            yield Security(guard, tls, target, audit)


def _authenticator(settings: Auth, clock: Clock, kept: Upkeep) -> Authenticator:
    authenticator = Authenticator(clock)
    if settings.api_keys_file is not None:
        path = settings.api_keys_file
        kept.watch([path], lambda: partial(authenticator.replace_keys, APIKeys(read_keys(path))))
    if settings.jwt.issuer:
        # The libraries that check tokens take a while to load.
        from flowgram_server.token_security import token_verifier  # noqa: PLC0415 - as above

        authenticator.tokens = token_verifier(settings.jwt, authenticator, clock, kept)
    if settings.certificates:
        authenticator.certificates = ClientCertificates(settings.holders)
    return authenticator
