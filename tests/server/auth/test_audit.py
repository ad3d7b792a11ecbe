import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.fakes import FakeClock

from flowgram_server.auth import audit as module
from flowgram_server.auth.audit import AuditLog, open_audit_log
from flowgram_server.auth.errors import CredentialFileUnusable


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().rstrip("\n").split("\n")]


def test_lines(tmp_path: Path) -> None:
    """Each decision is a line, in order, after those that were there; the file is its owner's."""
    path = tmp_path / "audit.jsonl"
    for number in range(2):
        with open_audit_log(path, FakeClock()) as audit:
            assert audit is not None
            for each in range(100):
                audit.write(number=number, each=each, text="a\nb\u2028\x00")
    found = lines(path)
    assert [(line["number"], line["each"]) for line in found] == [
        (n, e) for n in range(2) for e in range(100)
    ]
    assert found[0] == {"time": "2023-11-14T22:13:20.000Z", "number": 0, "each": 0, "text": "a\nb\u2028\x00"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_audit_log() -> None:
    """Without a file there is none."""
    with open_audit_log(None, FakeClock()) as audit:
        assert audit is None


def test_rotation(tmp_path: Path) -> None:
    """A file that was moved away is left alone, and another one is made."""
    path, moved = tmp_path / "audit", tmp_path / "audit.1"
    audit = AuditLog(path, FakeClock())
    audit.write(number=1)
    while not path.stat().st_size:
        pass
    path.rename(moved)
    audit.write(number=2)
    audit.close()
    assert [line["number"] for line in lines(moved)] == [1]
    assert [line["number"] for line in lines(path)] == [2]


def test_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it; what does not fit is counted, and the count is written."""
    monkeypatch.setattr(module, "_MAX_WAITING", 10)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    audit = AuditLog(pipe, FakeClock())
    filled = 0
    while not audit._lost:  # the pipe is full, and so is what waits for it
        audit.write(number=filled, text="x" * 1000)
        filled += 1
    for _ in range(5):
        audit.write(number=-1)
    os.set_blocking(reader, True)
    read: list[bytes] = []

    def drain() -> None:
        while data := os.read(reader, 65536):
            read.append(data)

    draining = threading.Thread(target=drain)
    draining.start()
    audit.close()
    draining.join()
    os.close(reader)
    found = [json.loads(line) for line in b"".join(read).splitlines()]
    written = [line["number"] for line in found if "number" in line]
    assert written == sorted(written)
    assert len(written) + sum(line.get("lost", 0) for line in found) == filled + 5


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """It is an error in the log, once, and the server goes on."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full")
    with capture_logs() as logs:
        audit = AuditLog(full, FakeClock())
        for number in range(3):
            audit.write(number=number)
        audit.close()
    assert [line["log_level"] for line in logs] == ["error"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A server does not start without its audit log."""
    with pytest.raises(CredentialFileUnusable, match="No such file"):
        AuditLog(tmp_path / "none" / "audit", FakeClock())


def test_whatever_is_written_is_one_line(tmp_path: Path) -> None:
    """Line breaks, quotes and what UTF-8 cannot say neither make a second line nor end the log."""
    path = tmp_path / "audit.log"
    with open_audit_log(path, FakeClock()) as audit:
        assert audit is not None
        for method in ('a\n{"allowed":true}', "b\u2028\r\x00\x1b[31m", "c\ud800"):
            audit.write(method=method, allowed=False)
    lines = path.read_bytes().split(b"\n")
    assert len(lines) == 4
    assert [json.loads(line)["method"] for line in lines[:-1]] == [
        'a\n{"allowed":true}',
        "b\u2028\r\x00\x1b[31m",
        "c?",
    ]
