"""Encryption with AES-256-GCM: the keys by name, what is made with them, and sealed values of the journal.

The first key encrypts, all decrypt, so that keys can be changed. The Temporal host encrypts its payloads with the same keys.

A sealed value holds all that it takes to open it, but the key: a mark, the name of the key, a salt, a number, the ciphertext. The key
that encrypts is derived from the named one and the salt (HKDF-SHA256), which is new for each process; within one, values are numbered,
and the number is the nonce: a key that is used for billions of values must not draw nonces at random. What surrounds the ciphertext, and
the associated data, which names the row of the value, are authenticated: a value that was moved does not open.
"""

import base64
import binascii
import os
import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# The library is loaded where there are keys: it takes a while.

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MARK: Final = b"\x00FG1"
"""No encoded message begins with a zero byte."""
_SALT_BYTES: Final = 16
_NUMBER: Final = struct.Struct(">Q")
_VALUES_PER_SALT: Final = 1 << 32
_KEPT_CIPHERS: Final = 1024


class KeyInvalid(Exception):
    """A key cannot be used. The text names it, and never shows it."""


class KeyMissing(Exception):
    """Something was encrypted with a key that is not there.

    Attributes:
        name: Of the key.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"it is encrypted with the key {name!r}, which is not among those that are given")
        self.name = name


class NotDecrypted(Exception):
    """Something cannot be decrypted with its key: that is another one, or it is damaged."""

    def __init__(self, name: str) -> None:
        super().__init__(f"it cannot be decrypted with the key {name!r}")


class Keys:
    """Keys by name.

    Args:
        keys: Base64 of 32 bytes by name; the first one encrypts.

    Attributes:
        names: All names; the first one is that of the key that encrypts.

    Raises:
        KeyInvalid: One is no key.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.names = tuple(keys)
        self._keys = {name: _key(name, text) for name, text in keys.items()}
        self._ciphers = {name: _cipher(key) for name, key in self._keys.items()}
        # Bound to this object: no key is kept for longer than it.
        self._derived = lru_cache(_KEPT_CIPHERS)(self._derive)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.names)

    def encrypt(self, data: bytes, associated_data: bytes) -> bytes:
        """Data encrypted with the first key: a random nonce, and the ciphertext. For values that are not very many."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[self.names[0]].encrypt(nonce, data, associated_data)

    def decrypt(self, name: str, data: bytes, associated_data: bytes) -> bytes:
        """What `encrypt` was given. Raises `KeyMissing` and `NotDecrypted`."""
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise KeyMissing(name)
        return _decrypt(cipher, name, data[:_NONCE_BYTES], data[_NONCE_BYTES:], associated_data)

    def derived(self, name: str, salt: bytes) -> "AESGCM":
        """The cipher of a key that is derived from a named one. Raises `KeyMissing`."""
        if name not in self._keys:
            raise KeyMissing(name)
        return self._derived(name, salt)

    def _derive(self, name: str, salt: bytes) -> "AESGCM":
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 - as above

        return _cipher(HKDF(SHA256(), KEY_BYTES, salt, b"flowgram journal").derive(self._keys[name]))


def _cipher(key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - as above

    return AESGCM(key)


def _key(name: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyInvalid(f"the encryption key {name!r} is not the base64 of {KEY_BYTES} bytes")
    return key


def is_key_name(name: str) -> bool:
    """Whether a key of the journal can have a name."""
    return _NAME.fullmatch(name) is not None


def _decrypt(cipher: "AESGCM", name: str, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above

    try:
        return cipher.decrypt(nonce, data, associated_data)
    except (InvalidTag, ValueError):  # ValueError: there is less than a nonce
        raise NotDecrypted(name) from None


class Sealer:
    """Seals values with the first key. For one thread at a time.

    Args:
        keys: There is at least one.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._name = keys.names[0]
        self._begin()

    def _begin(self) -> None:
        salt = os.urandom(_SALT_BYTES)
        self._cipher = self._keys.derived(self._name, salt)
        self._head = _MARK + bytes([len(self._name)]) + self._name.encode("ascii") + salt
        self._count = 0

    def seal(self, data: bytes, associated_data: str) -> bytes:
        """A sealed value.

        Args:
            data: The value.
            associated_data: Authenticated with it, and no part of the sealed value: it opens with the same only.
        """
        if self._count == _VALUES_PER_SALT:
            self._begin()
        head = self._head + _NUMBER.pack(self._count)
        self._count += 1
        return head + self._cipher.encrypt(_nonce(head), data, head + associated_data.encode())


def is_sealed(value: object) -> bool:
    """Whether a stored value is sealed."""
    return isinstance(value, bytes) and value.startswith(_MARK)


def unseal(keys: Keys, value: bytes, associated_data: str) -> bytes:
    """What was sealed with this associated data. Raises `KeyMissing` and `NotDecrypted`."""
    start = len(_MARK) + 1
    end = start + value[len(_MARK)] if len(value) > len(_MARK) else start
    name = value[start:end].decode("ascii", "replace")
    length = end + _SALT_BYTES + _NUMBER.size
    if len(value) < length:
        raise NotDecrypted(name)
    head = value[:length]
    cipher = keys.derived(name, value[end : end + _SALT_BYTES])
    return _decrypt(cipher, name, _nonce(head), value[length:], head + associated_data.encode())


def _nonce(head: bytes) -> bytes:
    return head[-_NUMBER.size :].rjust(_NONCE_BYTES, b"\x00")
