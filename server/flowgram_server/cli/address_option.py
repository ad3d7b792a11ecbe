"""Options of the form HOST:PORT, for commands that listen; they need no client."""

import click

from flowgram_server.address import host_and_port


def address(context: click.Context, option: click.Parameter, value: str) -> str:
    """Check an option of the form HOST:PORT."""
    try:
        host_and_port(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None
    return value
