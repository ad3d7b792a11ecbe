"""The sandbox of a worker process: the rights, resources and system calls that it gives up before its first job.

Everything here is one-way: a script that broke out of its engine could not undo it. What a system does not offer is left
out and reported; the limits of the JavaScript engine hold everywhere.

- It ends when the server ends.
- It gains no privileges by starting programs (`PR_SET_NO_NEW_PRIVS`), and shows its memory to no other process.
- Hard resource limits: no new files, no processes, no core dumps; bounded memory and CPU time.
- Another user, where the server runs as root.
- A seccomp filter: the system calls that an interpreter needs to compute, to manage its memory, and to read and write what
  is already open. Any other fails with EPERM.
"""

import ctypes
import fcntl
import os
import resource
import select
import struct
import sys
import time

CPU_SECONDS = 3600
"""CPU time after which a process ends itself between two jobs. The hard limit, which cannot be raised, lies above it."""

_STACK_OF_PYTHON = 1024 * 1024
_NOBODY = 65534

# linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

# linux/capability.h. Without CAP_KILL the server could not kill a process of another user.
_CAPABILITIES = 1 << 5 | 1 << 6 | 1 << 7  # CAP_KILL, CAP_SETGID, CAP_SETUID

# linux/bpf_common.h, linux/filter.h, linux/seccomp.h
_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_IF_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050001  # SECCOMP_RET_ERRNO | EPERM
_KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS
_NUMBER = 0  # offsets in struct seccomp_data
_ARCHITECTURE = 4
_ARGUMENTS = 16
_PROT_EXEC = 4


class _SystemCalls:
    """The system calls of one architecture. A plain class: a process that starts for one script should import little.

    Attributes:
        audit_architecture: How the kernel names it (linux/audit.h).
        allowed: Numbers of those that are allowed with any arguments.
        mapping: `mmap` and `mprotect`: allowed without PROT_EXEC.
        limits: `prlimit64`: allowed for this process itself, whose hard limits bind it.
        foreign: Numbers from here on belong to another calling convention.
    """

    def __init__(
        self,
        audit_architecture: int,
        allowed: tuple[int, ...],
        mapping: tuple[int, int],
        limits: int,
        foreign: int | None,
    ) -> None:
        self.audit_architecture = audit_architecture
        self.allowed = allowed
        self.mapping = mapping
        self.limits = limits
        self.foreign = foreign


# read, write, close, brk, munmap, mremap, madvise, futex, sched_yield, clock_gettime, gettimeofday, getrandom, getrusage,
# getpid, gettid, rt_sigaction, rt_sigprocmask, rt_sigreturn, sigaltstack, restart_syscall, rseq, tgkill, exit, exit_group
_SYSTEM_CALLS = {
    "x86_64": _SystemCalls(
        audit_architecture=0xC000003E,
        allowed=(
            *(0, 1, 3, 12, 11, 25, 28, 202, 24, 228, 96, 318, 98),
            *(39, 186, 13, 14, 15, 131, 219, 334, 234, 60, 231),
        ),
        mapping=(9, 10),
        limits=302,
        foreign=0x40000000,  # the x32 convention
    ),
    "aarch64": _SystemCalls(
        audit_architecture=0xC00000B7,
        allowed=(
            *(63, 64, 57, 214, 215, 216, 233, 98, 124, 113, 169, 278, 165),
            *(172, 178, 134, 135, 139, 132, 128, 293, 131, 93, 94),
        ),
        mapping=(222, 226),
        limits=261,
        foreign=None,
    ),
}


class ParentGone(Exception):
    """The server ended before this process was ready."""


def enter(process_bytes: int, stack_bytes: int) -> list[str]:
    """Puts this process into the sandbox.

    Args:
        process_bytes: The most address space that it may use.
        stack_bytes: The stack that its scripts may use.

    Returns:
        The protections that this system does not offer, in a word each.

    Raises:
        ParentGone: It has nothing to do any more.
    """
    _end_with_parent()
    missing = []
    libc = ctypes.CDLL(None, use_errno=True)
    if not _set_process_flag(libc, _PR_SET_NO_NEW_PRIVS, 1):
        missing.append("no_new_privs")
    if not _leave_root():
        missing.append("user")
    _limit_resources(process_bytes, stack_bytes)
    _set_process_flag(libc, _PR_SET_DUMPABLE, 0)
    if not _filter_system_calls(libc):
        missing.append("seccomp")
    return missing


