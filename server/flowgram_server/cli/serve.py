"""`flowgram serve` and `flowgram dev-llm`: the commands that run until they are stopped."""

import asyncio
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from flowgram_server import app, fake_openai
from flowgram_server.address import host_and_port
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings
from flowgram_server.stop_signals import StopSignals

from .address_option import address
from .exits import EPILOG, CommandError, ExitStatus

_METAVARS = {
    "listen": "HOST:PORT",
    "http_listen": "HOST:PORT",
    "cors_origins": "ORIGIN,…",
    "metrics_listen": "HOST:PORT",
    "data": "DIR",
    "audit_log": "FILE",
    "secret_names": "NAME,…",
}
_FLAGS = {"http_listen": "--http"}
"""Flags that are not called as their settings are."""


def _setting_options(command: Any) -> Any:
    """Give a command a flag for every setting that is a single value; pydantic reads the values."""
    for name, field in reversed(Settings.model_fields.items()):
        option = _option(name, field)
        if option is not None:
            command = option(command)
    return command


def _option(name: str, field: FieldInfo) -> Any:
    flag = _FLAGS.get(name) or "--" + name.replace("_", "-")
    help_ = f"{field.description}  [default: {_shown(field.default)}]"
    if field.annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=help_)
    if get_origin(field.annotation) is Literal:
        return click.option(flag, name, type=click.Choice(get_args(field.annotation)), help=help_)
    if field.annotation in {str, Path, int, float} or name in _METAVARS:
        return click.option(flag, name, metavar=_METAVARS.get(name, "NUMBER"), help=help_)
    return None  # tables: the file and the environment hold them


def _shown(default: Any) -> str:
    if isinstance(default, frozenset):
        return ",".join(sorted(default))
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default)


@click.command("serve", epilog=EPILOG)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="A TOML file with settings.")
@_setting_options
@click.option("--no-http", "http_listen", flag_value="", help="No REST gateway.")
def serve_command(config: Path | None, **flags: Any) -> None:
    """Start a server, and serve until SIGTERM or Ctrl-C.

    Every flag can also be given in the environment (FLOWGRAM_MAX_NODES for --max-nodes, but FLOWGRAM_HTTP_LISTEN
    for --http) or in the file.
    """
    try:
        app.run(load_settings(config, flags))
    except InvalidSettings as error:
        raise CommandError(str(error), ExitStatus.INVALID) from None
    except app.CANNOT_START as error:
        raise CommandError(str(error), ExitStatus.NOT_STARTED) from None


@click.command("dev-llm", epilog=EPILOG)
@click.option(
    "--listen",
    default=f"127.0.0.1:{fake_openai.DEFAULT_PORT}",
    show_default=True,
    callback=address,
    metavar="HOST:PORT",
    help="Where to listen; port 0 takes any that is free.",
)
@click.option(
    "--delay",
    type=click.FloatRange(min=0),
    default=0.05,
    show_default=True,
    metavar="SECONDS",
    help="Before each word.",
)
def dev_llm_command(listen: str, delay: float) -> None:
    """Start the development model: an OpenAI-compatible endpoint for development and tests, without a key.

    It is no model: its answers follow from the question by a fixed rule.
    """
    asyncio.run(_serve_model(listen, delay))


async def _serve_model(listen: str, delay: float) -> None:
    host, port = host_and_port(listen)
    stops = StopSignals()
    stops.listen()
    try:
        async with fake_openai.FakeOpenAI(host, port, delay=delay) as model:
            click.echo(fake_openai.NOTICE)
            click.echo(f"apiHost: {model.base_url}")
            await stops.first.wait()
    except OSError as error:
        why = error.strerror or str(error)
        raise CommandError(f"cannot listen on {listen}: {why}", ExitStatus.NOT_STARTED) from None
