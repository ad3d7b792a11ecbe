"""`flowgram key`: what an operator does with the keys of a server."""

import json
from pathlib import Path

import pytest

from flowgram_server.auth.api_keys import APIKeys, read_keys
from flowgram_server.cli.exits import ExitStatus
from flowgram_server.cli.root import run


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "keys.json"
    monkeypatch.setenv("FLOWGRAM_AUTH__API_KEYS_FILE", str(path))
    return path


def create(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run(["key", "create", *options]) == ExitStatus.SUCCEEDED
    return capsys.readouterr().out.strip()


def test_a_key_that_is_made_is_valid(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output is the key alone, for scripts; the file has what it takes to know it."""
    text = create(capsys, "--namespace", "team-a", "--role", "admin", "--note", "a\nb")
    principal = APIKeys(read_keys(path)).verify(text, 0).principal
    assert (principal.namespace, principal.role.name) == ("team-a", "ADMIN")
    assert run(["key", "list"]) == ExitStatus.SUCCEEDED
    shown = capsys.readouterr().out
    assert shown == f"{principal.name.removeprefix('key:')}  team-a  admin  never expires  a b\n"
    assert text.rpartition("_")[2] not in shown


def test_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get the same as JSON, without the hash."""
    made = json.loads(create(capsys, "--json", "--expires", "90d"))
    assert run(["key", "list", "--json"]) == ExitStatus.SUCCEEDED
    listed = json.loads(capsys.readouterr().out)
    assert listed == [{name: value for name, value in made.items() if name != "key"}]
    assert made["role"] == "runner"
    assert made["expires"] > made["created"]
    assert "sha256" not in made


def test_revoking(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A revoked key is gone, the others stay, and it cannot be revoked twice."""
    first, second = create(capsys), create(capsys)
    key_id = first.split("_")[1]
    assert run(["key", "revoke", key_id]) == ExitStatus.SUCCEEDED
    assert [key.id for key in read_keys(path)] == [second.split("_")[1]]
    assert run(["key", "revoke", key_id]) == ExitStatus.REFUSED
    assert "there is no key" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ("--namespace", "a b"),
        ("--role", "root"),
        ("--expires", "0d"),
        ("--expires", "soon"),
        ("--expires", "9999999999d"),
        ("--expires", "9999999d"),
        ("--note", "x" * 257),
    ],
)
def test_errors(path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str]) -> None:
    """What is no key's is refused, and nothing is written."""
    assert run(["key", "create", *options]) == ExitStatus.INVALID
    assert "Traceback" not in capsys.readouterr().err
    assert not path.exists()


def test_a_damaged_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is never written over: what it held may be wanted."""
    path.write_text("{")
    for command in (["create"], ["list"], ["revoke", "a"]):
        assert run(["key", *command]) == ExitStatus.INVALID
        assert "is no file of keys" in capsys.readouterr().err
    assert path.read_text() == "{"


def test_no_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to list or to revoke, and none is made by trying."""
    for command in (["list"], ["revoke", "a"]):
        assert run(["key", *command]) == ExitStatus.INVALID
        assert "No such file" in capsys.readouterr().err
    assert not path.exists()
