"""The secrets of the server that workflows may use: where their values come from, and which hosts get them.

A value is read when a request is made, and again when its file has changed. It is in no task, and leaves this module only for
the request that it belongs to.
"""

import base64
import binascii
import html
import json
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

import httpx2

from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling.json_text import dumps
from flowgram_core.modeling.secret_references import SecretUses, placeholder
from flowgram_core.nodes.http.url import encode_form, parse_url
from flowgram_core.nodes.network.egress import literal_address
from flowgram_core.nodes.network.egress_rules import EgressRule, RuleKind, normal_host
from flowgram_core.nodes.secret_texts import SecretTexts

_log = logging.getLogger(__name__)

_MAX_BYTES: Final = 64 * 1024
"""Of a secret; what is larger is none."""
_SHORTEST_ECHO: Final = 4
"""Characters. Shorter values are not looked for in what servers and models answer: any text would have them."""
_SHORTEST_ENCODED: Final = 8
"""Characters. Of shorter values not enough is left in base64 to be sure that it is them."""
_URL_SAFE: Final = str.maketrans("+/", "-_")
_KEPT_FORMER: Final = 4
"""Former values of a secret that are still looked for: a server may know them for longer."""
_FRESH_FOR: Final = 1.0
"""Seconds after which files are looked at again only to find out what has to be masked."""
_PORTS: Final = {"http": 80, "https": 443}


class SecretHost(NamedTuple):
    """A host that a secret may be sent to.

    Attributes:
        rule: Names it: a host, `*.domain`, an address or a range, maybe with a port.
        plain: Whether it gets the secret without TLS, too. This machine always does.
    """

    rule: EgressRule
    plain: bool

    @classmethod
    def parse(cls, text: str) -> "SecretHost":
        """The host of a text such as `api.example.com`, `*.example.com:8443` or `http://models.internal:8000`.

        Raises:
            ValueError: It is none; the text is for operators.
        """
        scheme, separator, rest = text.strip().rpartition("://")
        if separator and scheme.lower() not in _PORTS:
            raise ValueError(f'"{text}" is no host: of schemes, there are http and https')
        rule = EgressRule.parse(rest)
        if rule.kind not in {RuleKind.NAME, RuleKind.DOMAIN, RuleKind.NETWORK}:
            raise ValueError(f'"{text}" is no host: a secret needs hosts that it is for')
        return cls(rule, scheme.lower() == "http")

    def has(self, url: httpx2.URL) -> bool:
        """Whether a request to an address may carry the secret."""
        host, rule = normal_host(url.raw_host.decode("ascii")), self.rule
        address = literal_address(host)
        is_here = host == "localhost" or (address is not None and address.is_loopback)
        if not rule.has_port(url.port or _PORTS[url.scheme]):
            return False
        if url.scheme != "https" and not (self.plain or is_here):
            return False
        return rule.has_host(host) or (address is not None and rule.has_address(address))


@dataclass(frozen=True, slots=True)
class SecretSource:
    """One secret, as the settings have it.

    Attributes:
        hosts: Where its value may be sent.
        file: The file that holds the value; a line break at its end is no part of it.
        env: The environment variable that holds the value, where there is no file.
        namespaces: Whose tasks may use it; None: all.
    """

    hosts: tuple[SecretHost, ...]
    file: Path | None = None
    env: str = ""
    namespaces: frozenset[str] | None = None


