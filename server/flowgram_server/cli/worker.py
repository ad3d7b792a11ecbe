"""`flowgram worker` and `flowgram temporal`: the commands beside the server where tasks run on Temporal."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from flowgram_core.nodes.errors import NodeTypeUnusable
from flowgram_core.temporal.errors import TemporalError, TemporalNotInstalled
from flowgram_server import app
from flowgram_server.address import AddressUnusable
from flowgram_server.logs import LogFormat, LogLevel, configure_logs
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings
from flowgram_server.stop_signals import StopSignals
from flowgram_server.telemetry.endpoint import bind_metrics, open_telemetry
from flowgram_server.telemetry.tracing import TracingUnusable

from .exits import EPILOG, CommandError, ExitStatus

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="A TOML file with settings."
    ),
    click.option("--address", metavar="HOST:PORT", help="The Temporal cluster."),
    click.option("--namespace", metavar="NAME", help="Its namespace."),
    click.option("--profile", metavar="NAME", help="The profile of Temporal's configuration: TLS, API key."),
    click.option("--task-queue", metavar="NAME", help="The queue between servers and workers."),
    click.option(
        "--unencrypted/--encrypted",
        default=None,
        help="Allow histories without encryption, where there are no keys.",
    ),
)


def _temporal_options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("worker", epilog=EPILOG)
@_temporal_options
@click.option(
    "--build-id", metavar="ID", help="The version of this worker; without it, any worker runs any task."
)
@click.option("--make-current/--no-make-current", default=None, help="Make this version the current one.")
@click.option("--max-calls", metavar="NUMBER", help="Calls at once.")
@click.option(
    "--log-level", type=click.Choice(get_args(LogLevel)), help="What is logged: this and what is graver."
)
@click.option("--log-format", type=click.Choice(get_args(LogFormat)), help="json, console, or auto.")
def worker_command(
    config: Path | None, log_level: str | None, log_format: str | None, **temporal: Any
) -> None:
    """Start a worker for servers on Temporal, and work until SIGTERM or Ctrl-C.

    It runs the workflows of tasks and makes their calls. The settings are those of `flowgram serve`; the flags here are for
    the group [temporal], in the environment FLOWGRAM_TEMPORAL__ADDRESS and so on.
    """
    settings = _settings(config, temporal, log_level=log_level, log_format=log_format)
    configure_logs(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=app.loop_factory()) as runner:
            runner.run(_work(settings))
    except InvalidSettings as error:
        raise CommandError(str(error), ExitStatus.INVALID) from None
    except (NodeTypeUnusable, TemporalError, TracingUnusable) as error:
        raise CommandError(str(error), ExitStatus.NOT_STARTED) from None


async def _work(settings: Settings) -> None:
    try:
        from flowgram_server.temporal_host import work  # noqa: PLC0415 - it needs an extra
    except ModuleNotFoundError as error:
        raise TemporalNotInstalled from error
    stops = StopSignals(on_second=lambda: os._exit(ExitStatus.INTERRUPTED))
    stops.listen()
    try:
        listener = bind_metrics(settings)
    except AddressUnusable as error:
        raise CommandError(str(error), ExitStatus.NOT_STARTED) from None
    async with open_telemetry(listener) as telemetry:
        await work(settings, stops, telemetry)


@click.group("temporal", epilog=EPILOG)
def temporal_command() -> None:
    """Look after a Temporal cluster."""


@temporal_command.command("check", epilog=EPILOG)
@_temporal_options
def check_command(config: Path | None, **temporal: Any) -> int:
    """Tell whether a cluster is fit for tasks; make the search attributes that are missing."""
    settings = _settings(config, temporal, runtime="temporal")
    try:
        findings = asyncio.run(_check(settings))
    except TemporalError as error:
        raise CommandError(str(error), ExitStatus.INVALID) from None
    for ok, text, remedy in findings:
        click.echo(f"{'ok ' if ok else 'NOT'}  {text}")
        for line in remedy.splitlines():
            click.echo(f"     {line}")
    return ExitStatus.SUCCEEDED if all(ok for ok, _, _ in findings) else ExitStatus.FAILED


async def _check(settings: Settings) -> list[tuple[bool, str, str]]:
    try:
        from flowgram_server.temporal_host import check_cluster  # noqa: PLC0415 - it needs an extra
    except ModuleNotFoundError as error:
        raise TemporalNotInstalled from error
    return [(found.ok, found.text, found.remedy) for found in await check_cluster(settings)]


def _settings(config: Path | None, temporal: dict[str, Any], **flags: Any) -> Settings:
    given = {name: value for name, value in temporal.items() if value is not None}
    try:
        return load_settings(config, {**flags, "runtime": "temporal", "temporal": given})
    except InvalidSettings as error:
        raise CommandError(str(error), ExitStatus.INVALID) from None
