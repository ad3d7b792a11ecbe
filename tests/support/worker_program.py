"""A program for worker processes that does what its jobs say.

A job is a word and what it needs: `echo TEXT` answers TEXT; `until FILE` answers once the file is there; `exit` ends the
process; `stray` answers a job that nobody sent; `large N` answers N bytes; `close` closes the channel and lives on. The id of
each job that is begun is appended to the file that the program is given.
"""

import os
import signal
import sys
import time

from flowgram_core.nodes.code.worker_protocol import READY, read_job, write_answer


def do(job: bytes, word: bytes, rest: bytes) -> None:
    if word == b"echo":
        write_answer(job, rest)
    elif word == b"until":
        while not os.path.exists(rest):  # noqa: PTH110 - this starts quickly, without pathlib
            time.sleep(0.001)
        write_answer(job, rest)
    elif word == b"stray":
        write_answer(b"\xff\xff\xff\xff", b"")
    elif word == b"large":
        write_answer(job, bytes(int(rest)))
    elif word == b"close":
        os.close(1)
        signal.pause()
    else:
        raise SystemExit


def main(begun: str, missing: str) -> None:
    log = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    write_answer(READY, missing.encode())
    while True:
        job, content = read_job()
        word, _, rest = content.partition(b" ")
        os.write(log, rest[:60] + b"\n")
        do(job, word, rest)


if __name__ == "__main__":
    main(*sys.argv[1:])