class _Stored:
    """A secret, and what is known of its value."""

    def __init__(self, name: str, source: SecretSource) -> None:
        self.source = source
        self.former: list[str] = []
        self.changes = 0
        self._name = name
        self._value = ""
        self._version: tuple[int, ...] = ()
        self._problem = ""

    def read(self) -> str:
        """The value. Raises `NodeError`, and tells the log once why."""
        try:
            value = self._current()
        except (OSError, ValueError) as error:
            problem = str(getattr(error, "strerror", None) or error)
            if problem != self._problem:
                self._problem = problem
                where = self.source.file or self.source.env
                _log.warning("the secret %s cannot be read from %s: %s", self._name, where, problem)
            raise NodeError(f'The secret "{self._name}" cannot be read at the moment') from None
        self._problem = ""
        return value

    def _current(self) -> str:
        file = self.source.file
        if file is None:
            if (given := os.environ.get(self.source.env)) is None:
                raise ValueError("there is no such environment variable")
            self._take(given)
            return self._value
        found = file.stat()
        version = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if version != self._version:
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("not a regular file")
            if found.st_size > _MAX_BYTES:
                raise ValueError(f"more than {_MAX_BYTES} bytes")
            try:
                text = file.read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                raise ValueError("not UTF-8") from None
            self._take(text)
            self._version = version
        return self._value

    def _take(self, text: str) -> None:
        value = text.rstrip("\r\n")
        if not value:
            raise ValueError("it is empty")
        if value != self._value:
            self._value = value
            self.changes += 1
            self.former = [value, *(former for former in self.former if former != value)][: _KEPT_FORMER + 1]


class OpenSecrets(NamedTuple):
    """The secrets of one call.

    Attributes:
        values: By name.
        hosts: By name, where each may be sent.
    """

    values: Mapping[str, str]
    hosts: Mapping[str, Sequence[SecretHost]]

    def check(self, url: httpx2.URL) -> None:
        """Raises `NodeError` where a request to an address may not carry one of them."""
        for name, hosts in self.hosts.items():
            if not any(host.has(url) for host in hosts):
                host_and_port = url.netloc.decode("ascii")
                named = any(host._replace(plain=True).has(url) for host in hosts)
                why = "without TLS" if named else "which it is not for"
                raise NodeError(f'The secret "{name}" is not sent to "{host_and_port}", {why}')

    def check_host_header(self, url: httpx2.URL, header: str | None) -> None:
        """Raises `NodeError` where a request is addressed to one host, and its header `Host` names another that may not get them.

        Several hosts may share an address: that of a proxy, or of a network that delivers for many.
        """
        if header is None:
            return
        named = parse_url(f"{url.scheme}://{header}/")
        self.check(named.copy_with(port=url.port))

    def fill(self, text: str, names: Sequence[str], *, in_json: bool = False) -> str:
        """A text with the values in place of the placeholders.

        Args:
            text: As the core has prepared it.
            names: The secrets whose placeholders the workflow has there, as often as it has them.
            in_json: The text is JSON: a text that is a secret as a whole is escaped.

        Raises:
            NodeError: There are more placeholders than the workflow has: they came with what it inserts.
        """
        for name in names:
            if text.count(placeholder(name)) != names.count(name):
                raise NodeError(
                    f'What stands beside the secret "{name}" must not contain "{placeholder(name)}" itself'
                )
        marks = "|".join(re.escape(placeholder(name)) for name in dict.fromkeys(names))

        def value_of(match: re.Match[str]) -> str:
            mark = match[0]
            if mark.startswith('"'):
                return dumps(self.values[_name_of(mark[1:-1])])
            return self.values[_name_of(mark)]

        return re.sub(f'"(?:{marks})"|{marks}' if in_json else marks, value_of, text)


def _name_of(mark: str) -> str:
    return mark[len(placeholder("")) - 2 : -2]


