"""Content codings: bodies that came compressed, unpacked in small pieces, however much a server has packed into few bytes."""

import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

import brotli

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.network.charsets import is_charset
from flowgram_core.nodes.network.transport import HTTPResponse, TimeSlice

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ACCEPTED: Final = "gzip, deflate"
"""What requests ask for. More is understood."""
PIECE: Final = 65_536
"""Bytes that are unpacked in one go, about."""
_INPUT: Final = 16_384
"""Bytes that a coding gets in one go."""
_MOST_CODINGS: Final = 5
_MOST_PACKED: Final = 64 * 1024 * 1024
"""Bytes that a body may have where it is still packed, once the outermost coding is undone: what is in it may be nothing at all."""
_NO_CODING: Final = frozenset({"", "identity", "none", "binary", "7bit", "8bit", "aws-chunked"})
"""What servers say of bodies that are not compressed."""
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZLIB_METHOD: Final = 8

_Layer = Callable[[bytes], Iterator[bytes]]
"""Takes a piece, and gives what is in it, in small pieces. Raises an error of `_ERRORS` for what cannot be unpacked."""
_ERRORS: Final = (zlib.error, brotli.error, zstd.ZstdError)


class _Gzip:
    """gzip, also several members one after the other; what comes after the last one is left out."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        self._is_over = False

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        while piece and not self._is_over:
            if self._member.eof:
                if not piece.startswith(_GZIP_MAGIC[: len(piece)]):
                    self._is_over = True
                    return
                self._member = zlib.decompressobj(_GZIP_WINDOW)
            yield self._member.decompress(piece, PIECE)
            piece = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        if not self._member.eof and not self._is_over:
            while more := self._member.decompress(b"", PIECE):
                yield more


class _Deflate:
    """deflate: with the head of zlib, as the standard has it, or bare, as some servers send it."""

    def __init__(self) -> None:
        self._stream: Any = None

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        if self._stream is None and piece:
            is_zlib = piece[0] & 0x0F == _ZLIB_METHOD
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        while piece and not self._stream.eof:
            yield self._stream.decompress(piece, PIECE)
            piece = self._stream.unconsumed_tail
        if self._stream is not None:
            while not self._stream.eof and (more := self._stream.decompress(b"", PIECE)):
                yield more


class _Brotli:
    """br, RFC 7932."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        if self._stream.is_finished():
            return
        yield self._stream.process(piece, output_buffer_limit=PIECE)
        while more := self._stream.process(b"", output_buffer_limit=PIECE):
            yield more


class _Zstandard:
    """zstd, RFC 8878; several frames one after the other."""

    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor()

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        while piece or not (self._frame.eof or self._frame.needs_input):
            if self._frame.eof:
                self._frame = zstd.ZstdDecompressor()
            yield self._frame.decompress(piece, PIECE)
            piece = self._frame.unused_data if self._frame.eof else b""


_LAYERS: Final[dict[str, Callable[[], _Layer]]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstandard,
}


def codings_of(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """The codings that a response's headers name, in the order in which they were applied."""
    return [
        coding
        for name, value in headers
        if name == b"content-encoding"
        for coding in (part.strip().lower() for part in value.decode("latin-1").split(","))
        # Some servers mistake the one encoding for the other.
        if coding not in _NO_CODING and not is_charset(coding)
    ]


def _make_layers(codings: Sequence[str]) -> list[_Layer]:
    if len(codings) > _MOST_CODINGS:
        raise NodeError(f"The response is compressed {len(codings)} times: {', '.join(codings)[:100]}")
    for coding in codings:
        if coding not in _LAYERS:
            raise NodeError(f'The response has the content coding "{coding[:100]}", which cannot be decoded')
    return [_LAYERS[coding]() for coding in reversed(codings)]


class _Unpacker:
    """Undoes codings, one after the other."""

    def __init__(self, codings: Sequence[str]) -> None:
        self._layers = _make_layers(codings)
        self._packed = 0

    def unpack(self, piece: bytes, done: int = 0) -> Iterator[bytes]:
        """What is in a piece, of which so many codings are undone. After each step there is something, though it be empty."""
        if done == len(self._layers):
            yield piece
            return
        for inner in self._layers[done](piece):
            if not inner:
                yield b""
                continue
            if done + 1 < len(self._layers):
                self._packed += len(inner)
                if self._packed > _MOST_PACKED:
                    raise NodeError(
                        f"The response has more than {_MOST_PACKED} bytes where it is still compressed"
                    )
            yield from self.unpack(inner, done + 1)


async def read_decoded(response: HTTPResponse, time_slice: TimeSlice) -> AsyncIterator[bytes]:
    """The body of a response in pieces, unpacked; between two that were packed into one, others may go on.

    Raises:
        NodeError: It is compressed in a way that cannot be decoded, or is not what its headers say.
        TransportError: The connection broke.
    """
    codings = codings_of(response.headers)
    if not codings:
        while piece := await response.read():
            yield piece
        return
    unpacker = _Unpacker(codings)
    while piece := await response.read():
        try:
            # Of what a layer leaves of its input it makes a copy, each time.
            for start in range(0, len(piece), _INPUT):
                for part in unpacker.unpack(piece[start : start + _INPUT]):
                    if part:
                        yield part
                    await time_slice()
        except _ERRORS as error:
            raise NodeError("HTTP response cannot be decompressed") from error
