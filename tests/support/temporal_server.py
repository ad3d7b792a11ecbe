"""A Temporal server of the test's own, in a process that can be killed. It is built by tools/build_temporal.sh."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.ports import lasting_port

BINARY = Path(__file__).parents[2] / "build" / "temporal-dev"
ATTRIBUTES = ("FlowgramLabels=KeywordList", "FlowgramCreated=Datetime", "FlowgramNamespace=Keyword")
_ATTEMPTS = 600
_STARTS = 3


def require_temporal() -> None:
    """Skips a test where there is no Temporal server; with CI=true there has to be one."""
    pytest.importorskip("temporalio")
    if not BINARY.exists():
        reason = "no Temporal server: run tools/build_temporal.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


class TemporalServer:
    """A server on ports that stay the same, with a file that outlives it.

    Attributes:
        address: Where it listens.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        attributes: Sequence[str] = ATTRIBUTES,
    ) -> None:
        """Takes values of the server's dynamic configuration, and search attributes as `NAME=TYPE`.

        Attributes that are made while it serves are known to all of it seconds later.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._settings = settings or {}
        self._attributes = attributes
        self._process: subprocess.Popen[bytes] | None = None
        self._port = lasting_port()
        self._metrics_port = lasting_port()
        self.address = f"127.0.0.1:{self._port}"

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it, and returns when it serves."""
        log = self._folder / "temporal.log"
        before = log.stat().st_size if log.exists() else 0
        for _ in range(_STARTS):
            self._launch(log)
            said = self._until_it_serves_or_ends(log, before)
            if b"serving" in said:
                return
            self.close()
            # Ports that nobody names it looks for itself, and another program may be quicker to take them.
            assert b"address already in use" in said, said.decode()
            before += len(said)
        raise AssertionError("the Temporal server gets no ports")

    def _until_it_serves_or_ends(self, log: Path, before: int) -> bytes:
        """What it has said."""
        assert self._process is not None
        for _ in range(_ATTEMPTS):
            has_ended = self._process.poll() is not None
            said = log.read_bytes()[before:]
            if has_ended or b"serving" in said:
                return said
            time.sleep(0.1)
        self.close()
        raise AssertionError("the Temporal server does not start")

    def _launch(self, log: Path) -> None:
        arguments = ["--port", str(self._port), "--metrics-port", str(self._metrics_port)]
        arguments += ["--db-filename", str(self._folder / "temporal.sqlite3")]
        for attribute in self._attributes:
            arguments += ["--search-attribute", attribute]
        for name, value in self._settings.items():
            arguments += ["--dynamic-config-value", f"{name}={value}"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [BINARY, *arguments, "--until-stdin-closes"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )

    def counted(self, metric: str, **labels: str) -> Counter[str]:
        """How often something has happened, by operation: the sums of one of its counters over what has these labels.

        The server brings them up to date once in a second.
        """
        with urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics") as answer:
            wanted = "".join(
                line for line in answer.read().decode().splitlines(keepends=True) if line.startswith(metric)
            )
        found: Counter[str] = Counter()
        for sample in (
            sample for family in text_string_to_metric_families(wanted) for sample in family.samples
        ):
            if sample.name == metric and labels.items() <= sample.labels.items():
                found[sample.labels["operation"]] += round(sample.value)
        return found

    def kill(self) -> None:
        """Ends it as a crash does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.kill()


@contextmanager
def temporal_server(
    folder: Path, settings: Mapping[str, object] | None = None, attributes: Sequence[str] = ATTRIBUTES
) -> Iterator[TemporalServer]:
    """A server for as long as the block lasts; skips the test where there can be none."""
    require_temporal()
    server = TemporalServer(folder, settings, attributes)
    try:
        server.start()
        yield server
    finally:
        server.close()