class CPUTime:
    """The CPU time of the jobs of this process: if nobody is left who kills it, the kernel does.

    Args:
        seconds: How much each job may take.
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._limit = -1
        self._hard = resource.getrlimit(resource.RLIMIT_CPU)[1]

    def renew(self) -> bool:
        """Allows it to the next job. Returns False where the process should end first: the hard limit would hit a job."""
        seconds = int(time.process_time())
        limit = seconds + self._seconds
        if limit != self._limit:
            self._limit = limit
            soft = limit if self._hard == resource.RLIM_INFINITY else min(limit, self._hard)
            resource.setrlimit(resource.RLIMIT_CPU, (soft, self._hard))
        return seconds < CPU_SECONDS


def _end_with_parent() -> None:
    """From now on the kernel ends this process when its parent ends, whatever it computes (on Linux).

    The parent has the other end of the error output, on which nobody writes. So a signal for it says that the parent has
    gone, and a process that does not handle that signal ends by it.
    """
    fcntl.fcntl(2, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(2, fcntl.F_SETFL, fcntl.fcntl(2, fcntl.F_GETFL) | os.O_ASYNC)
    other_end = select.poll()
    other_end.register(2, 0)
    if other_end.poll(0):
        raise ParentGone


def _set_process_flag(libc: ctypes.CDLL, option: int, value: int) -> bool:
    return sys.platform == "linux" and not libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0)))


def _limit_resources(process_bytes: int, stack_bytes: int) -> None:
    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    if stack != resource.RLIM_INFINITY:
        _set_hard_limit(resource.RLIMIT_STACK, max(stack, stack_bytes + _STACK_OF_PYTHON))
    _set_hard_limit(resource.RLIMIT_AS, process_bytes)
    _set_hard_limit(resource.RLIMIT_CPU, 2 * CPU_SECONDS)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
        _set_hard_limit(limit, 0)


def _set_hard_limit(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(limit, (value, value))
    except (OSError, ValueError):
        # Some systems do not know all limits (macOS: address space); the limits of the engine itself hold everywhere.
        return


def _leave_root() -> bool:
    """Becomes nobody, if this is root. Returns whether this process is not root now."""
    if os.geteuid() != 0:
        return True
    if not _may_switch_user():
        return False
    try:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    except OSError:  # this user namespace does not know nobody
        return os.geteuid() != 0
    return True


def _may_switch_user() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - pathlib takes long to import
            line = next((line for line in file if line.startswith("CapEff:")), "CapEff: 0")
    except OSError:
        return False
    return int(line.split()[1], 16) & _CAPABILITIES == _CAPABILITIES


def _filter_system_calls(libc: ctypes.CDLL) -> bool:
    calls = _SYSTEM_CALLS.get(os.uname().machine) if sys.platform == "linux" else None
    if calls is None:
        return False
    instructions = b"".join(_instructions(calls))
    buffer = ctypes.create_string_buffer(instructions)
    program = struct.pack("HP", len(instructions) // 8, ctypes.addressof(buffer))  # struct sock_fprog
    return _set_seccomp(libc, program)


def _set_seccomp(libc: ctypes.CDLL, program: bytes) -> bool:
    return not libc.prctl(
        _PR_SET_SECCOMP,
        ctypes.c_ulong(_SECCOMP_MODE_FILTER),
        ctypes.c_char_p(program),
        *map(ctypes.c_ulong, (0, 0)),
    )


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction of struct sock_filter. A jump passes over so many instructions."""
    return struct.pack("HBBI", code, if_true, if_false, operand)


def _instructions(calls: _SystemCalls) -> list[bytes]:
    """The filter: what it returns is what the kernel does with a system call."""
    program = [
        _instruction(_LOAD_WORD, _ARCHITECTURE),
        _instruction(_JUMP_IF_EQUAL, calls.audit_architecture, if_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD_WORD, _NUMBER),
    ]
    if calls.foreign is not None:
        program += [
            _instruction(_JUMP_IF_AT_LEAST, calls.foreign, if_false=1),
            _instruction(_RETURN, _REFUSE),
        ]
    for number in calls.allowed:
        program += [_instruction(_JUMP_IF_EQUAL, number, if_false=1), _instruction(_RETURN, _ALLOW)]
    for number in calls.mapping:
        program += [
            _instruction(_JUMP_IF_EQUAL, number, if_false=4),
            _instruction(_LOAD_WORD, _ARGUMENTS + 8 * 2),
            _instruction(_JUMP_IF_ANY_BIT, _PROT_EXEC, if_false=1),
            _instruction(_RETURN, _REFUSE),
            _instruction(_RETURN, _ALLOW),
        ]
    return [
        *program,
        _instruction(_JUMP_IF_EQUAL, calls.limits, if_false=3),
        _instruction(_LOAD_WORD, _ARGUMENTS),
        _instruction(_JUMP_IF_EQUAL, 0, if_false=1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _REFUSE),
    ]
