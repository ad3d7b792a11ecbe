"""What protection costs: servers with and without TLS, API keys, the audit log and metrics, in turns, with the same tasks."""

import asyncio
import ipaddress
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks import workflows
from benchmarks.server import Server, computed, connected, running_server
from benchmarks.service import IN_FLIGHT, in_flight, run_request
from benchmarks.slices import Slices
from benchmarks.table import Row, at_least
from flowgram.runtime.v1 import report_pb2
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

ROUNDS: Final = 40
SLICE_SECONDS: Final = 0.4
"""Many short ones in turns: the speed of a shared machine changes within seconds."""

_METRICS: Final = {"FLOWGRAM_METRICS_LISTEN": "127.0.0.1:0"}


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of server.

    Attributes:
        name: What it has.
        environment: Its settings.
        credentials: What its clients need to connect; None: it has no TLS.
        metadata: What its clients send along.
        goal: Its rate at least, in terms of a plain server's.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    credentials: grpc.ChannelCredentials | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    goal: float = 1.0


async def measure(rounds: int = ROUNDS) -> list[Row]:
    """The rates of servers of all kinds against that of a plain one."""
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        plain, *others = kinds = await asyncio.to_thread(_kinds, folder)
        runs = [await _open(opened, kind) for kind in kinds]
        found = [Slices() for _ in kinds]
        for server, run in runs:
            await _slice(Slices(), server, run)
        for _ in range(rounds):
            for slices, (server, run) in zip(found, runs, strict=True):
                await _slice(slices, server, run)
    return [_row(kind, slices, plain, found[0]) for kind, slices in zip(others, found[1:], strict=True)]


def _kinds(folder: Path) -> list[_Kind]:
    certificate, key = folder / "server.pem", folder / "server.key"
    _certify(certificate, key)
    keys = folder / "keys.json"
    create = (sys.executable, "-m", "flowgram_server.cli", "key", "create", "--file", str(keys))
    api_key = subprocess.run(create, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - our own
    return [
        _Kind("nothing of it"),
        _Kind("metrics", _METRICS, goal=0.97),
        _Kind(
            "TLS, API keys, audit log and metrics",
            {
                **_METRICS,
                "FLOWGRAM_TLS__CERT_FILE": str(certificate),
                "FLOWGRAM_TLS__KEY_FILE": str(key),
                "FLOWGRAM_AUTH__API_KEYS_FILE": str(keys),
                "FLOWGRAM_AUDIT_LOG": str(folder / "audit.log"),
            },
            grpc.ssl_channel_credentials(certificate.read_bytes()),
            (("authorization", f"Bearer {api_key}"),),
            goal=0.85,
        ),
    ]


def _certify(certificate: Path, key: Path) -> None:
    """Writes a certificate of a server on 127.0.0.1, which signs itself, and its key."""
    made = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(made.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(made, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate.write_bytes(signed.public_bytes(pem))
    key.write_bytes(made.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


async def _open(opened: AsyncExitStack, kind: _Kind) -> tuple[Server, Callable[[], Awaitable[None]]]:
    """A server of a kind, and what runs a task on it."""
    server = await opened.enter_async_context(
        running_server(credentials=kind.credentials, **kind.environment)
    )
    channel = await opened.enter_async_context(connected(server.target, kind.credentials))
    stub = WorkflowRuntimeServiceStub(channel)
    request = run_request(workflows.echo(), wait=True)

    async def run() -> None:
        answer = await stub.TaskRun(request, metadata=kind.metadata)
        if answer.status.status != report_pb2.STATUS_SUCCEEDED:
            raise RuntimeError("the workflow did not succeed")

    return server, run


async def _slice(slices: Slices, server: Server, run: Callable[[], Awaitable[None]]) -> None:
    before = computed(server.process)
    count, seconds = await in_flight(run, seconds=SLICE_SECONDS)
    slices.add(count, seconds, computed(server.process) - before)


def _row(kind: _Kind, slices: Slices, plain: _Kind, base: Slices) -> Row:
    compared = f"{plain.name} {base}; by processor time {base.cost / slices.cost:.2f}"
    name = f"TaskRun(wait) of start and end, {IN_FLIGHT} in flight: {kind.name}"
    return at_least(name, str(slices), compared, slices.over(base), kind.goal)
