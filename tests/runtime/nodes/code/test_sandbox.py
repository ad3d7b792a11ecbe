"""The sandbox of worker processes: what is refused to a process that entered it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import flowgram_core
from flowgram_core.nodes.code import sandbox

RUNTIME = str(Path(str(flowgram_core.__file__)).parent.parent)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and /proc are Linux's")

START = f"""
import sys; sys.path.append({RUNTIME!r})
import ctypes, mmap, os, resource, signal, socket
from flowgram_core.nodes.code import sandbox
libc = ctypes.CDLL(None, use_errno=True)
kept = os.open("/dev/null", os.O_RDONLY)
missing = sandbox.enter(1 << 30, 1 << 20)
def tell(what):
    os.write(1, what.encode())
def attempt(work):
    try:
        work()
    except OSError as error:
        return error.errno
    return 0
"""


def run(program: str) -> str:
    """What a program says that has entered the sandbox."""
    result = subprocess.run(
        (sys.executable, "-I", "-S", "-c", START + program),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert result.stderr == b""
    return result.stdout.decode()


@LINUX
def test_nothing_is_missing_here() -> None:
    """On this system all protections can be had; the process is not root."""
    assert run("tell(repr((missing, os.geteuid() != 0)))") == "([], True)"


@LINUX
@pytest.mark.parametrize(
    "work",
    [
        "os.open('/etc/passwd', os.O_RDONLY)",
        "os.stat('/')",
        "os.listdir('/')",
        "socket.socket()",
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 0)",
        "os.setpriority(os.PRIO_PROCESS, 0, 1)",
        "os.pipe()",
        "os.dup(0)",
        "os.lseek(kept, 0, 0)",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
        "resource.prlimit(os.getppid(), resource.RLIMIT_CORE)",
    ],
)
def test_system_calls_are_refused(work: str) -> None:
    """A script that broke out of its engine could not open, start, signal or connect to anything, nor run code of its own."""
    assert run(f"tell(str(attempt(lambda: {work})))") in {"1", "13"}


@LINUX
@pytest.mark.parametrize("limit", ["NOFILE", "FSIZE", "NPROC", "CORE", "AS", "CPU"])
def test_limits_are_hard(limit: str) -> None:
    """They can be lowered, and not raised again."""
    soft_and_hard = f"soft, hard = resource.getrlimit(resource.RLIMIT_{limit})\n"
    raise_it = f"""
try:
    resource.setrlimit(resource.RLIMIT_{limit}, (hard + 1, hard + 1))
except (OSError, ValueError):
    tell("refused")
tell(" infinite" if hard == resource.RLIM_INFINITY else " finite")
"""
    assert run(soft_and_hard + raise_it) == "refused finite"


@LINUX
def test_what_an_interpreter_needs_works() -> None:
    """Memory comes and goes, the clock can be read, and the CPU time of a job can be set anew."""
    program = """
import time
for size in (10, 1 << 16, 1 << 24):
    data = [bytes(size) for _ in range(3)]
    del data
renewed = [sandbox.CPUTime(seconds).renew() for seconds in (10, 20)]
tell(repr((time.time() > 0, renewed, time.localtime().tm_year > 2000)))
"""
    assert run(program) == "(True, [True, True], True)"


@LINUX
def test_each_job_gets_its_cpu_time() -> None:
    """From what the ones before it took; what is over makes room for another process."""
    program = """
import time
def limit():
    return resource.getrlimit(resource.RLIMIT_CPU)[0]
cpu_time = sandbox.CPUTime(10)
found = [cpu_time.renew(), limit()]
while time.process_time() < 1.01:
    pass
found += [cpu_time.renew(), cpu_time.renew(), limit()]
sandbox.CPU_SECONDS = 1
tell(repr((found, cpu_time.renew())))
"""
    assert run(program) == "([True, 10, True, True, 11], False)"


@LINUX
def test_memory_is_bounded() -> None:
    """Beyond the limit there is none."""
    program = """
try:
    bytes(2 << 30)
except MemoryError:
    tell("refused")
"""
    assert run(program) == "refused"


@LINUX
def test_a_process_ends_when_its_parent_does() -> None:
    """Whatever it computes: the parent's end of its error output closes, and the kernel ends it."""
    program = START + "tell(str(os.getpid()))\nwhile True: pass"
    process = subprocess.Popen(
        (sys.executable, "-I", "-S", "-c", program),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert os.read(process.stdout.fileno(), 100).decode() == str(process.pid)
    process.stderr.close()
    assert process.wait(timeout=60) != 0
    process.stdout.close()


@LINUX
@pytest.mark.parametrize("architecture", sorted(sandbox._SYSTEM_CALLS))
def test_every_filter_ends_with_a_refusal(architecture: str) -> None:
    """Also those for machines that this one is not: whole instructions, no jump beyond the end, and a known number of calls."""
    calls = sandbox._SYSTEM_CALLS[architecture]
    program = sandbox._instructions(calls)
    assert {len(instruction) for instruction in program} == {8}
    assert len(calls.allowed) == len(set(calls.allowed)) == 24
    for index, instruction in enumerate(program):
        code, if_true, if_false = instruction[0], instruction[2], instruction[3]
        if code & 7 == 5:
            assert index + 1 + max(if_true, if_false) < len(program)
    assert program[-1] == sandbox._instruction(sandbox._RETURN, sandbox._REFUSE)
