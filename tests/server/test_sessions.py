"""Sessions of the console, at a real gateway before a server that asks for keys."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from support.authority import Authority
from support.both_ports import Ports, serving, settings_for
from support.keys import add_key

from flowgram_server.auth.api_keys import change_keys
from flowgram_server.gateway.sessions import IDLE, LONGEST, MAX_OF_ONE, MAX_SESSIONS, Sessions


class Browser(NamedTuple):
    """A page of the gateway."""

    http: httpx2.AsyncClient
    origin: dict[str, str]
    key: str

    async def sign_in(self) -> httpx2.Response:
        return await self.http.post("/api/session", json={"key": self.key}, headers=self.origin)


@pytest.fixture
async def ports(tmp_path: Path) -> AsyncIterator[Ports]:
    (tmp_path / "key").write_text(add_key(tmp_path / "keys.json", "team-a")[0][1].removeprefix("Bearer "))
    settings = settings_for(tmp_path, auth={"api_keys_file": tmp_path / "keys.json"})
    async with serving(settings) as ports:
        yield ports


@pytest.fixture
async def browser(ports: Ports, tmp_path: Path) -> AsyncIterator[Browser]:
    url = f"http://{ports.http}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
        yield Browser(http, {"Origin": url}, (tmp_path / "key").read_text())


async def test_signing_in_and_out(browser: Browser, ports: Ports) -> None:
    """A key becomes a cookie that scripts cannot read, which counts like the key until signing out."""
    http = browser.http
    assert (await http.get("/api/session")).json()["code"] == "CREDENTIALS_MISSING"
    answer = await browser.sign_in()
    assert answer.status_code == 200
    caller = answer.json()
    assert (caller["namespace"], caller["role"]) == ("team-a", "runner")
    assert caller["name"].startswith("key:")
    [cookie] = answer.headers.get_list("set-cookie")
    for part in ("HttpOnly", "SameSite=strict", "Path=/api"):
        assert part in cookie
    assert "Secure" not in cookie
    assert browser.key not in cookie
    assert browser.key.rpartition("_")[2] not in cookie
    assert answer.headers["Cache-Control"] == "no-store"

    assert (await http.get("/api/session")).json() == caller
    assert (await http.get("/api/tasks")).status_code == 200
    assert (await http.get("/api/info")).json()["caller"] == caller
    old = dict(http.cookies)
    assert (await http.delete("/api/session", headers=browser.origin)).status_code == 204
    assert dict(http.cookies) == {}
    assert (await http.get("/api/tasks")).status_code == 401
    # The cookie is worth nothing any more.
    answer = await http.get("/api/tasks", headers={"Cookie": f"flowgram_session={old['flowgram_session']}"})
    assert answer.status_code == 401


async def test_keys_that_are_not_valid(browser: Browser) -> None:
    """They are refused, and no session begins."""
    for key, status in (("fgk_x", 401), ("", 400), ("a b", 400), ("ü", 400), ("x" * 9000, 400)):
        answer = await browser.http.post("/api/session", json={"key": key}, headers=browser.origin)
        assert answer.status_code == status, key
        assert "set-cookie" not in answer.headers
    for body in ("[]", "{}", '{"key": 1}', '{"key": "a", "x": 1}'):
        headers = {**browser.origin, "Content-Type": "application/json"}
        answer = await browser.http.post("/api/session", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "ARGUMENT_INVALID")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {},
    ],
)
async def test_other_pages_cannot_use_the_session(browser: Browser, headers: dict[str, str]) -> None:
    """To a page from elsewhere, and to one on another port of this machine, the cookie is worth nothing."""
    await browser.sign_in()
    http = browser.http
    answer = await http.put("/api/task/cancel", json={"taskID": "x"}, headers=headers)
    assert answer.status_code in {401, 403}
    for refused in (
        await http.post("/api/session", json={"key": browser.key}, headers=headers),
        await http.delete("/api/session", headers=headers),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED")
    if headers:
        assert (await http.get("/api/tasks", headers=headers)).status_code == 401
    assert (await http.get("/api/tasks")).status_code == 200  # nobody was signed out
    own = await http.put("/api/task/cancel", json={"taskID": "x"}, headers=browser.origin)
    assert own.json()["code"] == "TASK_NOT_FOUND"


async def test_a_key_of_the_requests_own_wins(browser: Browser) -> None:
    """A caller with a credential is that one, whatever cookie its browser sends along."""
    await browser.sign_in()
    answer = await browser.http.get("/api/tasks", headers={"Authorization": "Bearer fgk_x"})
    assert answer.json()["code"] == "CREDENTIALS_INVALID"


async def test_a_revoked_key_ends_the_session(browser: Browser, tmp_path: Path) -> None:
    """A session is worth no more than its key."""
    await browser.sign_in()
    change_keys(tmp_path / "keys.json", lambda keys: [])
    while (answer := await browser.http.get("/api/tasks")).status_code == 200:
        pass
    assert answer.json()["code"] == "CREDENTIALS_INVALID"


async def test_the_cookie_of_an_encrypted_page(tmp_path: Path) -> None:
    """It is sent over encrypted connections only."""
    authority = Authority()
    certificate, key = authority.server().write(tmp_path, "server")
    bearer = add_key(tmp_path / "keys.json")[0][1].removeprefix("Bearer ")
    settings = settings_for(
        tmp_path,
        tls={"cert_file": certificate, "key_file": key},
        auth={"api_keys_file": tmp_path / "keys.json"},
    )
    async with serving(settings) as ports:
        url = f"https://{ports.http}"
        context = ssl.create_default_context(cadata=authority.pem.decode())
        async with httpx2.AsyncClient(base_url=url, verify=context, trust_env=False) as http:
            answer = await http.post("/api/session", json={"key": bearer}, headers={"Origin": url})
            [cookie] = answer.headers.get_list("set-cookie")
            assert cookie.startswith("__Host-flowgram_session=")
            assert {"Secure", "Path=/"} <= set(cookie.split("; "))
            assert (await http.get("/api/session")).status_code == 200
            # One that a page of a neighboring domain could have set counts for nothing here.
            name = cookie.partition("=")[2].partition(";")[0]
            http.cookies.clear()
            answer = await http.get("/api/session", headers={"Cookie": f"flowgram_session={name}"})
            assert answer.status_code == 401


def scope(*cookies: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "method": method,
        "headers": [*pairs, *((b"cookie", cookie.encode()) for cookie in cookies)],
    }


def test_sessions_end_by_themselves() -> None:
    """After hours without a request, and after a week anyway."""
    now = 0.0
    sessions = Sessions(lambda: now)
    first = f"a=b; flowgram_session={sessions.begin('Bearer a')}"
    assert sessions.authorization(scope(first)) == "Bearer a"
    now += IDLE + 1
    assert sessions.authorization(scope(first)) is None
    second = f"flowgram_session={sessions.begin('Bearer b')}"
    began = now
    while now - began + IDLE <= LONGEST:
        now += IDLE
        assert sessions.authorization(scope(second)) == "Bearer b"
    now += IDLE
    assert sessions.authorization(scope(second)) is None


def test_sessions_are_bounded() -> None:
    """Beyond their number, the one that was used least lately ends."""
    sessions = Sessions(lambda: 0.0)
    names = [sessions.begin(f"Bearer {number}") for number in range(MAX_SESSIONS)]
    assert sessions.authorization(scope(f"flowgram_session={names[0]}"))
    sessions.begin("Bearer more")
    assert sessions.authorization(scope(f"flowgram_session={names[0]}"))
    assert sessions.authorization(scope(f"flowgram_session={names[1]}")) is None


def test_sessions_of_one_credential_are_bounded() -> None:
    """Signing in again and again ends sessions of one's own, and nobody else's."""
    sessions = Sessions(lambda: 0.0)
    other = sessions.begin("Bearer other")
    names = [sessions.begin("Bearer a") for _ in range(MAX_OF_ONE + 1)]
    found = [sessions.authorization(scope(f"flowgram_session={name}")) for name in (*names[:2], other)]
    assert found == [None, "Bearer a", "Bearer other"]


def test_two_cookies() -> None:
    """Of two of the same name one is somebody else's: neither counts."""
    sessions = Sessions(lambda: 0.0)
    name = sessions.begin("Bearer a")
    assert sessions.authorization(scope(f"flowgram_session={name}; flowgram_session=x")) is None
    assert sessions.authorization(scope(f"flowgram_session={name}", "flowgram_session=x")) is None
    assert sessions.authorization(scope("flowgram_session=")) is None
    assert sessions.authorization(scope(f"__Host-flowgram_session={name}; flowgram_session=x")) == "Bearer a"
