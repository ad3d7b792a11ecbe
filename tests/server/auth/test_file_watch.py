from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.fakes import FakeClock

from flowgram_server.auth.errors import CredentialFileUnusable
from flowgram_server.auth.file_watch import WatchedFiles


class Target:
    """Keeps what was read."""

    def __init__(self, *paths: Path) -> None:
        self.texts: list[str] = []
        self.paths = paths

    def load(self) -> Callable[[], object]:
        try:
            text = " ".join(path.read_text() for path in self.paths)
        except OSError as error:
            raise CredentialFileUnusable(str(error)) from None
        if "bad" in text:
            raise CredentialFileUnusable("is bad")
        return lambda: self.texts.append(text)


async def test_changes_are_read(tmp_path: Path) -> None:
    """Each change is read once, and what has not changed is not."""
    path = tmp_path / "keys"
    path.write_text("one")
    target = Target(path)
    files = WatchedFiles([path], target.load, FakeClock())
    files.read()
    assert not await files.look()
    path.write_text("three")
    assert await files.look()
    assert not await files.look()
    assert target.texts == ["one", "three"]


async def test_a_file_behind_a_link(tmp_path: Path) -> None:
    """A link that is set anew leads to other content, of the same size, too."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "link"
    link.symlink_to("one")
    target = Target(link)
    files = WatchedFiles([link], target.load, FakeClock())
    files.read()
    other = tmp_path / "other"
    other.symlink_to("two")
    other.replace(link)
    assert await files.look()
    assert target.texts == ["one", "two"]


@pytest.mark.parametrize("change", ["damage", "remove"])
async def test_what_cannot_be_used(tmp_path: Path, change: str) -> None:
    """What was read before stays, an error is logged once, and the file is taken when it is good again."""
    path = tmp_path / "keys"
    path.write_text("one")
    target = Target(path)
    files = WatchedFiles([path], target.load, FakeClock())
    files.read()
    if change == "damage":
        path.write_text("bad")
    else:
        path.unlink()
    with capture_logs() as logs:
        assert not await files.look()
        assert not await files.look()
    assert [line["log_level"] for line in logs] == ["error"]
    path.write_text("four")
    assert await files.look()
    assert target.texts == ["one", "four"]


def test_the_first_time(tmp_path: Path) -> None:
    """A server does not start without its keys."""
    path = tmp_path / "keys"
    with pytest.raises(CredentialFileUnusable, match="No such file"):
        WatchedFiles([path], Target(path).load, FakeClock()).read()


async def test_what_cannot_be_read_for_a_moment(tmp_path: Path) -> None:
    """A change that could not be read, such as for want of file descriptors, is read as soon as that is possible."""
    path = tmp_path / "keys"
    path.write_text("one")

    class Failing(Target):
        fails = False

        def load(self) -> Callable[[], object]:
            if self.fails:
                raise CredentialFileUnusable("too many open files")
            return super().load()

    target = Failing(path)
    files = WatchedFiles([path], target.load, FakeClock())
    files.read()
    path.write_text("three")
    target.fails = True
    with capture_logs() as logs:
        assert not await files.look()
        assert not await files.look()
        target.fails = False
        assert await files.look()
        assert not await files.look()
    assert [line["log_level"] for line in logs] == ["error", "info"]
    assert target.texts == ["one", "three"]
