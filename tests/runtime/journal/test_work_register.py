"""The work register: what a process that died was working on."""

import subprocess
import sys
from pathlib import Path

from flowgram_core.journal.work_register import NO_SLOT, SIZE, WorkRegister


def test_what_was_being_worked_on_is_found_by_the_next_process() -> None:
    """Work that has ended is not; nor is anything after an ordered end."""
    buffer = bytearray(SIZE)
    register = WorkRegister(buffer)
    assert (register.session, register.crashed) == (0, ())
    assert register.begin("too early") == NO_SLOT
    register.start(7)
    register.end(register.begin("done"))
    first, second = register.begin("a"), register.begin("b")
    found = WorkRegister(bytearray(buffer))
    assert (found.session, found.crashed) == (7, ("a", "b"))
    register.end(first)
    assert WorkRegister(bytearray(buffer)).crashed == ("b",)
    register.close()
    register.end(second)
    assert register.begin("c") == NO_SLOT
    assert WorkRegister(bytearray(buffer)).crashed == ()


def test_more_work_than_there_is_room_for_is_not_registered() -> None:
    """It goes on without; so does a task whose id is too long."""
    register = WorkRegister()
    register.start(1)
    slots = [register.begin(f"task-{number}") for number in range(100)]
    assert slots.count(NO_SLOT) == 36
    for slot in slots:
        register.end(slot)
    assert register.begin("x" * 64) == NO_SLOT
    assert register.begin("x" * 63) != NO_SLOT


def test_it_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    """The kernel keeps what a mapping has."""
    path = tmp_path / "work"
    script = (
        "import os, pathlib, signal, sys\n"
        "from flowgram_core.journal.work_register import WorkRegister\n"
        "register = WorkRegister.open(pathlib.Path(sys.argv[1]))\n"
        "register.start(9)\n"
        "register.begin('task')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60)
    found = WorkRegister.open(path)
    assert (found.session, found.crashed) == (9, ("task",))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_none_is_taken_over(tmp_path: Path) -> None:
    """Noise tells nothing; a place where no file can be leaves a register that works, and is found by nobody."""
    path = tmp_path / "work"
    path.write_bytes(b"noise" * 10_000)
    assert WorkRegister.open(path).crashed == ()
    like_one = WorkRegister(bytearray(b"\x05") * SIZE)
    assert (like_one.session, like_one.crashed) == (0, ())
    register = WorkRegister.open(tmp_path / "missing" / "work")
    register.start(1)
    register.end(register.begin("a"))
