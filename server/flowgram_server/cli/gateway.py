"""`flowgram gateway`: the REST gateway alone, before a server elsewhere."""

import asyncio
import socket
from pathlib import Path
from typing import NamedTuple, get_args

import click
import structlog

from flowgram_client import InvalidValueError
from flowgram_client._raw import RawClient
from flowgram_core.concurrency.clock import SystemClock
from flowgram_server.address import AddressUnusable, address_of, bind, is_loopback
from flowgram_server.auth.audit import open_audit_log
from flowgram_server.auth.errors import CredentialFileUnusable
from flowgram_server.auth.tls import ServerTLS, TLSFiles
from flowgram_server.auth.upkeep import Upkeep
from flowgram_server.descriptors import connection_shares, raise_limit
from flowgram_server.gateway.forwarding import forwarded
from flowgram_server.gateway.serve import RETRY, open_gateway
from flowgram_server.logs import LogFormat, LogLevel, configure_logs
from flowgram_server.settings.gateway import (
    LOOPBACK,
    ConnectionLimits,
    GatewaySettings,
    host_name_of,
    origin_of,
)
from flowgram_server.stop_signals import StopSignals

from .address_option import address
from .exits import EPILOG, CommandError, ExitStatus
from .options import Connection, reaches
from .outcomes import explain

_log = structlog.get_logger(__name__)

_STREAM_CONNECTIONS = 8
"""A server takes 5,000 calls at once on one, unless its setting `max_streams` says otherwise."""


def _origins(context: click.Context, option: click.Parameter, value: str) -> frozenset[str]:
    try:
        return frozenset(origin_of(origin.strip()) for origin in value.split(",") if origin.strip())
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


def _host_names(context: click.Context, option: click.Parameter, value: str) -> frozenset[str]:
    try:
        return frozenset(host_name_of(name.strip()) for name in value.split(",") if name.strip())
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


@click.command("gateway", epilog=EPILOG)
@click.option(
    "--listen",
    default="127.0.0.1:4000",
    show_default=True,
    callback=address,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes any that is free.",
)
@click.option(
    "--cors-origins",
    default=LOOPBACK,
    show_default=True,
    callback=_origins,
    metavar="ORIGIN,…",
    help="Origins whose pages may use it; loopback: those on this machine; *: all.",
)
@click.option(
    "--allowed-hosts",
    default="",
    callback=_host_names,
    metavar="NAME,…",
    help="Names in a Host header that are answered, beside those of this machine; *: all.",
)
@click.option(
    "--log-level",
    type=click.Choice(get_args(LogLevel)),
    default="info",
    show_default=True,
    help="What is logged: this and what is graver.",
)
@click.option(
    "--log-format",
    type=click.Choice(get_args(LogFormat)),
    default="auto",
    show_default=True,
    help="json, console, or auto: console on a terminal.",
)
@click.option(
    "--listen-cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="PEM file of the gateway's own certificate; read again when it changes. Without it nothing is encrypted.",
)
@click.option(
    "--listen-key", type=click.Path(path_type=Path), metavar="FILE", help="PEM file of its private key."
)
@click.option(
    "--insecure-remote",
    is_flag=True,
    help="Listen beyond this machine without --listen-cert, such as behind a proxy that encrypts.",
)
@click.option(
    "--audit-log",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File for a line of JSON per request that the gateway itself refuses; -: standard output.",
)
@reaches
def gateway_command(
    connection: Connection,
    listen: str,
    cors_origins: frozenset[str],
    allowed_hosts: frozenset[str],
    log_level: LogLevel,
    log_format: LogFormat,
    listen_cert: Path | None,
    listen_key: Path | None,
    insecure_remote: bool,
    audit_log: Path | None,
) -> None:
    """Start a gateway: FlowGram's REST API, as its editor speaks it, over a server.

    It holds no state but the sessions of its console, and may be started before its server. It serves until SIGTERM or Ctrl-C.
    """
    configure_logs(log_level, log_format)
    protection = _protection(listen, listen_cert, listen_key, audit_log, insecure_remote=insecure_remote)
    try:
        listener = bind(listen)
    except AddressUnusable as error:
        raise CommandError(str(error), ExitStatus.NOT_STARTED) from None
    with listener:
        try:
            settings = GatewaySettings(
                cors_origins=cors_origins,
                allowed_hosts=allowed_hosts,
                connections=ConnectionLimits(max_connections=connection_shares(raise_limit()).http),
            )
            asyncio.run(_serve(connection, listener, settings, protection))
        except CredentialFileUnusable as error:
            raise CommandError(str(error), ExitStatus.NOT_STARTED) from None
        except InvalidValueError as error:
            raise explain(error, connection.target) from None


class _Protection(NamedTuple):
    """What a gateway has of its own: certificates and an audit log, or none."""

    tls: TLSFiles | None
    audit_log: Path | None


def _protection(
    listen: str, certificate: Path | None, key: Path | None, audit_log: Path | None, *, insecure_remote: bool
) -> _Protection:
    if (certificate is None) != (key is None):
        raise CommandError("--listen-cert and --listen-key belong together", ExitStatus.INVALID)
    if certificate is None or key is None:
        if not is_loopback(listen) and not insecure_remote:
            raise CommandError(
                f"{listen} can be reached from other machines, which takes --listen-cert and --listen-key: credentials would be "
                "sent in the clear; --insecure-remote starts without, such as behind a proxy that encrypts",
                ExitStatus.INVALID,
            )
        return _Protection(None, audit_log)
    return _Protection(TLSFiles(certificate, key), audit_log)


async def _serve(
    connection: Connection, listener: socket.socket, settings: GatewaySettings, protection: _Protection
) -> None:
    stops = StopSignals()
    stops.listen()
    clock = SystemClock()
    upkeep = Upkeep(clock)
    tls = None
    if protection.tls is not None:
        tls = ServerTLS(protection.tls)
        upkeep.watch(protection.tls.paths, tls.load)
    client = RawClient(
        connection.target,
        credentials=connection.credentials(),
        metadata=connection.metadata,
        retry=RETRY,
        call_metadata=forwarded.get,
        stream_connections=_STREAM_CONNECTIONS,
    )
    with open_audit_log(protection.audit_log, clock) as audit:
        async with (
            upkeep.running(),
            client,
            open_gateway(
                client, listener, settings, tls=None if tls is None else tls.http_context(), audit=audit
            ),
        ):
            _log.info("serving", http=address_of(listener), target=connection.target)
            await stops.first.wait()
    _log.info("stopped")
