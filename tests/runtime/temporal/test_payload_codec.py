"""What stands in a cluster: compressed, encrypted, and read with the key only."""

import base64
import zlib

import pytest

pytest.importorskip("temporalio")

from temporalio.api.common.v1 import Payload

from flowgram_core.temporal.errors import EncryptionKeyInvalid, PayloadUnreadable
from flowgram_core.temporal.payload_codec import TaskPayloadCodec, data_converter

FIRST = {"first": base64.b64encode(b"1" * 32).decode()}
SECOND = {"second": base64.b64encode(b"2" * 32).decode()}
PAYLOAD = Payload(metadata={"encoding": b"binary/plain"}, data=b"sk-secret " * 100)


async def test_nothing_is_readable() -> None:
    """The payload, its size aside, says only how it is encoded and the name of the key; it is smaller, and never the same."""
    codec = TaskPayloadCodec(FIRST)
    one, other = await codec.encode([PAYLOAD, PAYLOAD])
    assert one.data != other.data
    assert b"secret" not in one.SerializeToString()
    assert len(one.data) < 200
    assert set(one.metadata) == {"encoding", "key"}
    assert await codec.decode([one, other]) == [PAYLOAD, PAYLOAD]


async def test_keys_are_changed() -> None:
    """The first key encrypts, all decrypt; without the key the error names it, and nothing else."""
    (old,) = await TaskPayloadCodec(FIRST).encode([PAYLOAD])
    both = TaskPayloadCodec(SECOND | FIRST)
    assert await both.decode([old]) == [PAYLOAD]
    (new,) = await both.encode([PAYLOAD])
    assert new.metadata["key"] == b"second"
    with pytest.raises(PayloadUnreadable, match="'second'"):
        await TaskPayloadCodec(FIRST).decode([new])
    with pytest.raises(PayloadUnreadable, match="'first'"):
        await TaskPayloadCodec({"first": SECOND["second"]}).decode([old])


async def test_damage_is_noticed() -> None:
    """What was changed on the way, or its key's name, or was cut off, is an error; so is a payload that would fill memory."""
    codec = TaskPayloadCodec(FIRST | SECOND)
    (payload,) = await codec.encode([PAYLOAD])
    renamed = Payload(metadata={**payload.metadata, "key": b"second"}, data=payload.data)
    for data in (payload.data[:-1], payload.data[:-1] + b"x", b""):
        with pytest.raises(PayloadUnreadable):
            await codec.decode([Payload(metadata=payload.metadata, data=data)])
    with pytest.raises(PayloadUnreadable):
        await codec.decode([renamed])
    plain = TaskPayloadCodec({})
    for data in (b"no zlib", zlib.compress(bytes(100 * 1024 * 1024), level=1)):
        bad = Payload(metadata={"encoding": b"binary/flowgram-zlib-1"}, data=data)
        with pytest.raises(PayloadUnreadable):
            await plain.decode([bad])


async def test_what_was_not_made_here_is_left() -> None:
    """Payloads of other programs, and those of a time without keys, can still be read."""
    codec = TaskPayloadCodec(FIRST)
    assert await codec.decode([PAYLOAD]) == [PAYLOAD]
    (compressed,) = await TaskPayloadCodec({}).encode([PAYLOAD])
    assert await codec.decode([compressed]) == [PAYLOAD]


def test_keys_are_required() -> None:
    """Without keys nothing starts unless that was asked for, and a wrong one is named and not shown."""
    with pytest.raises(EncryptionKeyInvalid, match="unencrypted"):
        data_converter({}, unencrypted=False)
    data_converter({}, unencrypted=True)
    for key in ("short", base64.b64encode(b"1" * 31).decode(), "\u00fc" * 44):
        with pytest.raises(EncryptionKeyInvalid, match="'mine'") as caught:
            data_converter({"mine": key}, unencrypted=True)
        assert key not in str(caught.value)
