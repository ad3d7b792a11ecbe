"""Checksums of stored data, by which damage is detected: SQLite itself verifies nothing that it reads."""

import hashlib
import zlib


def batch_checksum(cause: str | None, events: bytes) -> int:
    """The CRC-32 of a batch: its cause, then its events. Raises `ValueError` if the cause is not valid Unicode."""
    return zlib.crc32(events, 0 if cause is None else zlib.crc32(cause.encode()))


def inputs_checksum(inputs: str) -> int:
    """The CRC-32 of a task's inputs. Raises `ValueError` if they are not valid Unicode."""
    return zlib.crc32(inputs.encode())


def result_checksum(result: bytes | None) -> int | None:
    """The CRC-32 of a task's result; None while there is none."""
    return None if result is None else zlib.crc32(result)


def hash_of_schema(schema: str) -> bytes:
    """The SHA-256 of a schema's text: the key under which it is stored."""
    return hashlib.sha256(schema.encode("utf-8", "surrogatepass")).digest()
