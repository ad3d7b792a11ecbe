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
_PIECE: Final = 65_536
"""Bytes that are decoded in one go: where nearly all of them are wrong, this takes some milliseconds."""


async def decode_text(body: bytes, content_type: str, time_slice: TimeSlice) -> str:
    """A body as text: by its byte order mark, else by the label, else as UTF-8. What has no meaning becomes U+FFFD."""
    label = _LABEL.search(content_type)
    encoding = webencodings.lookup(label[1]) if label else None
    # Of the labels, only those of the web are known: Python's own have codecs that take hours, or unpack a gigabyte.
    codec = codecs.lookup("utf-8") if encoding is None else encoding.codec_info
    for mark, name in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            body = body[len(mark) :]
            codec = codecs.lookup(name)
            break
    if len(body) <= _PIECE:
        return codec.decode(body, "replace")[0]
    decoder = codec.incrementaldecoder("replace")
    parts = []
    for start in range(0, len(body), _PIECE):
        parts.append(decoder.decode(body[start : start + _PIECE]))
        await time_slice()
    parts.append(decoder.decode(b"", final=True))
    return "".join(parts)


def is_charset(label: str) -> bool:
    """Whether a text is the label of an encoding. Python itself would look for a module, and remember every text it was asked for."""
    return webencodings.lookup(label) is not None
