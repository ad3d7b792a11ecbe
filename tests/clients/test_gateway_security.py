"""What protects every gateway, the one beside the server and those in Go and TypeScript: TLS, sessions, safe defaults, audit."""

import asyncio
import json
import ssl
import stat
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from clients.gateway_client import frames
from clients.gateway_process import GatewayProcess, gateway_running
from cryptography import x509
from support.authority import Authority
from support.both_ports import settings_for
from support.keys import add_key

from flowgram_server.app import open_server
from flowgram_server.auth.api_keys import change_keys

pytestmark = pytest.mark.timeout(300)  # the first test of each builds

Command = tuple[str, ...]


class Guarded(NamedTuple):
    """A server that asks for keys.

    Attributes:
        target: Where it listens.
        file: Its file of keys.
        key: A runner's of team-a.
    """

    target: str
    file: Path
    key: str


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    file = tmp_path / "keys.json"
    key = add_key(file, "team-a")[0][1].removeprefix("Bearer ")
    settings = settings_for(tmp_path / "data", auth={"api_keys_file": file}, http_listen="")
    async with open_server(settings) as server:
        yield Guarded(server.address, file, key)


@pytest.fixture
async def gateway(command: Command, guarded: Guarded) -> AsyncIterator[GatewayProcess]:
    async with gateway_running(guarded.target, *command) as gateway:
        yield gateway


@pytest.fixture
async def http(gateway: GatewayProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=gateway.url, trust_env=False) as http:
        yield http


async def test_signing_in_and_out(
    guarded: Guarded, http: httpx2.AsyncClient, gateway: GatewayProcess
) -> None:
    """A key becomes a cookie that scripts cannot read, which counts like the key until signing out, or until the key is revoked."""
    page = {"Origin": gateway.url}
    answer = await http.get("/api/session")
    assert (answer.status_code, answer.json()["code"]) == (401, "CREDENTIALS_MISSING")
    assert answer.headers["www-authenticate"] == 'Bearer realm="flowgram"'
    answer = await http.post("/api/session", json={"key": f" {guarded.key}\n"}, headers=page)
    assert answer.status_code == 200
    caller = answer.json()
    assert (caller["namespace"], caller["role"]) == ("team-a", "runner")
    assert answer.headers["cache-control"] == "no-store"
    [cookie] = answer.headers.get_list("set-cookie")
    parts = {part.lower() for part in cookie.split("; ")}
    assert {"httponly", "samesite=strict", "path=/api", "max-age=604800"} <= parts
    assert "secure" not in parts
    assert guarded.key.rpartition("_")[2] not in cookie

    assert (await http.get("/api/session")).json() == caller
    assert (await http.get("/api/info")).json()["caller"] == caller
    assert (await http.get("/api/tasks")).status_code == 200
    answer = await http.get("/api/tasks", headers={"Authorization": "Bearer fgk_x"})
    assert answer.json()["code"] == "CREDENTIALS_INVALID"

    old = http.cookies["flowgram_session"]
    answer = await http.delete("/api/session", headers=page)
    assert (answer.status_code, answer.text) == (204, "")
    assert dict(http.cookies) == {}
    answer = await http.get("/api/tasks", headers={"Cookie": f"flowgram_session={old}"})
    assert answer.status_code == 401

    await http.post("/api/session", json={"key": guarded.key}, headers=page)
    change_keys(guarded.file, lambda keys: [])
    async with asyncio.timeout(30):
        while (answer := await http.get("/api/tasks")).status_code == 200:
            pass
    assert answer.json()["code"] == "CREDENTIALS_INVALID"


async def test_keys_that_are_not_valid(http: httpx2.AsyncClient, gateway: GatewayProcess) -> None:
    """They are refused, and no session begins."""
    headers = {"Origin": gateway.url, "Content-Type": "application/json"}
    for body, status in (
        *((json.dumps({"key": key}), 400) for key in ("", "a b", "ü", "x" * 9000)),
        *(
            (body, 400)
            for body in ("[]", "{}", "null", '{"key": 1}', '{"key": null}', '{"key": "a", "x": 1}')
        ),
        ('{"key": "fgk_x"}', 401),
        (json.dumps({"key": "x" * 70_000}), 413),
    ):
        answer = await http.post("/api/session", content=body, headers=headers)
        assert answer.status_code == status, body
        assert "set-cookie" not in answer.headers


