"""Integrity check of a write-ahead log that a former process left.

SQLite reads a log up to the first invalid frame, and silently ignores the rest: a single changed bit would lose all
later commits without an error. Two things distinguish that from a log whose last write was cut off, which loses nothing:

- The index beside the log (`-shm`) says how many frames were committed. It outlives the process, though not the machine.
- A frame that ends a commit, and lies beyond what can be read, was written after the invalid frame before it.

Frames of an older round of the log, which starts over after each complete checkpoint, have other salts.
Both formats are SQLite's: https://sqlite.org/fileformat2.html#the_write_ahead_log and https://sqlite.org/walformat.html.
"""

import logging
import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_logger = logging.getLogger(__name__)

_MAGIC = 0x377F0682
"""The first word of a log; plus 1 where checksums use big-endian words."""

_HEADER = struct.Struct(">IIII8sII")
"""Magic, version, page size, round, salts, checksum of all before."""

_FRAME = struct.Struct(">II8sII")
"""Page, pages of the file if this ends a commit, salts, checksum of all frames so far. The page's content follows."""

_INDEX = struct.Struct("=III?BHII8s8sII")
"""Version, -, changes, whether it is in use, -, page size, frames, pages, last checksum, salts, checksum of all before."""

_CHECKPOINTED = struct.Struct("=I")
"""Follows two copies of the index's header."""

_PAGE_SIZES = {1 << power for power in range(9, 17)}
_PAGE_SIZE = 4096
_BLOCK = 1 << 20
_BITS = 0xFFFFFFFF

_Sums = tuple[int, int]


class LogState(NamedTuple):
    """The condition of a log.

    Attributes:
        readable: Frames up to the end of the last commit that SQLite can read.
        committed: Frames up to the end of the last commit that is known to have been made.
        checkpointed: Frames that were copied into the database already.
        lost_commits: Commits that are found and cannot be read. There may have been more.
    """

    readable: int
    committed: int
    checkpointed: int
    lost_commits: int

    @property
    def damaged(self) -> bool:
        """Whether commits cannot be read."""
        return self.committed > self.readable

    @property
    def lost_frames(self) -> int:
        """Frames that were committed, cannot be read, and were not checkpointed."""
        return max(0, self.committed - max(self.readable, self.checkpointed))

    @property
    def outdated(self) -> bool:
        """Whether the readable part is older than the database, whose newer pages it would hide."""
        return self.damaged and self.readable < self.checkpointed


class _Index(NamedTuple):
    salts: bytes
    frames: int
    checkpointed: int


class _Header(NamedTuple):
    salts: bytes
    page_size: int
    sums: _Sums
    order: str


def check_log(path: Path) -> None:
    """Logs damage in a database's write-ahead log, and keeps a copy for the operator. Call it before the database is opened.

    A log that would hide newer pages of the database is moved away instead, so that SQLite does not read it.
    """
    log = _beside(path, "-wal")
    try:
        state = read_state(path)
    except OSError as error:
        _logger.error("the write-ahead log %s cannot be checked: %s", log, error.strerror)  # noqa: TRY400 - no defect
        return
    if state is None or not state.damaged:
        return
    try:
        kept = f"it is kept as {_keep(log, move=state.outdated)}"
    except OSError as error:
        kept = f"it could not be kept: {error.strerror}"
    _logger.error(
        "the write-ahead log %s is damaged: %d frames with at least %d commits are lost, %d frames are read; %s",
        log,
        state.lost_frames,
        state.lost_commits if state.lost_frames else 0,
        0 if state.outdated else state.readable,
        kept,
    )


def read_state(path: Path) -> LogState | None:
    """The state of a database's log; None if it has none.

    Raises:
        OSError: It cannot be read.
    """
    try:
        file = _beside(path, "-wal").open("rb")
    except FileNotFoundError:
        return None
    with file:
        return _state(file, _read_index(path))