class WorkflowSecrets:
    """The secrets that workflows may use.

    Args:
        sources: By name.
        monotonic: A clock, in seconds.
    """

    def __init__(
        self,
        sources: Mapping[str, SecretSource] | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stored = {name: _Stored(name, source) for name, source in (sources or {}).items()}
        self._monotonic = monotonic
        self._looked_at: float | None = None
        self._known: tuple[int, SecretTexts] = 0, SecretTexts()

    def open(self, uses: SecretUses, namespace: str) -> OpenSecrets | None:
        """The secrets that a call uses; None for one that uses none.

        Args:
            uses: Of the call's node.
            namespace: Whose task makes the call.

        Raises:
            NodeError: There is no such secret for it, or it cannot be read.
        """
        names = dict.fromkeys(name for used in uses.values() for name in used)
        return self._open(names, namespace) if names else None

    def for_host(self, url: httpx2.URL, namespace: str) -> OpenSecrets | None:
        """The first secret whose hosts have an address, one that names the host in full before others; None: there is none.

        Raises:
            NodeError: It cannot be read.
        """
        found = [
            (host.rule.kind is not RuleKind.NAME, number, name)
            for number, (name, stored) in enumerate(self._stored.items())
            if self._is_for(stored, namespace)
            for host in stored.source.hosts
            if host.has(url)
        ]
        return self._open([min(found)[2]], namespace) if found else None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._stored)

    def known_texts(self) -> SecretTexts:
        """All values, former ones too, in the forms in which they may be sent back, and what is shown of each instead."""
        if not self._stored:
            return self._known[1]
        now = self._monotonic()
        if self._looked_at is None or now - self._looked_at >= _FRESH_FOR:
            self._looked_at = now
            for stored in self._stored.values():
                try:
                    stored.read()
                except NodeError:
                    continue  # the log has it
        changes = sum(stored.changes for stored in self._stored.values())
        if changes != self._known[0]:
            shown = {
                form: placeholder(name)
                for name, stored in self._stored.items()
                for value in stored.former
                if len(value) >= _SHORTEST_ECHO
                for form in _forms(value)
            }
            self._known = changes, SecretTexts(shown)
        return self._known[1]

    def check(self) -> None:
        """Tells the log which ones cannot be read."""
        self._looked_at = None
        self.known_texts()

    def _open(self, names: Iterable[str], namespace: str) -> OpenSecrets:
        values: dict[str, str] = {}
        hosts: dict[str, Sequence[SecretHost]] = {}
        for name in names:
            stored = self._stored.get(name)
            if stored is None or not self._is_for(stored, namespace):
                raise NodeError(f'There is no secret "{name}" for this workflow')
            values[name] = stored.read()
            hosts[name] = stored.source.hosts
        return OpenSecrets(values, hosts)

    @staticmethod
    def _is_for(stored: _Stored, namespace: str) -> bool:
        return stored.source.namespaces is None or namespace in stored.source.namespaces


def _forms(value: str) -> set[str]:
    """A value in all forms in which it may be sent back: as it is, escaped, or encoded.

    Of credentials in base64, what is in them, too.
    """
    texts = {value}
    with suppress(binascii.Error, ValueError):
        decoded = base64.b64decode(value, validate=True).decode()
        if decoded.isprintable() and ":" in decoded:
            texts |= {text for text in (decoded, decoded.partition(":")[2]) if len(text) >= _SHORTEST_ECHO}
    escaped = {
        form
        for text in texts
        for in_json in (dumps(text)[1:-1], json.dumps(text)[1:-1])
        for form in (
            text,
            in_json,
            in_json.replace("/", "\\/"),
            quote(text, safe=""),
            quote_plus(text),
            encode_form([("", text)]).decode()[1:],
            html.escape(text),
        )
    }
    return escaped.union(*(_encoded(text) for text in texts if len(text) >= _SHORTEST_ENCODED))


def _encoded(text: str) -> Iterator[str]:
    """A text in lower-case escapes of addresses, in hexadecimal digits, and in base64, wherever it stands in what was encoded."""
    data = text.encode("utf-8", "replace")
    quoted = quote(text, safe="")
    yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    yield data.hex()
    yield data.hex().upper()
    alone = base64.b64encode(data).decode()
    yield from (alone, alone.translate(_URL_SAFE), alone.rstrip("="), alone.rstrip("=").translate(_URL_SAFE))
    for before in range(3):
        # Four digits stand for three bytes: those at both ends that others have a share in are left out.
        whole = (before + len(data)) // 3 * 3
        encoded = base64.b64encode((bytes(before) + data)[:whole])[4 if before else 0 :]
        yield encoded.decode()
        yield encoded.decode().translate(_URL_SAFE)
