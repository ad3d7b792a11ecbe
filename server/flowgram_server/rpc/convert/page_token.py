"""Page tokens: where the next page of a list begins, opaque to clients.

A token is signed with a key of the store of tasks, together with the namespace and the filters of its list. So one from
another namespace, from another list, or from elsewhere is refused, and each server of the same tasks takes those of the others.
It keeps nothing secret.
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from flowgram_core.modeling.json_text import dumps
from flowgram_server.rpc.errors import PageTokenInvalid

_SIGNATURE_BYTES: Final = 16
_ORDER: Final = struct.Struct(">Q")
_PURPOSE: Final = b"flowgram page token\0"


class ListScope(NamedTuple):
    """Which list a page is of.

    Attributes:
        namespace: Whose tasks it has.
        statuses: Only tasks in one of these; empty means all.
        labels: Only tasks that carry all of these.
    """

    namespace: str
    statuses: Iterable[int]
    labels: Mapping[str, str]


def encode_page_token(order: int, scope: ListScope, keys: Sequence[bytes]) -> str:
    """The token of the page that goes on below an `order`, signed with the first key."""
    position = _ORDER.pack(order)
    return base64.urlsafe_b64encode(position + _signature(position, scope, keys[0])).decode()


def decode_page_token(token: str, scope: ListScope, keys: Sequence[bytes]) -> int | None:
    """The `order` that a page goes on below; None for the empty token of the first page.

    Raises:
        PageTokenInvalid: It was not signed with one of the keys, or for another namespace or other filters.
    """
    if not token:
        return None
    try:
        content = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise PageTokenInvalid from None
    position, signature = content[: _ORDER.size], content[_ORDER.size :]
    if len(position) < _ORDER.size or not any(
        hmac.compare_digest(signature, _signature(position, scope, key)) for key in keys
    ):
        raise PageTokenInvalid
    order: int = _ORDER.unpack(position)[0]
    return order


def _signature(position: bytes, scope: ListScope, key: bytes) -> bytes:
    statuses = sorted({int(status) for status in scope.statuses})
    signed = dumps([scope.namespace, statuses, sorted(scope.labels.items())]).encode()
    return hmac.digest(key, _PURPOSE + position + signed, "sha256")[:_SIGNATURE_BYTES]
