"""Page tokens: where the next page of a list begins, opaque to clients.

A token is bound to the filters of its list by a checksum, so that one from another list, or from elsewhere, is refused
instead of giving pages with gaps. It keeps nothing secret and proves nothing.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable, Mapping

from flowgram_core.modeling.json_text import dumps
from flowgram_server.rpc.errors import PageTokenInvalid

_CHECKSUM_BYTES = 8
_ORDER = struct.Struct(">Q")


def encode_page_token(order: int, statuses: Iterable[int], labels: Mapping[str, str]) -> str:
    """The token of the page that goes on below an `order`."""
    position = _ORDER.pack(order)
    return base64.urlsafe_b64encode(position + _checksum(position, statuses, labels)).decode()


def decode_page_token(token: str, statuses: Iterable[int], labels: Mapping[str, str]) -> int | None:
    """The `order` that a page goes on below; None for the empty token of the first page.

    Raises:
        PageTokenInvalid: It was not made here, or for other filters.
    """
    if not token:
        return None
    try:
        content = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise PageTokenInvalid from None
    position, checksum = content[: _ORDER.size], content[_ORDER.size :]
    if len(position) < _ORDER.size or checksum != _checksum(position, statuses, labels):
        raise PageTokenInvalid
    order: int = _ORDER.unpack(position)[0]
    return order


def _checksum(position: bytes, statuses: Iterable[int], labels: Mapping[str, str]) -> bytes:
    filters = dumps([sorted({int(status) for status in statuses}), sorted(labels.items())])
    return hashlib.blake2b(
        position + filters.encode(), digest_size=_CHECKSUM_BYTES, person=b"flowgram page"
    ).digest()
