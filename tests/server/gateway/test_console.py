import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from flowgram_client._raw import RawClient
from flowgram_server.gateway.app import create_app
from flowgram_server.gateway.console import CONTENT_SECURITY_POLICY, File, read_bundle
from flowgram_server.gateway.endpoints import Endpoints
from flowgram_server.gateway.host_check import AllowedHosts
from flowgram_server.settings.gateway import GatewaySettings

PAGE = b"<!doctype html><title>FlowGram</title>"


@pytest.fixture
def bundle(tmp_path: Path) -> dict[str, File]:
    """A bundle as the build leaves it."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(PAGE)
    (tmp_path / "docs.html").write_bytes(b"<title>API</title>")
    (tmp_path / "assets/index-1234.js").write_bytes(b"run()")
    (tmp_path / "assets/index-1234.js.gz").write_bytes(b"compressed")
    (tmp_path / ".stamp").write_text("1")
    return read_bundle(tmp_path)


class Browser(Protocol):
    """Opens a browser on a gateway that serves the bundle given."""

    def __call__(self, files: dict[str, File]) -> TestClient: ...


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Asynchronous, because a client of grpc.aio can only be made where an event loop runs."""
    client = RawClient("127.0.0.1:1")

    def open_on(files: dict[str, File]) -> TestClient:
        app: Starlette = create_app(
            Endpoints(client, GatewaySettings()), {"loopback"}, AllowedHosts("127.0.0.1", frozenset()), files
        )
        return TestClient(app, base_url="http://127.0.0.1", headers={"Accept-Encoding": "identity"})

    yield open_on
    await client.close()


@pytest.mark.parametrize("path", ["/", "/run", "/compare?a=1&b=2", "/tasks/17f20b9b-73dd"])
def test_all_addresses_of_the_page_give_the_page(
    browser: Browser, bundle: dict[str, File], path: str
) -> None:
    """A link to a task or a filter opens the page, which finds out by itself what to show."""
    answer = browser(bundle).get(path)
    assert (answer.status_code, answer.content) == (200, PAGE)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"


def test_everything_comes_under_a_strict_policy(browser: Browser, bundle: dict[str, File]) -> None:
    """The page may load from and speak to its own origin only, and no other page may frame it."""
    for path in ("/", "/assets/index-1234.js", "/api/docs"):
        headers = browser(bundle).get(path).headers
        assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
    directives = dict(each.split(" ", 1) for each in CONTENT_SECURITY_POLICY.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["connect-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"
    assert not re.search(r"https?:|\*|unsafe-eval", CONTENT_SECURITY_POLICY)


def test_assets_are_kept_for_ever_and_compressed(browser: Browser, bundle: dict[str, File]) -> None:
    """An asset's name changes with its content; what the build has compressed is sent so to who takes it."""
    plain = browser(bundle).get("/assets/index-1234.js")
    assert plain.content == b"run()"
    assert "immutable" in plain.headers["Cache-Control"]
    with browser(bundle).stream(
        "GET", "/assets/index-1234.js", headers={"Accept-Encoding": "gzip"}
    ) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert b"".join(answer.iter_raw()) == b"compressed"


def test_a_page_that_has_not_changed_is_not_sent_again(browser: Browser, bundle: dict[str, File]) -> None:
    """Browsers ask for the page each time, and one that has it already gets a 304."""
    http = browser(bundle)
    etag = http.get("/").headers["ETag"]
    again = http.get("/", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/assets/../index.html", "/assets/other.js", "/.stamp", "/index.html.gz"])
def test_nothing_else_is_served(browser: Browser, bundle: dict[str, File], path: str) -> None:
    """Only the files of the bundle that are meant for browsers have an address."""
    assert browser(bundle).get(path).status_code == 404


@pytest.mark.parametrize("path", ["/nothing", "/tasks/a%2Fb"])
def test_people_get_a_page_for_what_is_not_there(
    browser: Browser, bundle: dict[str, File], path: str
) -> None:
    """A link with a mistake in it leads to the page, which says that it has no such part; programs get JSON."""
    by_person = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = browser(bundle).get(path, headers=by_person)
    assert (answer.status_code, answer.content) == (404, PAGE)
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    for answer in (
        browser(bundle).get(path),
        browser(bundle).post(path, headers=by_person),
        browser(bundle).get("/api" + path, headers=by_person),
        browser({}).get(path, headers=by_person),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/", "/api/docs"])
def test_a_server_without_console_says_so(browser: Browser, path: str) -> None:
    """Where the bundle was not built, its pages say how to build it, and the API is as ever."""
    answer = browser({}).get(path)
    assert answer.status_code == 404
    assert "make console" in answer.text
    assert browser({}).get("/api/openapi.json").status_code == 200


def test_the_pages_are_no_part_of_the_api(browser: Browser, bundle: dict[str, File]) -> None:
    """OpenAPI describes the API, and not the console."""
    paths = browser(bundle).get("/api/openapi.json").json()["paths"]
    assert all(path.startswith("/api/") for path in paths)


def test_a_folder_without_a_page_is_no_bundle(tmp_path: Path) -> None:
    """A build that was broken off leaves nothing that is served."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/index-1234.js").write_text("run()")
    assert read_bundle(tmp_path) == {}
