import base64
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flowgram_server.rpc.convert.page_token import decode_page_token, encode_page_token
from flowgram_server.rpc.errors import PageTokenInvalid

orders = st.integers(min_value=0, max_value=2**63 - 1)
statuses = st.frozensets(st.integers(1, 5))
labels = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3)


@given(orders, statuses, labels)
def test_token_comes_back(order: int, statuses: frozenset[int], labels: dict[str, str]) -> None:
    """A token gives the position it was made of, with the same filters in any order."""
    token = encode_page_token(order, statuses, labels)
    reordered = dict(reversed(labels.items()))
    assert decode_page_token(token, [*statuses, *statuses], reordered) == order
    assert set(token) <= set(string.ascii_letters + string.digits + "-_=")


def test_empty_token_is_the_first_page() -> None:
    """Without a token a list begins with the newest."""
    assert decode_page_token("", (), {}) is None


@given(orders, statuses, labels, statuses, labels)
def test_other_filters_are_refused(
    order: int,
    statuses: frozenset[int],
    labels: dict[str, str],
    others: frozenset[int],
    other_labels: dict[str, str],
) -> None:
    """A token of one list is none of another."""
    assume((statuses, labels) != (others, other_labels))
    with pytest.raises(PageTokenInvalid):
        decode_page_token(encode_page_token(order, statuses, labels), others, other_labels)


@given(
    st.text(min_size=1, max_size=40)
    | st.binary(min_size=1, max_size=40).map(lambda b: base64.b64encode(b).decode())
)
def test_foreign_tokens_are_refused(token: str) -> None:
    """Whatever else is sent as a token is an error, and never a page."""
    with pytest.raises(PageTokenInvalid):
        decode_page_token(token, (), {})
