"""Texts of bodies: whatever label they come with."""

import pytest

from flowgram_core.nodes.network.charsets import decode_text
from flowgram_core.nodes.network.transport import at_once


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=gbk", "中文".encode("gbk"), "中文"),
        ('text/plain; charset = " GBK "', "中文".encode("gbk"), "中文"),
        ("text/plain; charset=utf-7", b"+ADw-", "+ADw-"),
        ("text/plain; charset=punycode", b"-zzzz9" * 100_000, "-zzzz9" * 100_000),
        ("text/plain; charset=zip", b"x\x9c", "x\ufffd"),
        ("text/plain; charset=utf-16", "hé".encode("utf-16-le"), "hé"),
        ("text/plain; charset=utf-8", "hé".encode("utf-16"), "hé"),
        ("text/plain; charset=", b"x", "x"),
    ],
)
async def test_texts_are_decoded_by_the_labels_of_the_web(content_type: str, body: bytes, text: str) -> None:
    """All others are UTF-8."""
    assert await decode_text(body, content_type, at_once) == text


@pytest.mark.parametrize(
    "label", ["charset=" + " " * 100_000 + ";", "charset " * 12_000, "charset" + " " * 100_000]
)
async def test_a_long_label_is_looked_at_once(label: str) -> None:
    """Looking at its blanks again and again took minutes."""
    assert await decode_text(b"x", label, at_once) == "x"
