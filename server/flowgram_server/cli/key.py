"""`flowgram key`: makes, lists and revokes the API keys of a server, in its file of keys."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import click
import orjson

from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE
from flowgram_server.auth.api_keys import MAX_NOTE, APIKey, RoleName, change_keys, new_key, read_keys
from flowgram_server.auth.errors import CredentialFileUnusable
from flowgram_server.auth.namespaces import checked_namespace

from .exits import EPILOG, CommandError, ExitStatus
from .formatting import line

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LIFETIME = re.compile(r"([1-9][0-9]{0,9})([smhd])")

_file = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="FLOWGRAM_AUTH__API_KEYS_FILE",
    show_envvar=True,
    required=True,
    metavar="FILE",
    help="The file of keys, which the server's setting auth.api_keys_file names.",
)


@click.group("key", epilog=EPILOG)
def key_command() -> None:
    """Look after the API keys of a server.

    They are in a file, which the server reads again when it changes. It holds no key, only what tells a right one.
    """


def _namespace(context: click.Context, option: click.Parameter, value: str) -> str:
    try:
        return checked_namespace(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


def _lifetime(context: click.Context, option: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    parts = _LIFETIME.fullmatch(value)
    if parts is None:
        raise click.BadParameter("should be a number with s, m, h or d, such as 90d", context, option)
    try:
        return timedelta(**{_UNITS[parts[2]]: int(parts[1])})
    except OverflowError:
        raise click.BadParameter("is longer than dates go", context, option) from None


def _note(context: click.Context, option: click.Parameter, value: str) -> str:
    if len(value) > MAX_NOTE:
        raise click.BadParameter(f"should have at most {MAX_NOTE} characters", context, option)
    return value


@key_command.command("create", epilog=EPILOG)
@_file
@click.option(
    "--namespace",
    default=DEFAULT_NAMESPACE,
    show_default=True,
    callback=_namespace,
    help="Where the tasks of its bearer are.",
)
@click.option(
    "--role",
    type=click.Choice(get_args(RoleName)),
    default="runner",
    show_default=True,
    help="What its bearer may do: see tasks; run and cancel them, too; do so in every namespace.",
)
@click.option(
    "--expires",
    callback=_lifetime,
    metavar="TIME",
    help="Valid for so long, such as 90d or 12h; for ever without.",
)
@click.option("--note", default="", callback=_note, help="What it is for; shown by list.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create_command(
    path: Path, namespace: str, role: RoleName, expires: timedelta | None, note: str, as_json: bool
) -> None:
    """Make a key, and print it. It is shown only now."""
    try:
        text, key = new_key(
            namespace=namespace, role=role, lifetime=expires, note=note, now=datetime.now(UTC)
        )
    except ValueError as error:
        raise CommandError(str(error), ExitStatus.INVALID) from None
    _change(path, lambda keys: [*keys, key])
    if as_json:
        click.echo(orjson.dumps({"key": text, **_jsonable(key)}))
    else:
        click.echo(text)
        click.echo(f"{_line(key)}: keep the key, it is not shown again", err=True)


@key_command.command("list", epilog=EPILOG)
@_file
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(path: Path, as_json: bool) -> None:
    """List the keys: what tells them apart, never the keys themselves."""
    try:
        keys = read_keys(path)
    except CredentialFileUnusable as error:
        raise CommandError(str(error), ExitStatus.INVALID) from None
    if as_json:
        click.echo(orjson.dumps([_jsonable(key) for key in keys], option=orjson.OPT_INDENT_2))
        return
    for key in keys:
        click.echo(_line(key))


@key_command.command("revoke", epilog=EPILOG)
@_file
@click.argument("key_id", metavar="ID")
def revoke_command(path: Path, key_id: str) -> None:
    """Remove the key with an ID, as list shows it. Servers refuse it within a second."""

    def without(keys: list[APIKey]) -> list[APIKey]:
        left = [key for key in keys if key.id != key_id]
        if len(left) == len(keys):
            raise CommandError(f"there is no key {key_id} in {path}", ExitStatus.REFUSED)
        return left

    if not path.exists():
        raise CommandError(f"{path}: No such file or directory", ExitStatus.INVALID)
    _change(path, without)
    click.echo(f"{key_id} is revoked")


def _change(path: Path, change: Any) -> None:
    try:
        change_keys(path, change)
    except CredentialFileUnusable as error:
        raise CommandError(str(error), ExitStatus.INVALID) from None


def _line(key: APIKey) -> str:
    expires = "never expires"
    if key.expires is not None:
        over = key.expires <= datetime.now(UTC)
        expires = f"{'expired' if over else 'expires'} {key.expires:%Y-%m-%d %H:%M} UTC"
    return f"{key.id}  {key.namespace}  {key.role}  {expires}{f'  {line(key.note)}' if key.note else ''}"


def _jsonable(key: APIKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"sha256"})
