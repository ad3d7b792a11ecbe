"""The pool of worker processes, with processes that do what their jobs say."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import worker_program

import flowgram_core
from flowgram_core.nodes.code import worker_pool
from flowgram_core.nodes.code.worker_pool import WorkerPool
from flowgram_core.nodes.code.worker_process import CAN_TAKE_BACK, LARGE_JOB
from flowgram_core.nodes.errors import WorkerBroken, WorkerDied, WorkerTimedOut

RUNTIME = str(Path(str(flowgram_core.__file__)).parent.parent)
TESTS = str(Path(worker_program.__file__).parent.parent)

ahead = pytest.mark.skipif(not CAN_TAKE_BACK, reason="here a process gets one job at a time")


class Files:
    """What the processes wait for, and what they have begun."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.begun_log = directory / "begun"

    def until(self, name: str) -> bytes:
        return b"until " + os.fsencode(self._directory / name)

    def release(self, name: str) -> None:
        (self._directory / name).touch()

    def begun(self) -> Counter[str]:
        """How often each job was begun, by what it holds: a file's name, or the text of an echo."""
        lines = self.begun_log.read_text().splitlines() if self.begun_log.exists() else []
        return Counter(line.removeprefix(f"{self._directory}/")[:60] for line in lines)


@pytest.fixture
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    # Short, so that the log has whole names.
    directory = Path(os.path.realpath("/tmp")) / f"pool{os.getpid()}_{tmp_path_factory.mktemp('p').name}"  # noqa: S108 - see above
    directory.mkdir()
    yield Files(directory)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


def pool(files: Files, *, size: int = 1, missing: str = "", **options: Any) -> WorkerPool:
    program = f"import sys; sys.path += [{RUNTIME!r}, {TESTS!r}]; from support.worker_program import main; main(*sys.argv[1:])"
    command = (sys.executable, "-I", "-S", "-c", program, str(files.begun_log), missing)
    return WorkerPool(command, size=size, **{"time_limit": 60.0, "max_answer_bytes": 10_000_000, **options})


def other_pool(program: str, **options: Any) -> WorkerPool:
    command = (sys.executable, "-I", "-S", "-c", program)
    return WorkerPool(command, **{"size": 1, "time_limit": 60.0, "max_answer_bytes": 100, **options})


