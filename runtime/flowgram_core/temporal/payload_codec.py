"""The payload codec: everything that tasks put into a history is compressed, and encrypted with AES-GCM.

The names of keys stand in the payloads' metadata, so that keys can be changed: the first one encrypts, all of them decrypt. A
payload that was not made here is left as it is.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from flowgram_core.journal.encryption import KeyInvalid, KeyMissing, Keys, NotDecrypted
from flowgram_core.temporal.errors import EncryptionKeyInvalid, PayloadUndecipherable, PayloadUnreadable

_ENCRYPTED: Final = b"binary/flowgram-aes256gcm-1"
_COMPRESSED: Final = b"binary/flowgram-zlib-1"
_LEVEL: Final = 1
"""Of zlib: higher ones take twice the time for a tenth of the size."""
_SMALL: Final = 4096
_SMALL_WINDOW_BITS: Final = 12
_SMALL_MEMORY: Final = 4
_MAX_BYTES: Final = 64 * 1024 * 1024
"""A payload that would grow beyond this is damaged, or an attack."""


class TaskPayloadCodec(PayloadCodec):
    """Compresses, and encrypts where there are keys."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Raises `EncryptionKeyInvalid`."""
        try:
            self._keys = Keys(keys)
        except KeyInvalid as error:
            raise EncryptionKeyInvalid(str(error)) from None

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec`."""
        return [self._encode(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """See `PayloadCodec`. Raises `PayloadUnreadable`."""
        return [self._decode(payload) for payload in payloads]

    def _encode(self, payload: Payload) -> Payload:
        data = _compressed(payload.SerializeToString())
        if not self._keys:
            return Payload(metadata={"encoding": _COMPRESSED}, data=data)
        key_name = self._keys.names[0].encode()
        encrypted = self._keys.encrypt(data, key_name)
        return Payload(metadata={"encoding": _ENCRYPTED, "key": key_name}, data=encrypted)

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
        try:
            return self._keys.decrypt(name, payload.data, key_name)
        except KeyMissing:
            raise PayloadUndecipherable(
                f"a payload was encrypted with the key {name!r}, which is not among the encryption keys here"
            ) from None
        except NotDecrypted:
            raise PayloadUndecipherable(
                f"a payload cannot be decrypted with the key {name!r}: it is another key, or damaged"
            ) from None


def _compressed(data: bytes) -> bytes:
    """The same for all who read it: a small window is made faster than the usual one, and small values need no more."""
    if len(data) > _SMALL:
        return zlib.compress(data, _LEVEL)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _SMALL_WINDOW_BITS, _SMALL_MEMORY)
    return compressor.compress(data) + compressor.flush()


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
