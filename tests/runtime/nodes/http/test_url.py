"""URLs and forms, compared with what browsers and Node.js make of them."""

import json
import os
import shutil
import subprocess
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.http.url import encode_form, parse_url, set_query, to_utf8

# What `new URL(text).href` gives in Node.js 20, without the fragment.
ADDRESSES = {
    "http://h": "http://h/",
    "HTTP://EXAMPLE.com:80/a/../b?q=a b&c=d|e^{}`'\"<>#f": "http://example.com/b?q=a%20b&c=d|e^{}`%27%22%3C%3E",
    "https://h:443/%zz%20é?é=ü": "https://h/%zz%20%C3%A9?%C3%A9=%C3%BC",
    "http:\\\\h\\p\\q?a\\b": "http://h/p/q?a\\b",
    "  http://h/\n x ": "http://h/%20x",
    "http:h/p": "http://h/p",
    "http:///h/p": "http://h/p",
    "http://h:/x": "http://h/x",
    "http://[::1]:80/": "http://[::1]/",
    "http://h?": "http://h/?",
    "http://h/?a=1&b=2&a=3": "http://h/?a=1&b=2&a=3",
    "http://日本.jp/": "http://xn--wgv71a.jp/",
    'http://h/a|b{c}^d`e"f<g>': "http://h/a|b%7Bc%7D^d%60e%22f%3Cg%3E",
    "http://h/p;x=1?x=1+2%2B3": "http://h/p;x=1?x=1+2%2B3",
    "http://h/.": "http://h/",
    "http://h/a/b/..": "http://h/a/",
    "http://h/a/%2E%2e/b/./c": "http://h/b/c",
    "http://h/..//x": "http://h//x",
    "http://h/\ud800": "http://h/%EF%BF%BD",
}

INVALID = [
    "http://",
    "http://a b/",
    "foo",
    "",
    "//h/p",
    "http://h:99999/",
    "http://h:x/",
    "http://[::/",
    "http://a<b/",
    "http://%/",
]


@pytest.mark.parametrize(("text", "expected"), ADDRESSES.items())
def test_addresses_are_read_as_browsers_read_them(text: str, expected: str) -> None:
    """Blanks, slashes, dots, default ports, letters beyond ASCII: all as in the URL standard."""
    assert str(parse_url(text)) == expected


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Every text that is no address fails with the text of JavaScript's own error."""
    with pytest.raises(NodeError, match=r"^Invalid URL$"):
        parse_url(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://h/", 'Unsupported URL protocol "ftp:"'),
        ("file:///etc/passwd", 'Unsupported URL protocol "file:"'),
        ("javascript:1", 'Unsupported URL protocol "javascript:"'),
        ("http://u:secret@h/", "Request cannot be constructed from a URL that includes credentials"),
    ],
)
def test_other_addresses_are_refused(text: str, message: str) -> None:
    """Only http and https, and no passwords in addresses, which end up in logs."""
    with pytest.raises(NodeError) as caught:
        parse_url(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("http://h/p?x=a%20b", {}, "http://h/p?x=a%20b"),
        ("http://h/p?x=a%20b", {"y": "1"}, "http://h/p?x=a+b&y=1"),
        (
            "http://h/?a=1&b=2%20x~&a=3&c&=e&d=é",
            {"a": "x y*-._~é&="},
            "http://h/?a=x+y*-._%7E%C3%A9%26%3D&b=2+x%7E&c=&=e&d=%C3%A9",
        ),
        ("http://h/p", {"b": "2", "a": "1"}, "http://h/p?b=2&a=1"),
        ("http://h/?%ff=1", {"a": "\ud800"}, "http://h/?%EF%BF%BD=1&a=%EF%BF%BD"),
    ],
)
def test_parameters_are_set_in_the_query(text: str, params: dict[str, str], expected: str) -> None:
    """A parameter replaces all of its name; the query is then written anew, else left as it is."""
    assert str(set_query(parse_url(text), {name: [value] for name, value in params.items()})) == expected


def test_several_values_of_a_name_follow_one_another() -> None:
    """Where the name was, or at the end."""
    url = parse_url("http://h/?a=1&b=2&a=3")
    assert str(set_query(url, {"c": ["x", "y"], "a": ["4", "5"]})) == "http://h/?a=4&a=5&b=2&c=x&c=y"


@given(st.lists(st.tuples(st.text(), st.text())))
def test_forms_are_ascii_and_can_be_read_again(fields: list[tuple[str, str]]) -> None:
    """Whatever the fields hold, the form is ASCII and gives them back, but for halves of surrogate pairs."""
    encoded = encode_form(fields)
    assert encoded.isascii()
    expected = [(to_utf8(name).decode(), to_utf8(value).decode()) for name, value in fields]
    assert parse_qsl(encoded.decode(), keep_blank_values=True) == expected


@pytest.mark.skipif(
    shutil.which("node") is None and os.environ.get("CI") != "true",
    reason="needs Node.js, whose URLs are compared",
)
@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.text(alphabet="ab/.?#&=%+ ~'\"\\{}|^`<>@:;,é\u3000", max_size=20), min_size=50, max_size=100)
)
def test_paths_and_queries_are_those_of_node(paths: list[str]) -> None:
    """Random paths and queries look as Node.js writes them."""
    texts = [f"http://h/{path}" for path in paths]
    program = "console.log(JSON.stringify(JSON.parse(process.argv[1]).map(t => { const u = new URL(t); u.hash = ''; return u.href })))"
    found = subprocess.run(
        ["node", "-e", program, json.dumps(texts)], capture_output=True, text=True, check=True
    )
    assert [str(parse_url(text)) for text in texts] == json.loads(found.stdout)
