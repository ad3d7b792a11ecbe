"""The text of a body, decoded by the label in its Content-Type. Source: the Encoding standard of the WHATWG."""

import codecs
import re
from typing import Final

import webencodings

from flowgram_core.nodes.network.transport import TimeSlice

# No repetition gives back what it has: however many blanks there are, they are looked at once.
_LABEL: Final = re.compile(r"""charset\s*+=\s*+["']?+\s*+([^\s"';]++)""", re.IGNORECASE)
_BYTE_ORDER_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\xff\xfe", "utf-16-le"),
)
_UTF_8: Final = codecs.lookup("utf-8")
PIECE: Final = 65_536
"""Bytes that are decoded in one go: where nearly all of them are wrong, this takes some milliseconds."""

_MOST_LABELS: Final = 256
_LONGEST_LABEL: Final = 256
_remembered: Final[dict[str, codecs.CodecInfo]] = {}
"""By Content-Type: the same ones come again and again."""


async def decode_text(body: bytes, content_type: str, time_slice: TimeSlice) -> str:
    """A body as text: by its byte order mark, else by the label, else as UTF-8. What has no meaning becomes U+FFFD."""
    if len(body) <= PIECE:
        return decode_at_once(body, content_type)
    codec, start = _codec_of(body, content_type)
    decoder = codec.incrementaldecoder("replace")
    parts = []
    for position in range(start, len(body), PIECE):
        parts.append(decoder.decode(body[position : position + PIECE]))
        await time_slice()
    parts.append(decoder.decode(b"", final=True))
    return "".join(parts)


def decode_at_once(body: bytes, content_type: str) -> str:
    """As `decode_text`, for a body of `PIECE` bytes at most."""
    codec, start = _codec_of(body, content_type)
    if start:
        body = body[start:]
    return body.decode("utf-8", "replace") if codec is _UTF_8 else codec.decode(body, "replace")[0]


def _codec_of(body: bytes, content_type: str) -> tuple[codecs.CodecInfo, int]:
    """How to decode a body, and where its text begins."""
    for mark, name in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return codecs.lookup(name), len(mark)
    codec = _remembered.get(content_type)
    if codec is None:
        label = _LABEL.search(content_type)
        # Of the labels, only those of the web are known: Python's own have codecs that take hours, or unpack a gigabyte.
        encoding = webencodings.lookup(label[1]) if label else None
        codec = _UTF_8 if encoding is None else encoding.codec_info
        if len(content_type) <= _LONGEST_LABEL:
            if len(_remembered) >= _MOST_LABELS:
                _remembered.clear()
            _remembered[content_type] = codec
    return codec, 0


def is_charset(label: str) -> bool:
    """Whether a text is the label of an encoding. Python itself would look for a module, and remember every text it was asked for."""
    return webencodings.lookup(label) is not None
