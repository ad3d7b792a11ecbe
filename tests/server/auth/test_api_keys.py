import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flowgram_server.auth.api_keys import APIKey, APIKeys, change_keys, new_key, read_keys
from flowgram_server.auth.errors import CredentialFileUnusable, CredentialsInvalid
from flowgram_server.auth.principal import Principal, Role

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_US = round(NOW.timestamp() * 1e6)


def make(lifetime: timedelta | None = None, namespace: str = "team-a") -> tuple[str, APIKey]:
    return new_key(namespace=namespace, role="runner", lifetime=lifetime, note="CI", now=NOW)


def test_a_key_is_known_by_its_secret() -> None:
    """A key that was made is its bearer's; one that looks like it is nobody's."""
    text, key = make()
    keys = APIKeys([key])
    assert keys.verify(text, NOW_US) == (Principal(f"key:{key.id}", "team-a", Role.RUNNER), None)
    other, _ = make()
    for wrong in (
        other,
        text[:-1],
        text + "a",
        text.upper(),
        "",
        "fgk_",
        f"fgk_{key.id}_{'a' * 52}",
        f"{text}\n",
    ):
        with pytest.raises(CredentialsInvalid):
            keys.verify(wrong, NOW_US)


def test_an_unknown_id_is_reported_like_a_wrong_secret() -> None:
    """Nobody learns which ids there are."""
    text, key = make()
    secret = text.rpartition("_")[2]
    texts = set()
    for wrong in (f"fgk_{key.id}_{'a' * 52}", f"fgk_{'a' * 12}_{secret}"):
        with pytest.raises(CredentialsInvalid) as caught:
            APIKeys([key]).verify(wrong, NOW_US)
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_a_key_expires() -> None:
    """It is valid until its end, and no longer."""
    text, key = make(timedelta(seconds=10))
    keys = APIKeys([key])
    end = NOW_US + 10_000_000
    assert keys.verify(text, end - 1).expires == end
    with pytest.raises(CredentialsInvalid, match="expired"):
        keys.verify(text, end)


def test_the_file_holds_no_secret(tmp_path: Path) -> None:
    """What is written is for the owner only, and nobody can call with it."""
    text, key = make()
    path = tmp_path / "keys.json"
    change_keys(path, lambda keys: [*keys, key])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert text.rpartition("_")[2] not in path.read_text()
    assert read_keys(path) == [key]
    assert [file.name for file in tmp_path.iterdir()] == ["keys.json"]


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    """Permissions for a group stay; a link stays one."""
    path, link = tmp_path / "keys.json", tmp_path / "link.json"
    change_keys(path, lambda keys: keys)
    path.chmod(0o640)
    link.symlink_to(path)
    change_keys(link, lambda keys: [*keys, make()[1]])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert len(read_keys(path)) == 1


def test_changes_at_once(tmp_path: Path) -> None:
    """None of several changes is lost."""
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(change_keys, path, lambda keys: [*keys, make()[1]]) for _ in range(16)]:
            done.result()
    assert len(read_keys(path)) == 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "keys.json: is no file of keys"),
        ("[]", "is no file of keys"),
        ('{"version": 2, "keys": []}', "version"),
        ('{"keys": [{"id": "x"}]}', "keys.0.id"),
        ("{", "is no file of keys"),
        (b"\xff", "is no file of keys"),
    ],
)
def test_a_damaged_file(tmp_path: Path, text: str | bytes, expected: str) -> None:
    """The place and the problem are named, never the content."""
    path = tmp_path / "keys.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CredentialFileUnusable, match=expected):
        read_keys(path)


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": "a b"},
        {"role": "root"},
        {"sha256": "00"},
        {"expires": "2026-01-01T00:00:00"},
        {"secret": "x"},
    ],
)
def test_a_damaged_entry(tmp_path: Path, change: dict[str, str]) -> None:
    """No entry is taken that is not as it should be: it might allow more than was meant."""
    path = tmp_path / "keys.json"
    entry = json.loads(make()[1].model_dump_json()) | change
    path.write_text(json.dumps({"version": 1, "keys": [entry]}))
    with pytest.raises(CredentialFileUnusable, match=r"keys\.0"):
        read_keys(path)


def test_an_id_twice(tmp_path: Path) -> None:
    """Which of two keys counts is never a matter of their order."""
    path = tmp_path / "keys.json"
    _, key = make()
    path.write_text(json.dumps({"keys": [json.loads(key.model_dump_json())] * 2}))
    with pytest.raises(CredentialFileUnusable, match="more than once"):
        read_keys(path)


def test_a_missing_file(tmp_path: Path) -> None:
    """The file is named."""
    with pytest.raises(CredentialFileUnusable, match=r"no\.json: No such file"):
        read_keys(tmp_path / "no.json")
    with pytest.raises(CredentialFileUnusable, match="No such file"):
        change_keys(tmp_path / "none" / "no.json", lambda keys: keys)
