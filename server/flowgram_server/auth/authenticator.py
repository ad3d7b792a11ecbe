"""The authenticator: finds the principal of the credential that a call carries.

A credential that was found valid is known for a while, by its hash: then a check costs a hash and a look into a table, whatever
kind of credential it is. What is known is forgotten when keys change, when it expires, and after a time anyway.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from flowgram_core.concurrency.clock import Clock
from flowgram_server.auth.api_keys import KEY_PREFIX, APIKeys
from flowgram_server.auth.errors import AuthFailure, CredentialsInvalid, CredentialsMissing
from flowgram_server.auth.principal import Principal, Verified
from flowgram_server.logs import shortened

MAX_KNOWN: Final = 10_000
"""So many valid credentials are known at once; beyond that, the ones that were found first are checked again."""

_KNOWN_FOR: Final = 60.0
"""Seconds for which a credential is known."""

_MAX_CREDENTIAL: Final = 8192
"""Characters of a credential: what is longer is none."""


class TokenVerifier(Protocol):
    """Checks signed tokens."""

    async def verify(self, token: str, now: int) -> Verified:
        """The bearer of a token at a time in microseconds since the epoch. Raises `AuthError`."""
        ...


class CertificateVerifier(Protocol):
    """Knows the holders of client certificates."""

    def verify(self, certificate: bytes) -> Verified:
        """The holder of a certificate, which TLS has checked, in DER or PEM. Raises `AuthError`."""
        ...


class Known(NamedTuple):
    """A credential that was found valid lately.

    Attributes:
        principal: Its bearer.
        until: When it has to be checked again, in microseconds since the epoch.
        fields: What logs say of each call of the bearer.
    """

    principal: Principal
    until: int
    fields: Mapping[str, str]

    @classmethod
    def of(cls, principal: Principal, until: int) -> "Known":
        """That of a bearer."""
        fields = {"principal": shortened(principal.name), "namespace": shortened(principal.namespace)}
        return cls(principal, until, fields)


class Authenticator:
    """Says who calls.

    Args:
        clock: Tells the time.
        keys: The API keys; None: there are none.
        tokens: As the attribute.
        certificates: As the attribute.

    Attributes:
        tokens: Checks signed tokens; None: there are none.
        certificates: Knows client certificates; None: they say nothing of who calls.
        changes: How often all credentials have had to be checked again since the start.
    """

    def __init__(
        self,
        clock: Clock,
        keys: APIKeys | None = None,
        tokens: TokenVerifier | None = None,
        certificates: CertificateVerifier | None = None,
    ) -> None:
        self._clock = clock
        self._keys = keys
        self.tokens = tokens
        self.certificates = certificates
        self.changes = 0
        # Two tables: a certificate is public, and its text as an `authorization` must not stand for its holder.
        self._bearers: dict[bytes, Known] = {}
        self._holders: dict[bytes, Known] = {}

    def replace_keys(self, keys: APIKeys) -> None:
        """From now on, these keys are valid and no others."""
        self._keys = keys
        self.forget()

    def forget(self) -> None:
        """Every credential is checked again: what they were checked with has changed."""
        self.changes += 1
        self._bearers.clear()
        self._holders.clear()

    def known(self, authorization: str) -> Known | None:
        """Whose `authorization` it is, if it was found valid lately."""
        found = self._bearers.get(_digest(authorization))
        return found if found is not None and self._clock.now() < found.until else None

    async def check(self, authorization: str) -> Known:
        """Whose `authorization` it is.

        Raises:
            CredentialsInvalid: It is nobody's.
            PermissionDenied: It is valid, and allows nothing here.
        """
        changes = self.changes
        now = self._clock.now()
        verified = await self._verified(_bearer(authorization), now)
        found = Known.of(verified.principal, self._until(verified, now))
        if changes == self.changes:  # what has changed meanwhile may no longer have it
            _remember(self._bearers, _digest(authorization), found)
        return found

    def holder(self, certificate: bytes) -> Known:
        """Whose client certificate it is. Raises `AuthError`."""
        if self.certificates is None:
            raise self.missing()
        digest = hashlib.sha256(certificate).digest()
        now = self._clock.now()
        found = self._holders.get(digest)
        if found is not None and now < found.until:
            return found
        verified = self.certificates.verify(certificate)
        if verified.expires is not None and verified.expires <= now:  # a connection may live longer
            raise CredentialsInvalid("the client certificate has expired", AuthFailure.EXPIRED)
        found = Known.of(verified.principal, self._until(verified, now))
        _remember(self._holders, digest, found)
        return found

    def missing(self) -> CredentialsMissing:
        """What to tell a call without credentials."""
        kinds = [
            *(["an API key"] if self._keys is not None else []),
            *(["a token"] if self.tokens is not None else []),
        ]
        bearer = f"{' or '.join(kinds)} as `authorization: Bearer …`" if kinds else ""
        certificate = "a client certificate" if self.certificates is not None else ""
        return CredentialsMissing(", or ".join(filter(None, (bearer, certificate))))

    async def _verified(self, credential: str, now: int) -> Verified:
        if self._keys is not None and (self.tokens is None or credential.startswith(KEY_PREFIX)):
            return self._keys.verify(credential, now)
        if self.tokens is not None:
            return await self.tokens.verify(credential, now)
        raise CredentialsInvalid("the server takes client certificates, and neither keys nor tokens")

    @staticmethod
    def _until(verified: Verified, now: int) -> int:
        until = now + round(_KNOWN_FOR * 1e6)
        return until if verified.expires is None else min(until, verified.expires)


def _remember(table: dict[bytes, Known], digest: bytes, found: Known) -> None:
    table.pop(digest, None)
    if len(table) >= MAX_KNOWN:
        table.pop(next(iter(table)))
    table[digest] = found


def _digest(authorization: str) -> bytes:
    # As strong as SHA-256, and in less than half the time: that one is OpenSSL's, which has to be asked for it each time.
    return hashlib.blake2b(authorization.encode("utf-8", "surrogateescape"), digest_size=32).digest()


def _bearer(authorization: str) -> str:
    scheme, _, credential = authorization.partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential:
        raise CredentialsInvalid("authorization must be: Bearer, a space, and the key or token")
    if len(credential) > _MAX_CREDENTIAL:
        raise CredentialsInvalid("the credential is too long for a key or a token")
    return credential