def _state(file: BinaryIO, index: _Index | None) -> LogState:
    header = _read_header(file)
    salts = header.salts if header else index.salts if index else None
    sums = header.sums if header else None
    first_bad = 0 if header else 1
    ends: list[int] = []  # the frames of this round that end a commit
    number = 0
    for number, (head, page) in enumerate(_frames(file, header.page_size if header else _PAGE_SIZE), 1):
        page_number, pages, frame_salts, *expected = _FRAME.unpack(head)
        if salts is None:  # all that is needed of an unreadable header
            salts = frame_salts
        if pages and frame_salts == salts:
            ends.append(number)
        if header and sums and not first_bad:
            sums = _checksum(page, _checksum(head[:8], sums, header.order), header.order)
            if not page_number or frame_salts != salts or sums != tuple(expected):
                first_bad = number
    committed_by_index = index.frames if index and index.salts == salts else 0
    readable = [end for end in ends if not first_bad or end < first_bad]
    # Of the first bad frame only the head may have been written, over a frame of an older round. Not at the end of the
    # log: there nothing would follow the head.
    lost = [
        end
        for end in ends[len(readable) :]
        if end > first_bad or end <= committed_by_index or end == number or not header
    ]
    last_readable = readable[-1] if readable else 0
    return LogState(
        readable=last_readable,
        committed=max(committed_by_index, lost[-1] if lost else last_readable),
        checkpointed=index.checkpointed if index and committed_by_index else 0,
        lost_commits=len(lost),
    )


def _read_header(file: BinaryIO) -> _Header | None:
    """The header of a log; None if SQLite would not accept it."""
    content = file.read(_HEADER.size)
    if len(content) < _HEADER.size:
        return None
    magic, _, page_size, _, salts, *expected = _HEADER.unpack(content)
    order = ">" if magic & 1 else "<"
    sums = _checksum(content[:24], (0, 0), order)
    if magic & ~1 != _MAGIC or page_size not in _PAGE_SIZES or sums != tuple(expected):
        return None
    return _Header(salts, page_size, sums, order)


def _frames(file: BinaryIO, page_size: int) -> Iterator[tuple[bytes, bytes]]:
    """The heads and the pages of all complete frames."""
    while (
        len(head := file.read(_FRAME.size)) == _FRAME.size and len(page := file.read(page_size)) == page_size
    ):
        yield head, page


def _read_index(path: Path) -> _Index | None:
    """The index of a log as the process left it; None if it is missing, or was not in use."""
    try:
        with _beside(path, "-shm").open("rb") as file:
            content = file.read(2 * _INDEX.size + _CHECKPOINTED.size)
    except OSError:
        return None
    if len(content) < 2 * _INDEX.size + _CHECKPOINTED.size:
        return None
    (checkpointed,) = _CHECKPOINTED.unpack_from(content, 2 * _INDEX.size)
    for start in (0, _INDEX.size):  # two copies: one may be half written
        _, _, _, in_use, _, _, frames, _, _, salts, *expected = _INDEX.unpack_from(content, start)
        if in_use and _checksum(content[start : start + 40], (0, 0), "=") == tuple(expected):
            return _Index(salts, frames, checkpointed)
    return None


def _checksum(content: bytes, sums: _Sums, order: str) -> _Sums:
    """Continues a checksum; the content is a multiple of 8 bytes."""
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(content) // 4}I", content))
    for even, odd in zip(words, words, strict=True):
        first = (first + even + second) & _BITS
        second = (second + odd + first) & _BITS
    return first, second


def _keep(log: Path, *, move: bool) -> Path:
    """Copies or moves a log to a name derived from its content, so that the same one is kept once."""
    digest = 0
    with log.open("rb") as file:
        while block := file.read(_BLOCK):
            digest = zlib.crc32(block, digest)
    kept = _beside(log, f".damaged-{digest:08x}")
    if move:
        log.replace(kept)
    elif not kept.exists() or kept.stat().st_size != log.stat().st_size:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with log.open("rb") as source, os.fdopen(os.open(kept, flags, 0o600), "wb") as copy:
            shutil.copyfileobj(source, copy, _BLOCK)
    return kept


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
