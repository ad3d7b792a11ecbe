"""Redirects: what follows to another origin, and what does not."""

import pytest

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.http.url import parse_url
from flowgram_core.nodes.network.redirects import Request, redirect

CREDENTIALS = [
    *("authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "apikey", "x-auth-token"),
    *("x-goog-api-key", "x-amz-security-token", "private-token", "x-vault-token", "x-shopify-access-token"),
    *("ocp-apim-subscription-key", "x-functions-key", "x-rapidapi-key", "x-client-secret", "x-csrf-token"),
    *("x-hub-signature-256", "x-amz-date-auth", "x-session-id", "x-access-key", "key", "x-password"),
]
OTHERS = ["accept", "user-agent", "x-mine", "x-request-id", "content-type", "idempotency-key", "x-cache-key"]


def follow(
    location: str, status_code: int = 307, url: str = "https://a.example/x", **headers: str
) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return redirect(Request("POST", parse_url(url), named, b"{}"), status_code, location.encode())


@pytest.mark.parametrize(
    "location",
    [
        "https://b.example/",
        "http://a.example/x",
        "https://a.example:8443/x",
        "//b.example/x",
        "https://a.example.b.example/",
    ],
)
def test_no_credential_follows_to_another_origin(location: str) -> None:
    """Whatever header carries it; another scheme or port is another origin. The others follow."""
    headers = dict.fromkeys([*CREDENTIALS, *OTHERS, "host"], "v")
    followed = redirect(
        Request("POST", parse_url("https://a.example/x"), headers, b""), 307, location.encode()
    )
    assert sorted(followed.headers) == sorted(OTHERS)


@pytest.mark.parametrize("location", ["/y", "https://a.example:443/y", "https://A.EXAMPLE/y", "?q"])
def test_all_headers_follow_within_an_origin(location: str) -> None:
    """The default port is the port that is not named."""
    headers = dict.fromkeys([*CREDENTIALS, *OTHERS, "host"], "v")
    followed = redirect(
        Request("GET", parse_url("https://a.example/x"), headers, None), 302, location.encode()
    )
    assert followed.headers == headers


def test_headers_that_the_settings_name_do_not_follow_either() -> None:
    """As they are masked, too."""
    request = Request("GET", parse_url("http://a.example/"), {"x-mine": "1", "x-badge": "2"}, None)
    assert redirect(request, 302, b"http://b.example/", {"x-badge"}).headers == {"x-mine": "1"}


def test_bytes_beyond_ascii_in_a_location_are_utf_8() -> None:
    """As browsers take them."""
    assert follow("/gr\u00fc\u00dfe").url.raw_path == b"/gr%C3%BC%C3%9Fe"


@pytest.mark.parametrize(
    "location", ["ftp://a.example/", "http://", "http://user:pass@a.example/", "http://a b/"]
)
def test_addresses_that_cannot_be_used_are_errors(location: str) -> None:
    """The text names the server that sent them, and not the address, which may hold secrets."""
    with pytest.raises(NodeError) as caught:
        follow(location)
    assert str(caught.value) == 'HTTP request failed: "a.example" redirects to an address that cannot be used'
