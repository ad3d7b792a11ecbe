"""The payload codec: everything that tasks put into a history is compressed, and encrypted with AES-GCM.

The names of keys stand in the payloads' metadata, so that keys can be changed: the first one encrypts, all of them decrypt. A
payload that was not made here is left as it is.
"""

import base64
import binascii
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from flowgram_core.temporal.errors import EncryptionKeyInvalid, PayloadUnreadable

_ENCRYPTED: Final = b"binary/flowgram-aes256gcm-1"
_COMPRESSED: Final = b"binary/flowgram-zlib-1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LEVEL: Final = 1
"""Of zlib: higher ones take twice the time for a tenth of the size."""
_MAX_BYTES: Final = 64 * 1024 * 1024
"""A payload that would grow beyond this is damaged, or an attack."""


def parse_keys(keys: Mapping[str, str]) -> dict[str, AESGCM]:
    """Ciphers by the name of their key. Raises `EncryptionKeyInvalid`, which names the key and never shows it."""
    return {name: AESGCM(_key(name, text)) for name, text in keys.items()}


def _key(name: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise EncryptionKeyInvalid(f"the encryption key {name!r} is not the base64 of {_KEY_BYTES} bytes")
    return key


class TaskPayloadCodec(PayloadCodec):
    """Compresses, and encrypts where there are keys."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Raises `EncryptionKeyInvalid`."""
        self._ciphers = parse_keys(keys)
        self._current = next(iter(keys), "")

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec`."""
        return [self._encode(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec`. Raises `PayloadUnreadable`."""
        return [self._decode(payload) for payload in payloads]

    def _encode(self, payload: Payload) -> Payload:
        data = zlib.compress(payload.SerializeToString(), _LEVEL)
        name = self._current
        if not name:
            return Payload(metadata={"encoding": _COMPRESSED}, data=data)
        nonce, key_name = os.urandom(_NONCE_BYTES), name.encode()
        encrypted = self._ciphers[name].encrypt(nonce, data, key_name)
        return Payload(metadata={"encoding": _ENCRYPTED, "key": key_name}, data=nonce + encrypted)

    def _decode(self, payload: Payload) -> Payload:
        encoding = payload.metadata.get("encoding")
        if encoding not in {_ENCRYPTED, _COMPRESSED}:
            return payload
        data = payload.data if encoding == _COMPRESSED else self._decrypt(payload)
        try:
            decompressor = zlib.decompressobj()
            text = decompressor.decompress(data, _MAX_BYTES)
            if not decompressor.eof:
                raise PayloadUnreadable("a payload is cut off or too large")
        except zlib.error as error:
            raise PayloadUnreadable("a payload is damaged") from error
        return Payload.FromString(text)

    def _decrypt(self, payload: Payload) -> bytes:
        key_name = payload.metadata.get("key", b"")
        name = key_name.decode(errors="replace")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise PayloadUnreadable(
                f"a payload was encrypted with the key {name!r}, which is not among the encryption_keys here"
            )
        try:
            return cipher.decrypt(payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:], key_name)
        except (InvalidTag, ValueError):  # ValueError: there is less than a nonce
            raise PayloadUnreadable(
                f"a payload cannot be decrypted with the key {name!r}: it is another key, or damaged"
            ) from None


def data_converter(keys: Mapping[str, str], *, unencrypted: bool) -> DataConverter:
    """How all values go into histories, and come out of them; messages and stack traces of failures included.

    Args:
        keys: Base64 of keys by their names; the first one encrypts.
        unencrypted: Whether there may be none.

    Raises:
        EncryptionKeyInvalid: A key is no key; or there is none, and that was not asked for.
    """
    if not keys and not unencrypted:
        raise EncryptionKeyInvalid(
            "histories hold API keys and everything else that tasks work on: give encryption_keys, or say unencrypted = true"
        )
    return replace(
        DataConverter.default,
        payload_codec=TaskPayloadCodec(keys),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
