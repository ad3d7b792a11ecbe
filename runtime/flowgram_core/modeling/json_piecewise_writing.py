"""Writing of large JSON values in pieces, by threads that must not keep others waiting.

It stays Python: there the interpreter lets other threads go on between two pieces, which compiled code does not.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from flowgram_core.modeling.json_encoding import encode_at_once
from flowgram_core.modeling.sizes import size_of


class _Writing(threading.local):
    in_pieces = False
    """Whether this thread must not keep others waiting."""


writing: Final = _Writing()
_PIECE: Final = 64 * 1024
"""Bytes that are written at once, about, where it is done in pieces."""


@contextmanager
def writing_in_pieces() -> Iterator[None]:
    """Lets this thread write values in such a way that no other thread waits for long, while the block lasts."""
    writing.in_pieces = True
    try:
        yield
    finally:
        writing.in_pieces = False


def write_in_pieces(value: Any, depth: int) -> Iterator[bytes]:
    """What `encode` writes, each piece in a short time: runs of small parts are written at once, large parts one by one."""
    if depth == 0 or size_of(value, _PIECE) <= _PIECE:
        yield encode_at_once(value)
        return
    is_object = isinstance(value, dict)
    yield b"{" if is_object else b"["
    run: Any = {} if is_object else []
    size, comma = 0, b""
    for name, part in value.items() if is_object else enumerate(value):
        part_size = size_of(part, _PIECE) if isinstance(part, dict | list | str) else 0
        if run and size + part_size > _PIECE:
            yield comma + encode_at_once(run)[1:-1]
            run, size, comma = {} if is_object else [], 0, b","
        if part_size > _PIECE:
            yield comma + (encode_at_once(name) + b":" if is_object else b"")
            yield from _write_text(part) if isinstance(part, str) else write_in_pieces(part, depth - 1)
            comma = b","
            continue
        if is_object:
            run[name] = part
        else:
            run.append(part)
        size += part_size + 8
    if run:
        yield comma + encode_at_once(run)[1:-1]
    yield b"}" if is_object else b"]"


def _write_text(text: str) -> Iterator[bytes]:
    yield b'"'
    for start in range(0, len(text), _PIECE):
        yield encode_at_once(text[start : start + _PIECE])[1:-1]
    yield b'"'
