"""The protocol between the server and a worker process: jobs on its standard input, answers on its standard output.

A job is four bytes that identify it, four bytes of length (big-endian), and so many bytes. It comes in pieces of up to
`PIECE` bytes, each read by one call, so that a job that the process has not begun to read can be taken back by the server.
An answer is its length, the four bytes of its job, and its content. Before the first job the process sends an answer for
the job `READY`; its content names the protections that the sandbox could not have, separated by spaces.
"""

import os

PIECE = 64 * 1024
"""Bytes that are written, and read, at once."""

HEADER = 8
"""Bytes before the content of a job, and of an answer."""

READY = bytes(4)
"""What the first answer is for."""

FRAME_LENGTH = 4
"""Bytes of length before each part of a job's content."""

# The first byte of an answer.
VALUE = b"="
"""The job is done; the result follows. Nothing follows where a script gave undefined."""
ERROR = b"!"
"""The job failed; what went wrong follows."""
SYNTAX_ERROR = b"~"
"""The engine does not understand the script; a JSON object with `message` and `stack` follows."""
TOO_LARGE = b">"
"""The result is longer than it may be; nothing follows."""


def frame(content: bytes) -> bytes:
    """A part of a job's content, with its length before it."""
    return len(content).to_bytes(FRAME_LENGTH, "big") + content


def split_frames(content: bytes) -> list[bytes]:
    """The parts that `frame` made, one after the other."""
    frames = []
    start = 0
    while start < len(content):
        begin = start + FRAME_LENGTH
        start = begin + int.from_bytes(content[start:begin], "big")
        frames.append(content[begin:start])
    return frames


def read_job() -> tuple[bytes, bytes]:
    """Waits for a job. Returns which it is, and its content. Raises `EOFError` when no more will come."""
    start = _read(PIECE)
    while len(start) < HEADER:
        start += _read(HEADER - len(start))
    missing = HEADER + int.from_bytes(start[4:HEADER], "big") - len(start)
    pieces = [start[HEADER:]]
    while missing:
        piece = _read(min(PIECE, missing))
        missing -= len(piece)
        pieces.append(piece)
    return start[:4], b"".join(pieces)


def write_answer(job: bytes, content: bytes) -> None:
    """Answers a job."""
    rest = memoryview(len(content).to_bytes(4, "big") + job + content)
    while rest:
        rest = rest[os.write(1, rest) :]


def _read(length: int) -> bytes:
    piece = os.read(0, length)
    if not piece:
        raise EOFError
    return piece
