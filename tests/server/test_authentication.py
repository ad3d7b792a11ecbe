"""Authentication of a server as it is started: keys in files, and what their changes do."""

import base64
import stat
import tempfile
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from support.authority import Authority
from support.both_ports import serving
from support.issuer import AUDIENCE, ISSUER, Issuer
from support.keys import Metadata, add_key
from support.serving import refused
from support.workflows import ECHO

from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoRequest, TaskListRequest, TaskRunRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import open_server
from flowgram_server.auth.errors import CredentialFileUnusable
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings


def settings_for(data: Path, **flags: Any) -> Settings:
    return load_settings(
        flags={
            "listen": "127.0.0.1:0",
            "http_listen": "",
            "data": data,
            "storage": "memory",
            "code": {"workers": 1},
            "access_log": False,
            "auth": {"api_keys_file": data / "keys.json"},
            **flags,
        }
    )


async def test_keys_come_and_go(tmp_path: Path) -> None:
    """A key that is added is taken, and one that is revoked is refused, while the server runs; a damaged file changes nothing."""
    path = tmp_path / "keys.json"
    first = add_key(path)
    async with (
        open_server(settings_for(tmp_path)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        request = TaskRunRequest(schema=ECHO, inputs='{"text": "a"}', wait=True)
        assert (await stub.TaskRun(request, metadata=first)).task_id
        assert list((await stub.ServerInfo(ServerInfoRequest())).features) == ["auth"]
        health = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # generated without types
        await health.Check(health_pb2.HealthCheckRequest())

        second = add_key(path)
        await eventually_allowed(stub, second)
        path.write_text("{")
        with capture_logs() as logs:
            while not (errors := [line for line in logs if line["log_level"] == "error"]):
                await stub.TaskRun(request, metadata=second)
        assert "is no file of keys" in errors[0]["reason"]

        path.unlink()
        third = add_key(path)
        await eventually_allowed(stub, third)
        refusal = await refused(stub.TaskRun(request, metadata=first))
        assert (refusal.code, refusal.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def eventually_allowed(stub: Any, metadata: Metadata) -> None:
    call = stub.ServerInfo(ServerInfoRequest(), metadata=metadata)
    while (code := await call.code()) != StatusCode.OK:
        assert code == StatusCode.UNAUTHENTICATED
        call = stub.ServerInfo(ServerInfoRequest(), metadata=metadata)


async def test_a_server_without_its_keys(tmp_path: Path) -> None:
    """It does not start: otherwise nobody could call it, or everybody."""
    with pytest.raises(CredentialFileUnusable, match=r"keys\.json: No such file"):
        async with open_server(settings_for(tmp_path)):
            pass


async def test_tokens(tmp_path: Path) -> None:
    """Tokens and keys are valid side by side, on both ports; keys of the issuer that are replaced count at once."""
    issuer = Issuer()
    path, key_set = tmp_path / "keys.json", tmp_path / "jwks.json"
    key_set.write_text(issuer.key_set())
    key = add_key(path, "team-b")
    auth = {
        "api_keys_file": path,
        "jwt": {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": key_set},
    }
    async with (
        serving(settings_for(tmp_path, auth=auth, http_listen="127.0.0.1:0")) as ports,
        grpc.aio.insecure_channel(ports.server.address) as channel,
        httpx2.AsyncClient(base_url=f"http://{ports.http}", trust_env=False) as http,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        token = (("authorization", f"Bearer {issuer.token()}"),)
        request = TaskRunRequest(schema=ECHO, inputs='{"text": "a"}')
        for metadata in (key, token):
            assert (await stub.TaskRun(request, metadata=metadata)).task_id
            answer = await http.get("/api/tasks", headers=dict(metadata))
            assert answer.status_code == 200

        answer = await http.get("/api/tasks")
        assert (answer.status_code, answer.json()["code"]) == (401, "CREDENTIALS_MISSING")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="flowgram"'
        answer = await http.get("/api/tasks", headers={"Authorization": "Bearer x"})
        assert (answer.status_code, answer.json()["code"]) == (401, "CREDENTIALS_INVALID")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="flowgram", error="invalid_token"'
        answer = await http.get("/api/tasks", headers={"Authorization": "Bearer \tü".encode("latin-1")})
        assert (answer.status_code, answer.json()["code"]) == (401, "CREDENTIALS_INVALID")
        reader = {"Authorization": f"Bearer {issuer.token(roles='reader')}"}
        answer = await http.put("/api/task/cancel", json={"taskID": "x"}, headers=reader)
        assert (answer.status_code, answer.json()["code"]) == (403, "PERMISSION_DENIED")
        answer = await http.get("/api/tasks", headers=reader | {"Flowgram-Namespace": "team-b"})
        assert (answer.status_code, answer.json()["code"]) == (403, "PERMISSION_DENIED")
        answer = await http.get("/api/info")
        assert answer.status_code == 200
        assert "auth" in answer.json()["features"]
        answer = await http.get("/api/task/watch?taskID=x")
        assert answer.status_code == 401

        issuer.keys = Issuer().keys
        key_set.write_text(issuer.key_set())
        while await stub.TaskRun(request, metadata=token).code() != StatusCode.UNAUTHENTICATED:
            pass
        await stub.TaskRun(request, metadata=(("authorization", f"Bearer {issuer.token()}"),))


async def test_an_issuer_at_an_address(tmp_path: Path) -> None:
    """A server starts while the issuer is away: keys are valid meanwhile, and tokens as soon as it is back."""
    issuer = Issuer()
    issuer.away = True
    key = add_key(tmp_path / "keys.json")
    with issuer.published() as address:
        auth = {
            "api_keys_file": tmp_path / "keys.json",
            "jwt": {"issuer": ISSUER, "audience": AUDIENCE, "jwks_uri": address},
        }
        async with (
            open_server(settings_for(tmp_path, auth=auth)) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub: Any = WorkflowRuntimeServiceStub(channel)
            request = ServerInfoRequest()
            token = (("authorization", f"Bearer {issuer.token()}"),)
            refusal = await refused(stub.ServerInfo(request, metadata=token))
            assert refusal.reason == "CREDENTIALS_INVALID"
            assert "could not be fetched" in refusal.text
            assert (await stub.ServerInfo(request, metadata=key)).caller.role == "runner"
            issuer.away = False
            await eventually_allowed(stub, token)
            caller = (await stub.ServerInfo(request, metadata=token)).caller
            assert (caller.name, caller.namespace) == ("token:somebody", "team-a")
            issuer.away = True
            assert (await stub.ServerInfo(request, metadata=token)).caller == caller


async def test_client_certificates_say_who_calls(tmp_path: Path) -> None:
    """The holder of a certificate is known on both ports; nobody becomes one by saying so."""
    authority, clients = Authority(), Authority("clients")
    certificate, key = authority.server().write(tmp_path, "server")
    worker, stranger = clients.client("worker"), clients.client("stranger")
    settings = settings_for(
        tmp_path,
        http_listen="127.0.0.1:0",
        tls={
            "cert_file": certificate,
            "key_file": key,
            "client_ca_file": clients.write(tmp_path),
            "require_client_cert": True,
        },
        auth={"certificates": {"CN=worker,O=Acme": {"namespace": "team-a", "role": "reader"}}},
    )
    async with serving(settings) as ports:
        assert (await ports.grpc_info(authority.pem, worker)).version
        files = worker.write(tmp_path, "worker")
        answer = await ports.http_get(authority.pem, "/api/tasks", files)
        assert answer.status_code == 200

        der = x509.load_pem_x509_certificate(worker.certificate).public_bytes(Encoding.DER)
        files = stranger.write(tmp_path, "stranger")
        for name, value in {
            "Flowgram-Client-Certificate-Bin": base64.b64encode(der).decode(),
            "Flowgram-Peer": "127.0.0.1:1",
            "X-Forwarded-Client-Cert": worker.certificate.decode().strip().replace("\n", " "),
        }.items():
            answer = await ports.http_get(authority.pem, "/api/tasks", files, {name: value})
            assert (answer.status_code, answer.json()["code"]) == (401, "CREDENTIALS_INVALID")
        credentials = grpc.ssl_channel_credentials(authority.pem, stranger.key, stranger.certificate)
        async with grpc.aio.secure_channel(ports.server.address, credentials) as channel:
            stub: Any = WorkflowRuntimeServiceStub(channel)
            metadata = (("flowgram-client-certificate-bin", der), ("flowgram-peer", "unix:"))
            refusal = await refused(stub.TaskList(TaskListRequest(), metadata=metadata))
            assert refusal.reason == "CREDENTIALS_INVALID"


async def test_the_private_socket_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this user can enter the folder of the gateway's socket, which is gone at the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = tmp_path / "keys.json"
    add_key(path)
    async with serving(settings_for(tmp_path, http_listen="127.0.0.1:0")) as ports:
        target = ports.server.security.private_target
        assert target is not None
        folder = Path(target.removeprefix("unix:")).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        async with grpc.aio.insecure_channel(target) as channel:
            stub: Any = WorkflowRuntimeServiceStub(channel)
            assert (await refused(stub.TaskList(TaskListRequest()))).reason == "CREDENTIALS_MISSING"
    assert not folder.exists()


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"jwt": {"audience": "a"}}, "tokens need an issuer"),
        ({"jwt": {"issuer": "a"}}, "tokens need an audience"),
        ({"jwt": {"issuer": "a", "audience": "b"}}, "one of jwks_uri and jwks_file"),
        ({"jwt": {"issuer": "a", "audience": "b", "jwks_uri": "http://id.example.com/"}}, "https://"),
        ({"jwt": {"issuer": "a", "audience": "b", "jwks_uri": "file:///etc/passwd"}}, "https://"),
        ({"jwt": {"roles": {"ops": "root"}}}, r"auth\.jwt\.roles\.ops"),
        ({"certificates": {"worker": {"role": "reader"}}}, "is no subject"),
        ({"certificates": {"CN=a": {"role": "reader", "namespace": "a/b"}}}, "letters, digits"),
        ({"certificates": {"CN=a": {"role": "reader"}}}, r"^auth\.certificates needs tls\.client_ca_file"),
    ],
)
def test_settings_that_make_no_sense(auth: dict[str, Any], expected: str) -> None:
    """They are reported at once: a server that would let in nobody, or somebody by mistake, does not start."""
    with pytest.raises(InvalidSettings, match=expected):
        load_settings(flags={"auth": auth})
