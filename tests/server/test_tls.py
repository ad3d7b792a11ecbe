"""TLS of a server as it is started, on both ports, with certificates that change."""

from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from structlog.testing import capture_logs
from support.authority import Authority
from support.both_ports import Ports, serving, settings_for

from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import open_server
from flowgram_server.auth.errors import CredentialFileUnusable
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.loading import load_settings


async def test_both_ports_are_encrypted(tmp_path: Path) -> None:
    """Clients that trust the authority are answered on both ports, and no others; nothing answers in the clear."""
    authority = Authority()
    certificate, key = authority.server().write(tmp_path, "server")
    settings = settings_for(tmp_path, tls={"cert_file": certificate, "key_file": key})
    async with serving(settings) as ports:
        assert (await ports.grpc_info(authority.pem)).name == "flowgram-server"
        answer = await ports.http_get(authority.pem, "/api/info")
        assert answer.status_code == 200
        stranger = Authority("another").pem
        with pytest.raises(grpc.aio.AioRpcError):
            await ports.grpc_info(stranger)
        with pytest.raises(httpx2.ConnectError):
            await ports.http_get(stranger, "/api/info")
        async with grpc.aio.insecure_channel(ports.server.address) as channel:
            stub: Any = WorkflowRuntimeServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.ServerInfo(ServerInfoRequest(), timeout=10)
        async with httpx2.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx2.HTTPError):
                await client.get(f"http://{ports.http}/api/info")


async def test_renewed_certificates(tmp_path: Path) -> None:
    """New files are taken up without a restart; ones that do not fit change nothing, and are an error in the log."""
    first, second, third = Authority("first"), Authority("second"), Authority("third")
    certificate, key = first.server().write(tmp_path, "server")
    settings = settings_for(tmp_path, tls={"cert_file": certificate, "key_file": key})
    async with serving(settings) as ports:
        second.server().write(tmp_path, "server")
        await answered_by(ports, second)
        with capture_logs() as logs:
            third.server().write(tmp_path, "server")
            key.write_bytes(first.server().key)
            while not [line for line in logs if line["log_level"] == "error"]:
                await ports.grpc_info(second.pem)
        assert "is not that of the certificate" in logs[0]["reason"]
        assert (await ports.http_get(second.pem, "/api/info")).status_code == 200
        third.server().write(tmp_path, "server")
        await answered_by(ports, third)


async def answered_by(ports: Ports, authority: Authority) -> None:
    """Returns once both ports have a certificate of an authority."""
    for ask in (lambda: ports.grpc_info(authority.pem), lambda: ports.http_get(authority.pem, "/api/info")):
        while True:
            try:
                await ask()
            except (grpc.aio.AioRpcError, httpx2.ConnectError):
                continue
            break


async def test_client_certificates(tmp_path: Path) -> None:
    """Clients of the authority are answered; those without a certificate, or of another authority, are not."""
    authority, clients, strangers = Authority(), Authority("clients"), Authority("strangers")
    certificate, key = authority.server().write(tmp_path, "server")
    tls = {
        "cert_file": certificate,
        "key_file": key,
        "client_ca_file": clients.write(tmp_path),
        "require_client_cert": True,
    }
    ours, theirs = clients.client("worker"), strangers.client("worker")
    async with serving(settings_for(tmp_path, tls=tls)) as ports:
        assert (await ports.grpc_info(authority.pem, ours)).name
        answer = await ports.http_get(authority.pem, "/api/info", ours.write(tmp_path, "ours"))
        assert answer.status_code == 200
        for wrong in (None, theirs):
            with pytest.raises(grpc.aio.AioRpcError):
                await ports.grpc_info(authority.pem, wrong)
            with pytest.raises(httpx2.HTTPError):
                await ports.http_get(authority.pem, "/api/info", wrong and wrong.write(tmp_path, "wrong"))
        # An authority that is gone is trusted no more.
        tls["client_ca_file"].write_bytes(strangers.pem)  # type: ignore[union-attr]  # a path
        files = theirs.write(tmp_path, "theirs")
        while True:
            try:
                await ports.http_get(authority.pem, "/api/info", files)
                await ports.grpc_info(authority.pem, theirs)
            except (grpc.aio.AioRpcError, httpx2.HTTPError):
                continue
            break
        with pytest.raises(grpc.aio.AioRpcError):
            await ports.grpc_info(authority.pem, ours)
        with pytest.raises(httpx2.HTTPError):
            await ports.http_get(authority.pem, "/api/info", ours.write(tmp_path, "ours"))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("missing", r"server\.key: No such file"),
        ("text", "no certificate and key"),
        ("other key", "is not that of the certificate"),
        ("authority", r"ca\.pem: no certificates"),
    ],
)
async def test_files_that_cannot_be_used(tmp_path: Path, damage: str, expected: str) -> None:
    """A server does not start with them, and says which."""
    authority = Authority()
    certificate, key = authority.server().write(tmp_path, "server")
    client_authorities = authority.write(tmp_path)
    match damage:
        case "missing":
            key.unlink()
        case "text":
            certificate.write_text("no certificate")
        case "other key":
            key.write_bytes(authority.server().key)
        case _:
            client_authorities.write_text("none")
    tls = {"cert_file": certificate, "key_file": key, "client_ca_file": client_authorities}
    with pytest.raises(CredentialFileUnusable, match=expected):
        async with open_server(settings_for(tmp_path, tls=tls)):
            pass


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ({"cert_file": "a"}, "belong together"),
        ({"key_file": "a"}, "belong together"),
        ({"client_ca_file": "a"}, "client_ca_file needs"),
        ({"cert_file": "a", "key_file": "b", "require_client_cert": True}, "needs client_ca_file"),
    ],
)
def test_settings_that_belong_together(tls: dict[str, Any], expected: str) -> None:
    """What makes no sense alone is reported at once."""
    with pytest.raises(InvalidSettings, match=expected):
        load_settings(flags={"tls": tls})
