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
    tls: bool
    ca: Path | None
    certificate: Path | None
    key: Path | None
    token: str | None
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
        """The options that lead to the server again, as a shell reads them. Tokens and metadata may be secret, and are not among them."""
        if self.target != DEFAULT_TARGET:
            yield f"--target {shlex.quote(self.target)}"
        if self.ca is not None:
            yield f"--tls-ca {shlex.quote(str(self.ca))}"
        elif self.tls:
            yield "--tls"
        if self.certificate is not None and self.key is not None:
            yield f"--tls-cert {shlex.quote(str(self.certificate))} --tls-key {shlex.quote(str(self.key))}"

    @contextmanager
    def _open(self, sleep: Callable[[float], object]) -> Iterator[Client]:
        credentials = self.credentials()
        try:
            with Client(
                self.target,
                credentials=credentials,
                metadata=self.metadata,
                token=self.token,
                retry=_RETRY,
                sleep=sleep,
            ) as client:
                yield client
        except FlowgramError as error:
            raise explain(error, self.target) from None

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What TLS needs; None without TLS."""
        if not self.tls and self.ca is None and self.certificate is None:
            return None
        if (self.certificate is None) != (self.key is None):
            raise CommandError("--tls-cert and --tls-key belong together", ExitStatus.INVALID)
        return grpc.ssl_channel_credentials(_read(self.ca), _read(self.key), _read(self.certificate))


def _read(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", ExitStatus.INVALID) from None


def pairs(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Read options of the form KEY=VALUE."""
    split = [value.partition("=") for value in values]
    for key, equals, _ in split:
        if not key or not equals:
            raise click.BadParameter("should be KEY=VALUE", context, option)
    return tuple((key, value) for key, _, value in split)


_Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def _file(name: str, help_: str) -> _Option:
    return click.option(name, type=click.Path(path_type=Path), metavar="FILE", help=help_)


_TOKEN: _Option = click.option(
    "--token",
    envvar="FLOWGRAM_TOKEN",
    show_envvar=True,
    metavar="TOKEN",
    help="An API key, or a token, that says who calls. Others on this machine see flags: the environment is safer.",
)


def connects(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options for its connection, and hand it a Connection as `connection`."""
    return _TOKEN(reaches(command))


def reaches(command: Callable[..., Any]) -> Callable[..., Any]:
    """As `connects`, for a command that has no credentials of its own."""

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
    @_file("--tls-ca", "Trust these certificates (PEM) instead of the system's; implies --tls.")
    @_file("--tls-cert", "The client certificate (PEM), where the server asks for one; implies --tls.")
    @_file("--tls-key", "Its private key (PEM).")
    @click.option(
        "--metadata", multiple=True, callback=pairs, metavar="KEY=VALUE", help="Send this with every call."
    )
    @functools.wraps(command)
    def with_connection(
        target: str,
        tls: bool,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        metadata: tuple[tuple[str, str], ...],
        token: str | None = None,
        **arguments: Any,
    ) -> Any:
        # An empty variable is how many say that there is none.
        connection = Connection(target, tls, tls_ca, tls_cert, tls_key, token or None, metadata)
        return command(connection=connection, **arguments)

    return with_connection
