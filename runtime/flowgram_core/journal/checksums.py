"""Checksums of stored data, by which damage is detected: SQLite itself verifies nothing that it reads."""

import hashlib
import zlib


def batch_checksum(cause: str | bytes | None, events: bytes) -> int:
    """The CRC-32 of a batch as it is stored: its cause, then its events. Raises `ValueError` if a text is not valid Unicode."""
    return zlib.crc32(events, 0 if cause is None else zlib.crc32(_bytes_of(cause)))


def inputs_checksum(inputs: str | bytes) -> int:
    """The CRC-32 of a task's inputs as they are stored. Raises `ValueError` if they are not valid Unicode."""
    return zlib.crc32(_bytes_of(inputs))


def _bytes_of(stored: str | bytes) -> bytes:
    return stored.encode() if isinstance(stored, str) else stored


def result_checksum(result: bytes | None) -> int | None:
    """The CRC-32 of a task's result; None while there is none."""
    return None if result is None else zlib.crc32(result)


def hash_of_schema(schema: str) -> bytes:
    """The SHA-256 of a schema's text: the key under which it is stored."""
    return hashlib.sha256(schema.encode("utf-8", "surrogatepass")).digest()