async def wait_until(holds: Callable[[], bool]) -> None:
    """Waits for what processes do: they tell nobody."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.001)


def ask(workers: WorkerPool, content: bytes, key: str = "task") -> asyncio.Task[bytes]:
    return asyncio.create_task(workers.ask(key, content))


async def test_a_process_is_started_when_needed_and_kept(files: Files) -> None:
    """One answers job after job."""
    async with pool(files, size=2) as workers:
        assert workers.pids == frozenset()
        assert await workers.ask("task", b"echo one") == b"one"
        pids = workers.pids
        assert await workers.ask("task", b"echo two") == b"two"
        assert workers.pids == pids
        assert len(pids) == 1
    assert workers.pids == frozenset()


async def test_processes_work_at_the_same_time_up_to_the_size(files: Files) -> None:
    """Jobs beyond it wait."""
    async with pool(files, size=2) as workers:
        jobs = [ask(workers, files.until(name)) for name in "abc"]
        await wait_until(lambda: len(files.begun()) == 2)
        assert (files.begun(), len(workers.pids)) == (Counter("ab"), 2)
        for name in "abc":
            files.release(name)
        await asyncio.gather(*jobs)


async def test_tasks_are_served_round_robin(files: Files) -> None:
    """A task with many jobs does not hold up one with a single job."""
    async with pool(files) as workers:
        await workers.ask("first", b"echo")
        ended: list[str] = []
        names = [*(f"a{number}" for number in range(20)), "b"]
        jobs = [ask(workers, f"echo {name}".encode(), name[0]) for name in names]
        for job in jobs:
            job.add_done_callback(lambda job: ended.append(job.result().decode()))
        await asyncio.gather(*jobs)
        # Some were with the process before the other task came, and one was next.
        assert ended.index("b") <= 1 + worker_pool.AHEAD + 1


@ahead
async def test_jobs_behind_a_slow_one_go_to_other_processes(files: Files) -> None:
    """A job that lay ready for a process that is busy for long is taken back, and is begun once."""
    async with pool(files, size=2) as workers:
        slow = [ask(workers, files.until(name), name) for name in "ab"]
        await wait_until(lambda: files.begun() == Counter("ab"))
        short = [ask(workers, f"echo {number}".encode(), str(number)) for number in range(4)]
        files.release("b")
        assert await asyncio.gather(*short) == [b"0", b"1", b"2", b"3"]
        assert not slow[0].done()
        files.release("a")
        await asyncio.gather(*slow)
        assert set(files.begun().values()) == {1}


@ahead
async def test_a_process_that_dies_takes_one_job_with_it(files: Files) -> None:
    """The one that it had begun; those that lay ready for it are done by another."""
    async with pool(files) as workers:
        await workers.ask("task", b"echo first")
        jobs = [ask(workers, content) for content in (b"exit x", b"echo a", b"echo b")]
        outcomes = await asyncio.gather(*jobs, return_exceptions=True)
        assert isinstance(outcomes[0], WorkerDied)
        assert outcomes[1:] == [b"a", b"b"]
        assert files.begun() == {"first": 1, "x": 1, "a": 1, "b": 1}


def kill_unnoticed(pid: int) -> None:
    """Kills a process, and returns when it is dead; the event loop sees nothing of it meanwhile."""
    os.kill(pid, signal.SIGKILL)
    try:
        while Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            pass
    except (FileNotFoundError, ProcessLookupError):
        return


@ahead
async def test_a_process_that_died_idle_is_replaced_unnoticed(files: Files) -> None:
    """Even if the next job is sent before its end is noticed; a large job as well."""
    for content in (b"x", b"x" * 3 * LARGE_JOB):
        async with pool(files) as workers:
            await workers.ask("task", b"echo")
            (pid,) = workers.pids
            kill_unnoticed(pid)
            assert await workers.ask("task", b"echo " + content) == content
            assert pid not in workers.pids


async def test_cancelling_a_job_that_runs_kills_its_process_only(files: Files) -> None:
    """When the cancel returns, the process is gone; jobs behind it are done by another."""
    async with pool(files) as workers:
        slow = ask(workers, files.until("never"))
        behind = ask(workers, b"echo a")
        await wait_until(lambda: files.begun()["never"] == 1)
        (pid,) = workers.pids
        slow.cancel()
        await asyncio.wait([slow])
        assert slow.cancelled()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert await behind == b"a"


async def test_a_cancelled_job_that_waits_is_never_begun(files: Files) -> None:
    """Whether it waits in the queue, or lies ready for a process; the process goes on."""
    async with pool(files) as workers:
        slow = ask(workers, files.until("a"))
        waiting = [ask(workers, f"echo {number}".encode()) for number in range(6)]
        await wait_until(lambda: files.begun()["a"] == 1)
        pids = workers.pids
        for job in waiting[::2]:
            job.cancel()
        await asyncio.wait(waiting[::2])
        files.release("a")
        assert await asyncio.gather(slow, *waiting[1::2]) == [*([await slow]), b"1", b"3", b"5"]
        assert sorted(files.begun()) == ["1", "3", "5", "a"]
        assert workers.pids == pids


async def test_a_process_that_starts_for_a_cancelled_job_is_ended(files: Files) -> None:
    """Nothing is left of a job that was withdrawn; one that waits as well gets its process."""
    async with pool(files, size=2) as workers:
        jobs = [ask(workers, f"echo {number}".encode()) for number in range(2)]
        await wait_until(lambda: len(workers.pids) == 2)
        pids = workers.pids
        jobs[0].cancel()
        await asyncio.wait(jobs[:1])
        assert await jobs[1] == b"1"
        assert len(workers.pids & pids) == 1


async def test_a_long_job_makes_room_for_others(files: Files) -> None:
    """It goes on beside them at a lower priority, and they are done soon."""
    async with pool(files, long_workers=1) as workers:
        slow = ask(workers, files.until("a"))
        await wait_until(lambda: files.begun()["a"] == 1)
        (pid,) = workers.pids
        assert await workers.ask("other", b"echo b") == b"b"
        assert not slow.done()
        # These tests may run at a lower priority themselves.
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(own + 10, 19)
        files.release("a")
        await slow
        assert files.begun()["a"] == 1
        await wait_until(lambda: pid not in workers.pids)


async def test_a_long_job_is_begun_anew_where_too_many_are_long(files: Files) -> None:
    """Twice at most: the second time it may be as long as it likes."""
    async with pool(files, long_workers=1) as workers:
        first = ask(workers, files.until("a"), "a")
        await wait_until(lambda: files.begun()["a"] == 1)
        second = ask(workers, files.until("b"), "b")
        await wait_until(lambda: files.begun()["b"] == 1)
        assert await workers.ask("c", b"echo c") == b"c"
        files.release("a")
        await first
        await wait_until(lambda: files.begun()["b"] == 2)
        assert await workers.ask("c", b"echo d") == b"d"
        files.release("b")
        await second
        assert files.begun() == {"a": 1, "b": 2, "c": 1, "d": 1}


async def test_many_endless_jobs_do_not_keep_a_short_one_waiting(files: Files) -> None:
    """However many there are, each soon makes room."""
    async with pool(files, long_workers=1) as workers:
        endless = [ask(workers, files.until(f"never{number}"), str(number)) for number in range(8)]
        assert await workers.ask("small", b"echo small") == b"small"
        assert len(workers.pids) <= 2
        for job in endless:
            job.cancel()
        await asyncio.wait(endless)


async def test_without_long_workers_a_job_keeps_its_process(files: Files) -> None:
    """Until it ends, or its time is over."""
    async with pool(files, time_limit=0.5) as workers:
        slow = ask(workers, files.until("never"))
        assert await workers.ask("other", b"echo b") == b"b"
        with pytest.raises(WorkerTimedOut):
            await slow


async def test_processes_are_replaced_after_so_many_jobs(files: Files) -> None:
    """None gets more, also where jobs lie ready."""
    async with pool(files, jobs_per_worker=2) as workers:
        assert await asyncio.gather(*(workers.ask("task", b"echo x") for _ in range(5))) == [b"x"] * 5
        pids = set()
        for _ in range(4):
            await workers.ask("task", b"echo x")
            pids |= workers.pids
        assert len(pids) >= 2


@pytest.mark.parametrize("length", [0, LARGE_JOB, LARGE_JOB + 1, 5_000_000])
async def test_jobs_and_answers_of_any_size_come_through(files: Files, length: int) -> None:
    """As they were."""
    content = bytes(range(256)) * (length // 256) + bytes(length % 256)
    async with pool(files) as workers:
        contents = await asyncio.gather(*(workers.ask("task", b"echo " + content) for _ in range(3)))
        assert contents == [content] * 3


async def test_a_long_answer_costs_the_process_its_life(files: Files) -> None:
    """It is not read: a process that was taken over could send without end."""
    async with pool(files, max_answer_bytes=3) as workers:
        assert await workers.ask("task", b"large 3") == bytes(3)
        with pytest.raises(WorkerBroken):
            await workers.ask("task", b"large 4")
        assert await workers.ask("task", b"echo abc") == b"abc"


async def test_an_answer_to_another_job_costs_the_process_its_life(files: Files) -> None:
    """Nobody gets what was not meant for them."""
    async with pool(files) as workers:
        with pytest.raises(WorkerBroken):
            await workers.ask("task", b"stray")
        assert await workers.ask("task", b"echo abc") == b"abc"


async def test_a_process_that_closes_its_channel_is_killed(files: Files) -> None:
    """What it does then is nothing to wait for."""
    workers = pool(files)
    with pytest.raises(WorkerDied):
        await workers.ask("task", b"close")
    await workers.aclose()
    assert workers.pids == frozenset()


async def test_a_process_that_ends_at_once_has_died() -> None:
    """One is tried for each job; the next job tries anew."""
    async with other_pool("raise SystemExit(3)", size=3) as workers:
        for _ in range(2):
            outcomes = await asyncio.gather(
                *(workers.ask("task", b"x" * 1_000_000) for _ in range(4)), return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [WorkerDied] * 4
        await wait_until(lambda: not workers.pids)


async def test_a_program_that_does_not_exist_has_died() -> None:
    """With a text for operators."""
    async with WorkerPool(("/nonexistent/program",), size=1, time_limit=60, max_answer_bytes=1) as workers:
        with pytest.raises(WorkerDied, match="could not be started"):
            await workers.ask("task", b"x")


async def test_a_process_that_does_not_get_ready_is_killed() -> None:
    """After the time for that; the job fails."""
    async with other_pool("import signal; signal.pause()", start_timeout=0.2) as workers:
        with pytest.raises(WorkerTimedOut):
            await workers.ask("task", b"x")


async def test_missing_protections_are_logged_once(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """The operator learns what this system does not offer."""
    async with pool(files, size=2, missing="seccomp user") as workers:
        jobs = [ask(workers, files.until(name)) for name in "ab"]
        await wait_until(lambda: files.begun() == Counter("ab"))
        for name in "ab":
            files.release(name)
        await asyncio.gather(*jobs)
    (record,) = caplog.records
    assert record.getMessage() == "scripts run with less protection"
    assert vars(record)["missing"] == "seccomp user"


async def test_closing_ends_what_runs(files: Files) -> None:
    """Jobs under way and waiting fail; none starts a process any more."""
    workers = pool(files)
    jobs = [ask(workers, files.until(f"never{number}")) for number in range(6)]
    await wait_until(lambda: bool(files.begun()))
    await workers.aclose()
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["the pool is closed"] * 6
    assert {type(outcome) for outcome in outcomes} == {WorkerDied}
    assert workers.pids == frozenset()
    with pytest.raises(WorkerDied, match="the pool is closed"):
        await workers.ask("task", b"echo")


async def test_closing_ends_a_process_that_is_being_started(files: Files) -> None:
    """As soon as it was; the job does not get its answer."""
    workers = pool(files)
    job = ask(workers, b"echo x")
    await asyncio.sleep(0)
    assert not workers.pids
    await workers.aclose()
    with pytest.raises(WorkerDied, match="the pool is closed"):
        await job
    assert (workers.pids, files.begun()) == (frozenset(), Counter())


STEPS = st.lists(st.sampled_from(["echo", "exit", "cancel", "pause", "kill"]), min_size=1, max_size=25)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, size=st.integers(1, 2))
def test_every_job_ends_in_its_own_way(files: Files, steps: list[str], size: int) -> None:
    """Whatever befalls others: it is answered with what is its own, or fails with its process. Without kills it is begun once."""
    files.begun_log.unlink(missing_ok=True)

    async def scenario() -> None:
        async with pool(files, size=size) as workers:
            jobs: list[tuple[str, str, asyncio.Task[bytes]]] = []
            for number, step in enumerate(steps):
                name = f"{step}{number}"
                if step == "pause":
                    await asyncio.sleep(0.003)
                elif step == "kill" and workers.pids:
                    os.kill(min(workers.pids), signal.SIGKILL)
                else:
                    word = "exit" if step == "exit" else "echo"
                    jobs.append((step, name, ask(workers, f"{word} {name}".encode(), str(number % 3))))
                    if step == "cancel":
                        jobs[-1][2].cancel()
            outcomes = await asyncio.gather(*(job for _, _, job in jobs), return_exceptions=True)
            killed = "kill" in steps
            for (step, name, _), outcome in zip(jobs, outcomes, strict=True):
                if step == "exit":
                    assert isinstance(outcome, WorkerDied)
                elif step == "cancel":
                    assert isinstance(outcome, asyncio.CancelledError)
                else:
                    assert outcome == name.encode() or (killed and isinstance(outcome, WorkerDied))
        assert max(files.begun().values(), default=0) <= 1 + killed

    asyncio.run(scenario())