async def test_other_pages_cannot_use_the_session(
    guarded: Guarded, http: httpx2.AsyncClient, gateway: GatewayProcess
) -> None:
    """To a page from elsewhere, and to one on another port of this machine, the cookie is worth nothing."""
    own = {"Origin": gateway.url}
    await http.post("/api/session", json={"key": guarded.key}, headers=own)
    for headers in (
        {"Origin": "https://evil.example.com"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {},
    ):
        answer = await http.put("/api/task/cancel", json={"taskID": "x"}, headers=headers)
        assert answer.status_code in {401, 403}, headers
        for refused in (
            await http.post("/api/session", json={"key": guarded.key}, headers=headers),
            await http.delete("/api/session", headers=headers),
        ):
            assert (refused.status_code, refused.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED"), headers
        if headers:
            assert (await http.get("/api/tasks", headers=headers)).status_code == 401, headers
    assert (await http.get("/api/tasks")).status_code == 200  # nobody was signed out
    answer = await http.put("/api/task/cancel", json={"taskID": "x"}, headers=own)
    assert answer.json()["code"] == "TASK_NOT_FOUND"
    twice = "; ".join(f"flowgram_session={value}" for value in (http.cookies["flowgram_session"], "x"))
    http.cookies.clear()
    assert (await http.get("/api/tasks", headers={"Cookie": twice})).status_code == 401


async def test_two_of_a_header(guarded: Guarded, gateway: GatewayProcess) -> None:
    """Which of two keys, namespaces or hosts counts would be for a proxy and the gateway to agree on: neither does."""
    admin = add_key(guarded.file, "team-b", "admin")[0][1]
    async with httpx2.AsyncClient(base_url=gateway.url, trust_env=False) as http:
        async with asyncio.timeout(30):
            while (await http.get("/api/tasks", headers={"Authorization": admin})).status_code != 200:
                pass
        for headers, statuses in (
            ([("Authorization", f"Bearer {guarded.key}"), ("Authorization", admin)], {401}),
            ([("Authorization", admin)] * 2, {401}),
            (
                [("Authorization", admin), ("Flowgram-Namespace", "a"), ("Flowgram-Namespace", "b")],
                {400},
            ),
        ):
            assert (await http.get("/api/tasks", headers=headers)).status_code in statuses, headers
    reader, writer = await asyncio.open_connection(*host_and_port(gateway))
    head = (
        f"GET /api/tasks HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nAuthorization: {admin}\r\n\r\n"
    )
    writer.write(head.encode())
    assert (await reader.readline()).split()[1] in {b"400", b"403"}
    writer.close()


async def test_a_watch_ends_with_its_key(guarded: Guarded, gateway: GatewayProcess) -> None:
    """A stream of events that is open when its key is revoked says so, and ends."""
    headers = {"Authorization": f"Bearer {guarded.key}"}
    async with (
        httpx2.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as http,
        http.stream("GET", "/api/tasks/watch", headers=headers) as response,
        asyncio.timeout(30),
    ):
        assert response.status_code == 200
        received = frames(response)
        while json.loads((await anext(received)).get("data", "{}")).get("type") != "live":
            pass
        change_keys(guarded.file, lambda keys: [])
        last = [fields async for fields in received][-1]
    assert last["event"] == "failure"
    assert json.loads(last["data"])["code"] == "CREDENTIALS_INVALID"


async def test_a_page_behind_a_proxy(
    guarded: Guarded, http: httpx2.AsyncClient, gateway: GatewayProcess
) -> None:
    """Where a proxy decrypts, the page is encrypted, and so its cookie is for encrypted connections only."""
    headers = {"Host": "localhost", "Origin": "https://localhost"}
    answer = await http.post("/api/session", json={"key": guarded.key}, headers=headers)
    [cookie] = answer.headers.get_list("set-cookie")
    name, *parts = cookie.split("; ")
    assert name.startswith("__Host-flowgram_session=")
    assert {"secure", "path=/"} <= {part.lower() for part in parts}
    assert not any(part.lower().startswith("domain") for part in parts)
    assert (
        await http.get("/api/session", headers={"Cookie": f"{name}; flowgram_session=x"})
    ).status_code == 200


async def test_tls(command: Command, guarded: Guarded, tmp_path: Path) -> None:
    """A gateway encrypts with its certificate, and takes up a new one while it runs; one that does not fit changes nothing."""
    authority = Authority()
    certificate, key = authority.server().write(tmp_path, "gateway")
    arguments = ("--listen-cert", str(certificate), "--listen-key", str(key))
    async with gateway_running(guarded.target, *command, *arguments, scheme="https") as gateway:
        context = ssl.create_default_context(cadata=authority.pem.decode())
        async with httpx2.AsyncClient(base_url=gateway.url, verify=context, trust_env=False) as http:
            assert (await http.get("/healthz")).status_code == 200
            page = {"Origin": gateway.url}
            answer = await http.post("/api/session", json={"key": guarded.key}, headers=page)
            assert answer.headers["set-cookie"].startswith("__Host-flowgram_session=")
            assert (await http.get("/api/session")).status_code == 200
            plain = answer.headers["set-cookie"].partition(";")[0].removeprefix("__Host-")
            http.cookies.clear()
            assert (await http.get("/api/session", headers={"Cookie": plain})).status_code == 401
        async with httpx2.AsyncClient(trust_env=False) as other:
            with suppress(httpx2.HTTPError):  # some give no answer at all
                assert (await other.get(f"http://{gateway.address}/healthz")).status_code == 400
        first = await serial(gateway)
        key.write_bytes(Authority().server().key)
        await asyncio.sleep(2.5)  # it looks every second
        assert await serial(gateway) == first
        authority.server().write(tmp_path, "gateway")
        async with asyncio.timeout(30):
            while await serial(gateway) == first:
                pass
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncio.open_connection(*host_and_port(gateway), ssl=old)


def host_and_port(gateway: GatewayProcess) -> tuple[str, int]:
    host, _, port = gateway.address.partition(":")
    return host, int(port)


async def serial(gateway: GatewayProcess) -> int:
    """The number of the certificate that a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(*host_and_port(gateway), ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(der).serial_number


async def outcome(*command: str) -> tuple[int, str]:
    """How a gateway ends that does not start, and what it says."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, " ".join(said.decode().split())


async def test_safe_by_default(command: Command, guarded: Guarded, tmp_path: Path) -> None:
    """Beyond this machine a gateway starts with a certificate only, or if its settings say that this is meant."""
    target = ("--target", guarded.target)
    for listen in ("0.0.0.0:0", "[::]:0", "gateway.example.com:0"):
        code, said = await outcome(*command, *target, "--listen", listen)
        assert code != 0
        assert "can be reached from other machines" in said
        for option in ("-listen-cert", "-listen-key", "-insecure-remote"):
            assert option in said
    certificate, key = Authority().server().write(tmp_path, "gateway")
    for arguments in (("--listen-cert", str(certificate)), ("--listen-key", str(key))):
        code, said = await outcome(*command, *target, *arguments)
        assert code != 0
        assert "belong together" in said
    (tmp_path / "other.key").write_bytes(Authority().server().key)
    for wrong in (tmp_path / "other.key", tmp_path / "none.key"):
        code, _ = await outcome(
            *command, *target, "--listen-cert", str(certificate), "--listen-key", str(wrong)
        )
        assert code != 0


async def test_remote_if_meant_so(command: Command, guarded: Guarded) -> None:
    """Behind a proxy that encrypts."""
    process = await asyncio.create_subprocess_exec(
        *(*command, "--target", guarded.target, "--listen", "0.0.0.0:0", "--insecure-remote"),
        stdout=PIPE,
        stderr=STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            async for line in process.stdout:
                if b"serving" in line:
                    break
        assert process.returncode is None
    finally:
        process.kill()
        await process.communicate()


async def test_audit(command: Command, guarded: Guarded, tmp_path: Path) -> None:
    """Each request that the gateway itself refuses is a line of JSON in a file of its own; what the server refuses is audited there."""
    path = tmp_path / "audit.log"
    async with (
        gateway_running(guarded.target, *command, "--audit-log", str(path)) as gateway,
        httpx2.AsyncClient(base_url=gateway.url, trust_env=False) as http,
    ):
        await http.get("/api/task%0A%22/x", headers={"Host": "evil.example"})
        await http.post("/api/task/run", json={}, headers={"Origin": "https://evil.example.com"})
        await http.post("/api/task/run", content=b"{}", headers={"Content-Type": "text/plain"})
        await http.get("/api/tasks")  # the server's
        await http.get("/api/none")
        first = await lines_of(path, 3)
        path.rename(tmp_path / "moved.log")
        await http.post("/api/session", json={"key": "x"})
        [moved] = await lines_of(path, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [(each["reason"], each["status"]) for each in (*first, moved)] == [
        ("HOST_NOT_ALLOWED", "FORBIDDEN"),
        ("ORIGIN_NOT_ALLOWED", "FORBIDDEN"),
        ("CONTENT_TYPE_UNSUPPORTED", "UNSUPPORTED_MEDIA_TYPE"),
        ("ORIGIN_NOT_ALLOWED", "FORBIDDEN"),
    ]
    assert first[0]["method"].startswith("GET /api/task")
    assert first[1]["method"] == "POST /api/task/run"
    for each in (*first, moved):
        assert (each["allowed"], each["principal"], each["namespace"]) == (False, None, None)
        assert each["peer"].startswith("127.0.0.1:")
        assert each["time"].endswith("Z")


async def lines_of(path: Path, count: int) -> list[dict[str, Any]]:
    """The lines of a log, once there are so many."""

    def wait() -> list[str]:
        until = time.monotonic() + 30
        while not path.exists() or path.read_text().count("\n") < count:
            assert time.monotonic() < until
            time.sleep(0.02)
        return path.read_text().splitlines()

    lines = await asyncio.to_thread(wait)
    assert len(lines) == count
    return [json.loads(line) for line in lines]
