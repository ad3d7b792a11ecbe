"""API keys: how they look, the file that has their hashes, and the check of a key.

A key is `fgk_ID_SECRET`. The file holds the SHA-256 of the secret: it has 256 random bits, so that nobody finds it from its
hash, and no slower hash is needed. The file is JSON, written by `flowgram key` and read again by servers when it changes.
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
from base64 import b32encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE
from flowgram_server.auth.credential_file import read_credentials
from flowgram_server.auth.errors import AuthFailure, CredentialFileUnusable, CredentialsInvalid
from flowgram_server.auth.namespaces import checked_namespace
from flowgram_server.auth.principal import Principal, Role, Verified

KEY_PREFIX: Final = "fgk_"
"""What every key begins with: so people, and scanners of source code, know what they found."""

_KEY: Final = re.compile(rf"{KEY_PREFIX}([a-z2-7]{{12}})_([a-z2-7]{{52}})")
_FILE_MODE: Final = 0o600

MAX_NOTE: Final = 256
"""Characters of what people write about a key."""

RoleName = Literal["reader", "runner", "admin"]


class APIKey(BaseModel):
    """What the file has of a key.

    Attributes:
        id: Names it; a part of the key itself.
        sha256: The hash of its secret, in hexadecimal digits.
        namespace: Where the tasks of its bearer are.
        role: What its bearer may do.
        created: When it was made.
        expires: Until when it is valid; None: for ever.
        note: What people wrote about it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z2-7]{12}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    namespace: Annotated[str, AfterValidator(checked_namespace)] = DEFAULT_NAMESPACE
    role: RoleName
    created: AwareDatetime
    expires: AwareDatetime | None = None
    note: Annotated[str, Field(max_length=MAX_NOTE)] = ""

    @property
    def principal(self) -> Principal:
        """Its bearer."""
        return Principal(f"key:{self.id}", self.namespace, Role[self.role.upper()])


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    keys: list[APIKey] = []

    @field_validator("keys")
    @classmethod
    def _have_ids_of_their_own(cls, keys: list[APIKey]) -> list[APIKey]:
        ids = [key.id for key in keys]
        twice = {each for each in ids if ids.count(each) > 1} if len(set(ids)) < len(ids) else set()
        if twice:
            raise ValueError(f"the ids {', '.join(sorted(twice))} are there more than once")
        return keys


class APIKeys:
    """The keys that a server knows.

    Args:
        keys: All of them.
    """

    def __init__(self, keys: Sequence[APIKey]) -> None:
        self._keys: Mapping[str, APIKey] = {key.id: key for key in keys}

    def verify(self, text: str, now: int) -> Verified:
        """The bearer of a key.

        Args:
            text: The key.
            now: Microseconds since the epoch.

        Raises:
            CredentialsInvalid: It is no key, or is unknown, or has expired.
        """
        parts = _KEY.fullmatch(text)
        if parts is None:
            raise CredentialsInvalid("the credential is no API key")
        key_id, secret = parts.groups()
        key = self._keys.get(key_id)
        known = key.sha256 if key else "0" * 64
        # One text for both: nobody learns which ids there are.
        if not hmac.compare_digest(_hash(secret), known) or key is None:
            raise CredentialsInvalid("the API key is unknown, or was revoked", AuthFailure.UNKNOWN)
        expires = None if key.expires is None else round(key.expires.timestamp() * 1e6)
        if expires is not None and expires <= now:
            raise CredentialsInvalid(f"the API key {key_id} has expired", AuthFailure.EXPIRED)
        return Verified(key.principal, expires)


def read_keys(path: Path) -> list[APIKey]:
    """The keys in a file. Raises `CredentialFileUnusable`."""
    text = read_credentials(path)
    try:
        return _KeyFile.model_validate_json(text).keys
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise CredentialFileUnusable(
            f"{path}: is no file of keys: {f'{field}: ' if field else ''}{first['msg']}"
        ) from None


def new_key(
    *, namespace: str, role: RoleName, lifetime: timedelta | None, note: str, now: datetime
) -> tuple[str, APIKey]:
    """A new key, and what the file is to have of it. Raises `ValueError` where the namespace, or the end, is none."""
    key_id = _random_text(8)[:12]
    secret = _random_text(32)
    key = APIKey(
        id=key_id,
        sha256=_hash(secret),
        namespace=checked_namespace(namespace),
        role=role,
        created=now.replace(microsecond=0),
        expires=None if lifetime is None else _end(now, lifetime),
        note=note,
    )
    return f"{KEY_PREFIX}{key_id}_{secret}", key


def change_keys(path: Path, change: Callable[[list[APIKey]], list[APIKey]]) -> None:
    """Writes a file of keys anew; one that is not there is made, for its owner only.

    Readers find the old file or the new one, never a part, and two changes at once come one after the other.

    Raises:
        CredentialFileUnusable: The file cannot be read or written.
    """
    try:
        path = path.resolve()  # a link stays one
        with _locked(path):
            text = _KeyFile(keys=change(read_keys(path) if path.exists() else []))
            _replace(path, text.model_dump_json(indent=2, exclude_defaults=False).encode() + b"\n")
    except OSError as error:
        raise CredentialFileUnusable(f"{path}: {error.strerror}") from None


def _replace(path: Path, data: bytes) -> None:
    mode, owner = _FILE_MODE, None
    if path.exists():
        found = path.stat()
        mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor is no path
            file.write(data)
            os.fchmod(descriptor, mode)
            if owner is not None and owner != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, *owner)  # such as when root makes a key for the server's user
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps others from changing files in the folder."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _end(now: datetime, lifetime: timedelta) -> datetime:
    try:
        return (now + lifetime).replace(microsecond=0)
    except OverflowError:
        raise ValueError("the key would be valid for longer than dates go") from None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _random_text(size: int) -> str:
    return b32encode(secrets.token_bytes(size)).decode().rstrip("=").lower()
