"""`flowgram gateway`: the REST gateway alone, before a server elsewhere."""

import asyncio
import socket
from typing import get_args

import click
import structlog

from flowgram_client import InvalidValueError
from flowgram_client._raw import RawClient
from flowgram_server.address import AddressUnusable, address_of, bind
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

from .exits import EPILOG, CommandError, ExitStatus
from .options import Connection, address, reaches
from .outcomes import explain

_log = structlog.get_logger(__name__)


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
@reaches
def gateway_command(
    connection: Connection,
    listen: str,
    cors_origins: frozenset[str],
    allowed_hosts: frozenset[str],
    log_level: LogLevel,
    log_format: LogFormat,
) -> None:
    """Start a gateway: FlowGram's REST API, as its editor speaks it, over a server.

    It holds no state, and may be started before its server. It serves until SIGTERM or Ctrl-C.
    """
    configure_logs(log_level, log_format)
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
            asyncio.run(_serve(connection, listener, settings))
        except InvalidValueError as error:
            raise explain(error, connection.target) from None


async def _serve(connection: Connection, listener: socket.socket, settings: GatewaySettings) -> None:
    stops = StopSignals()
    stops.listen()
    client = RawClient(
        connection.target,
        credentials=connection.credentials(),
        metadata=connection.metadata,
        retry=RETRY,
        call_metadata=forwarded.get,
    )
    async with client, open_gateway(client, listener, settings):
        _log.info("serving", http=address_of(listener), target=connection.target)
        await stops.first.wait()
    _log.info("stopped")
