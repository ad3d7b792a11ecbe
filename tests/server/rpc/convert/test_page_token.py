import base64
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flowgram_server.rpc.convert.page_token import ListScope, decode_page_token, encode_page_token
from flowgram_server.rpc.errors import PageTokenInvalid

KEYS = (b"the present key", b"the one before")

orders = st.integers(min_value=0, max_value=2**63 - 1)
scopes = st.builds(
    ListScope,
    st.sampled_from(["default", "acme"]),
    st.frozensets(st.integers(1, 5)),
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
)


@given(orders, scopes)
def test_token_comes_back(order: int, scope: ListScope) -> None:
    """A token gives the position it was made of, with the same filters in any order."""
    token = encode_page_token(order, scope, KEYS)
    reordered = ListScope(
        scope.namespace, [*scope.statuses, *scope.statuses], dict(reversed(scope.labels.items()))
    )
    assert decode_page_token(token, reordered, KEYS) == order
    assert set(token) <= set(string.ascii_letters + string.digits + "-_=")


def test_empty_token_is_the_first_page() -> None:
    """Without a token a list begins with the newest."""
    assert decode_page_token("", ListScope("default", (), {}), KEYS) is None


@given(orders, scopes, scopes)
def test_other_lists_are_refused(order: int, scope: ListScope, other: ListScope) -> None:
    """A token of one list is none of another: of other filters, or of another namespace."""
    assume(scope != other)
    with pytest.raises(PageTokenInvalid):
        decode_page_token(encode_page_token(order, scope, KEYS), other, KEYS)


@given(orders, scopes, st.data())
def test_tampered_tokens_are_refused(order: int, scope: ListScope, data: st.DataObject) -> None:
    """Whatever bit is changed."""
    content = bytearray(base64.urlsafe_b64decode(encode_page_token(order, scope, KEYS)))
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PageTokenInvalid):
        decode_page_token(base64.urlsafe_b64encode(content).decode(), scope, KEYS)


@given(orders, scopes)
def test_keys_can_be_changed(order: int, scope: ListScope) -> None:
    """Tokens of all keys that are known are taken; one of a key that is not is refused."""
    former = encode_page_token(order, scope, KEYS[1:])
    assert decode_page_token(former, scope, KEYS) == order
    with pytest.raises(PageTokenInvalid):
        decode_page_token(former, scope, KEYS[:1])


@given(
    st.text(min_size=1, max_size=40)
    | st.binary(min_size=1, max_size=40).map(lambda b: base64.b64encode(b).decode())
)
def test_foreign_tokens_are_refused(token: str) -> None:
    """Whatever else is sent as a token is an error, and never a page."""
    with pytest.raises(PageTokenInvalid):
        decode_page_token(token, ListScope("default", (), {}), KEYS)
