"""Options of all commands that use a server: its address, and how to connect."""

import functools
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import grpc

from flowgram_client import Client, FlowgramError, RetryPolicy
from flowgram_server.address import host_and_port

from .exits import CommandError, ExitStatus
from .interruptible import interruptible
from .outcomes import explain

_T = TypeVar("_T")

DEFAULT_TARGET = "127.0.0.1:50051"

MAX_DURATION = 315_576_000_000
"""Seconds: a longer duration the contract cannot hold."""

MAX_SEQUENCE = 2**63 - 1
"""No number of an event is larger in the contract."""

_RETRY = RetryPolicy(attempts=3)
"""Somebody is waiting at the terminal: say soon that there is no server."""


class Connection(NamedTuple):
    """How to reach a server."""

    target: str
    ca: Path | None
    tls: bool
    metadata: tuple[tuple[str, str], ...]

    def ask(self, question: Callable[[Client], _T], sleep: Callable[[float], object] = time.sleep) -> _T:
        """What a question to the server gives, asked in a thread of its own; see `interruptible`.

        Errors become messages and exit statuses. `sleep` waits between attempts.
        """

        def asked() -> _T:
            with self._open(sleep) as client:
                return question(client)

        return interruptible(asked)

    def options(self) -> Iterator[str]:
        """The options that lead to the server again, as a shell reads them. Metadata may be secret, and is not among them."""
        if self.target != DEFAULT_TARGET:
            yield f"--target {shlex.quote(self.target)}"
        if self.ca is not None:
            yield f"--tls-ca {shlex.quote(str(self.ca))}"
        elif self.tls:
            yield "--tls"

    @contextmanager
    def _open(self, sleep: Callable[[float], object]) -> Iterator[Client]:
        credentials = self.credentials()
        try:
            with Client(
                self.target, credentials=credentials, metadata=self.metadata, retry=_RETRY, sleep=sleep
            ) as client:
                yield client
        except FlowgramError as error:
            raise explain(error, self.target) from None

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What TLS needs; None without TLS."""
        if not self.tls and self.ca is None:
            return None
        try:
            roots = None if self.ca is None else self.ca.read_bytes()
        except OSError as error:
            raise CommandError(f"{self.ca}: {error.strerror}", ExitStatus.INVALID) from None
        return grpc.ssl_channel_credentials(roots)


def address(context: click.Context, option: click.Parameter, value: str) -> str:
    """Check an option of the form HOST:PORT."""
    try:
        host_and_port(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None
    return value


def pairs(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Read options of the form KEY=VALUE."""
    split = [value.partition("=") for value in values]
    for key, equals, _ in split:
        if not key or not equals:
            raise click.BadParameter("should be KEY=VALUE", context, option)
    return tuple((key, value) for key, _, value in split)


def connects(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options for its connection, and hand it a Connection as `connection`."""

    @click.option(
        "--target",
        envvar="FLOWGRAM_TARGET",
        default=DEFAULT_TARGET,
        show_default=True,
        show_envvar=True,
        metavar="HOST:PORT",
        help="The server.",
    )
    @click.option("--tls", is_flag=True, help="Connect with TLS.")
    @click.option(
        "--tls-ca",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Trust these certificates (PEM) instead of the system's; implies --tls.",
    )
    @click.option(
        "--metadata", multiple=True, callback=pairs, metavar="KEY=VALUE", help="Send this with every call."
    )
    @functools.wraps(command)
    def with_connection(
        target: str, tls: bool, tls_ca: Path | None, metadata: tuple[tuple[str, str], ...], **arguments: Any
    ) -> Any:
        return command(connection=Connection(target, tls_ca, tls, metadata), **arguments)

    return with_connection
