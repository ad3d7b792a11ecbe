"""URLs and forms as the web has them (the WHATWG's URL standard), which is what FlowGram's `URL` and `fetch` follow."""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, quote_plus

import httpx2

from flowgram_core.engine.errors import NodeError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AROUND = "".join(map(chr, range(0x21)))
"""Control characters and the blank, which are stripped from both ends."""
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20<>^|%\x7f]")
_DOT = frozenset({".", "%2e"})
_DOT_DOT = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})
MAX_PORT = 65535
MAX_URL_LENGTH = 65_536
"""Characters of an address: the HTTP library takes no longer one."""
_LONGEST_KNOWN = 2048
"""Characters of an address whose parts are remembered."""


def to_utf8(text: str) -> bytes:
    """A text in UTF-8; half a surrogate pair, which has no encoding, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def url_too_long() -> NodeError:
    """The error of an address that is longer than it may be."""
    return NodeError(f"The URL has more than {MAX_URL_LENGTH} characters")


def scheme_of(text: str) -> str:
    """The scheme of an address, in lower case. Raises `NodeError` (`Invalid URL`) where there is none."""
    match = _SCHEME.match(text.strip(_AROUND))
    if match is None:
        raise NodeError("Invalid URL")
    return match[1].lower()


def parse_url(text: str) -> httpx2.URL:
    """A web address, without its fragment.

    Raises:
        NodeError: `Invalid URL`, or the scheme is not http or https, or the address holds a user name or password, which
            `fetch` refuses too.
    """
    return _parse_known_url(text) if len(text) <= _LONGEST_KNOWN else _parse_url(text)


def _parse_url(text: str) -> httpx2.URL:
    if len(text) > MAX_URL_LENGTH:
        raise url_too_long()
    text = to_utf8(text).decode().strip(_AROUND)
    text = text.replace("\t", "").replace("\n", "").replace("\r", "")
    scheme = scheme_of(text)
    if scheme not in {"http", "https"}:
        raise NodeError(f'Unsupported URL protocol "{scheme}:"')
    rest, _, _ = text[len(scheme) + 1 :].partition("#")
    rest, question_mark, query = rest.partition("?")
    authority, _, path = rest.replace("\\", "/").lstrip("/").partition("/")
    if "@" in authority:
        raise NodeError("Request cannot be constructed from a URL that includes credentials")
    if not authority or _FORBIDDEN_IN_HOST.search(authority):
        raise NodeError("Invalid URL")
    query = query.replace("'", "%27")
    try:
        url = httpx2.URL(f"{scheme}://{authority}/{_without_dots(path)}{question_mark}{query}")
    except httpx2.InvalidURL as error:
        raise NodeError("Invalid URL") from error
    if not url.host or (url.port or 0) > MAX_PORT:
        raise NodeError("Invalid URL")
    return url


# Nodes ask for the same addresses again and again; to parse one costs as much as all of libcurl's part of a request.
_parse_known_url = functools.lru_cache(maxsize=1024)(_parse_url)


def _without_dots(path: str) -> str:
    segments = path.split("/")
    kept: list[str] = []
    for segment in segments:
        if segment.lower() in _DOT_DOT:
            if kept:
                kept.pop()
        elif segment.lower() not in _DOT:
            kept.append(segment)
    if segments[-1].lower() in _DOT | _DOT_DOT:
        kept.append("")
    return "/".join(kept)


def set_query(url: httpx2.URL, params: Mapping[str, Sequence[str]]) -> httpx2.URL:
    """The address with query parameters set, as `searchParams.set` does: each replaces all of its name.

    Several values of a name follow one another. The whole query is then written anew (`+` for blanks and so on); without
    parameters it stays as it is.
    """
    if not params:
        return url
    fields: list[tuple[str, str]] = []
    left = dict(params)
    for name, value in parse_qsl(url.query.decode("ascii"), keep_blank_values=True, errors="replace"):
        if name not in params:
            fields.append((name, value))
        else:
            fields.extend((name, new) for new in left.pop(name, ()))
    fields.extend((name, value) for name, values in left.items() for value in values)
    try:
        return url.copy_with(query=encode_form(fields))
    except httpx2.InvalidURL as error:
        raise url_too_long() from error


def encode_form(fields: Iterable[tuple[str, str]]) -> bytes:
    """Fields as `application/x-www-form-urlencoded`, as `URLSearchParams` writes it."""
    return "&".join(f"{_encode_field(name)}={_encode_field(value)}" for name, value in fields).encode("ascii")


def _encode_field(text: str) -> str:
    return quote_plus(to_utf8(text), safe="*").replace("~", "%7E")
