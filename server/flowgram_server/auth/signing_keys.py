"""The keys that an issuer signs its tokens with (JWKS), from a file or from the issuer."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

import structlog
from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.supervision import retry_delays
from flowgram_server.address import is_protected
from flowgram_server.auth.credential_file import read_credentials
from flowgram_server.auth.errors import AuthFailure, CredentialFileUnusable, CredentialsInvalid

_REFRESH: Final = 300.0
"""Seconds between two fetches that succeed."""

_AT_ONCE: Final = 10.0
"""Seconds for which an unknown key id is not looked for again: tokens with made-up ids must not burden the issuer."""

_FETCH_TIMEOUT: Final = 10
_MAX_BYTES: Final = 1024 * 1024
_PIECE_BYTES: Final = 64 * 1024
_KINDS: Final = frozenset({"RSA", "EC", "OKP"})

_log = structlog.get_logger(__name__)


class SigningKeys(Protocol):
    """The keys of an issuer."""

    async def find(self, key_id: str | None) -> PyJWK:
        """The key with an id; of a single key, without one, too. Raises `CredentialsInvalid`."""
        ...


class KeySet:
    """Keys by their ids.

    Args:
        keys: All of them; those that do not sign are left out.

    Attributes:
        identities: What each key is, its id included: an id alone may be given to a new key.
    """

    def __init__(self, keys: Iterable[PyJWK]) -> None:
        # A key of bytes could sign as well as check: anybody who knows it could make tokens.
        usable = [key for key in keys if key.public_key_use in (None, "sig") and key.key_type in _KINDS]
        self._by_id: Mapping[str | None, PyJWK] = {key.key_id: key for key in usable}
        self._only = usable[0] if len(usable) == 1 else None
        self.identities = {_identity(key) for key in self._by_id.values()}

    def get(self, key_id: str | None) -> PyJWK | None:
        """The key with an id; the only one there is, where a token names none."""
        return self._only if key_id is None else self._by_id.get(key_id)

    @property
    def ids(self) -> set[str | None]:
        """The ids of all keys."""
        return set(self._by_id)


class FileKeys:
    """Keys from a file, which `auth.file_watch` reads again when it changes."""

    def __init__(self) -> None:
        self._keys = KeySet(())

    def replace(self, keys: KeySet) -> None:
        """From now on, these keys sign and no others."""
        self._keys = keys

    async def find(self, key_id: str | None) -> PyJWK:
        """The key with an id. Raises `CredentialsInvalid`."""
        return _found(self._keys.get(key_id))


class RemoteKeys:
    """Keys from the issuer: fetched now and then, and where a token names one that is not known.

    Where the issuer cannot be reached, those that were fetched last are good for some time.

    Args:
        fetch: Fetches them, in a thread of its own. Raises `CredentialFileUnusable`.
        clock: Tells the time, and waits.
        max_age: Seconds for which they are good.
        on_change: Called when keys are there no more.
    """

    def __init__(
        self,
        fetch: Callable[[], KeySet],
        clock: Clock,
        max_age: float,
        on_change: Callable[[], object],
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._max_age = max_age
        self._on_change = on_change
        self._keys = KeySet(())
        self._fetched: int | None = None
        self._asked: int | None = None
        self._fetching: asyncio.Task[bool] | None = None

    async def find(self, key_id: str | None) -> PyJWK:
        """The key with an id. Raises `CredentialsInvalid`."""
        key = self._keys.get(key_id) if self._good() else None
        if key is None and self._may_ask():
            await self.refresh()
            key = self._keys.get(key_id)
        if not self._good():
            raise CredentialsInvalid(
                "tokens cannot be checked: the keys of their issuer could not be fetched",
                AuthFailure.KEYS_UNAVAILABLE,
            )
        return _found(key)

    async def refresh(self) -> bool:
        """Fetches the keys, unless that is being done: whether they were fetched."""
        if self._fetching is None or self._fetching.done():
            self._asked = self._clock.now()
            self._fetching = asyncio.create_task(self._refresh(), name="signing keys")
        # A waiter that leaves does not end it for the others.
        return await asyncio.shield(self._fetching)

    async def keep(self) -> None:
        """Fetches them again and again, until it is cancelled."""
        delays = retry_delays()
        while True:
            if await self.refresh():
                delays = retry_delays()
                await self._clock.sleep(_REFRESH)
            else:
                await self._clock.sleep(next(delays))

    async def _refresh(self) -> bool:
        try:
            keys = await asyncio.to_thread(self._fetch)
        except CredentialFileUnusable as error:
            if self._fetched is None:
                _log.error("the keys of tokens cannot be fetched: no token is valid", reason=str(error))
            else:
                age = round((self._clock.now() - self._fetched) / 1e6)
                _log.warning(
                    "the keys of tokens cannot be fetched: those that were stay good for some time",
                    reason=str(error),
                    age=age,
                    max_age=self._max_age,
                )
            return False
        gone = self._keys.identities - keys.identities
        self._keys = keys
        self._fetched = self._clock.now()
        if gone:
            self._on_change()
        return True

    def _good(self) -> bool:
        return self._fetched is not None and self._clock.now() - self._fetched <= self._max_age * 1e6

    def _may_ask(self) -> bool:
        if self._fetching is not None and not self._fetching.done():
            return True  # and wait with the others
        return self._asked is None or self._clock.now() - self._asked > _AT_ONCE * 1e6


def read_key_set(path: Path) -> KeySet:
    """The keys in a file. Raises `CredentialFileUnusable`."""
    text = read_credentials(path, _MAX_BYTES)
    try:
        return _key_set(json.loads(text))
    except (ValueError, PyJWTError, RecursionError):
        raise CredentialFileUnusable(f"{path}: is no JSON Web Key Set with a key that can be used") from None


def key_set_fetcher(uri: str, tls: ssl.SSLContext | None = None) -> Callable[[], KeySet]:
    """What fetches the keys of an issuer, in bounded time and memory. It raises `CredentialFileUnusable`.

    Args:
        uri: Where they are.
        tls: Whom to trust; None: the authorities of the system.
    """
    opener = build_opener(HTTPSHandler(context=tls or ssl.create_default_context()), _ProtectedRedirects)

    def fetch() -> KeySet:
        try:
            with opener.open(uri, timeout=_FETCH_TIMEOUT) as response:
                return _key_set(json.loads(_read_all(response)))
        except (ValueError, OSError, HTTPException, PyJWTError, RecursionError) as error:
            raise CredentialFileUnusable(f"{uri}: {type(error).__name__}: {error}") from None

    return fetch


class _ProtectedRedirects(HTTPRedirectHandler):
    """Follows redirects only to where nobody changes the keys on the way."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """The request that follows. Raises `ValueError`."""
        if not is_protected(newurl):
            raise ValueError("it leads on to an address that is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read_all(response: Any) -> bytes:
    """A body that is not too large, and does not come too slowly. Raises `ValueError`."""
    until = time.monotonic() + _FETCH_TIMEOUT
    data = bytearray()
    while piece := response.read1(_PIECE_BYTES):
        data += piece
        if len(data) > _MAX_BYTES:
            raise ValueError(f"a set of keys has at most {_MAX_BYTES} bytes")
        if time.monotonic() > until:
            raise ValueError("it comes too slowly")
    return bytes(data)


def _key_set(data: Any) -> KeySet:
    """Raises `ValueError` and `PyJWTError`."""
    keys: Sequence[PyJWK] = PyJWKSet.from_dict(data).keys if isinstance(data, dict) else ()
    found = KeySet(keys)
    if not found.ids:
        raise ValueError("there is no key that can be used")
    return found


def _identity(key: PyJWK) -> str:
    return json.dumps(key._jwk_data, sort_keys=True)  # noqa: SLF001 - PyJWK does not show what it was made of


def _found(key: PyJWK | None) -> PyJWK:
    if key is None:
        raise CredentialsInvalid(
            "the token is signed with a key that its issuer does not have", AuthFailure.BAD_SIGNATURE
        )
    return key
