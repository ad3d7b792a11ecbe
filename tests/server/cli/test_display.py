import io
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from flowgram_client import Iteration, NodeStatusChanged, OutputDelta, Result, Snapshot, Status
from flowgram_client._convert import _EPOCH
from flowgram_server.cli.formatting import clean, duration, line
from flowgram_server.cli.progress import Ended, Progress
from flowgram_server.cli.terminal_display import TerminalDisplay


def node(status: Status, snapshot: Snapshot, sequence: int = 1) -> NodeStatusChanged:
    return NodeStatusChanged(
        sequence=sequence, time=_EPOCH, node_id=snapshot.node_id, status=status, snapshot=snapshot
    )


def snapshot(**more: Any) -> Snapshot:
    return Snapshot(id="s1", node_id="llm_0", **more)


def test_a_terminal_shows_what_runs_and_keeps_what_ended() -> None:
    """What runs stands below with its time and the text so far; what ended is a lasting line with its whole text."""
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, width=80, color_system=None, markup=False, highlight=False
    )
    now = 100.0
    progress = Progress(lambda: now)
    display = TerminalDisplay(console, progress, lambda: now + 2.5)

    def show(event: Any) -> None:
        display.show(event, progress, progress.apply(event))

    def below() -> str:
        with console.capture() as shown:
            console.print(display._render())
        return shown.get()

    show(node(Status.PROCESSING, snapshot(iterations=(Iteration("loop_0", 3),))))
    show(OutputDelta(node_id="llm_0", snapshot_id="s1", text="Hello"))
    assert "loop_0[3]/llm_0 2.5 s" in below()
    assert "│ Hello" in below()
    display.waits(1.5)
    assert "connection lost; trying again in 1.5 s" in below()
    show(
        node(
            Status.SUCCEEDED,
            snapshot(iterations=(Iteration("loop_0", 3),), outputs={"result": "Hello, world"}),
            2,
        )
    )
    assert below().strip() == ""
    display.ended(Result(task_id="t1", status=Status.SUCCEEDED, outputs_or_none={"a": 1}))
    lasting = [" ".join(each.split()) for each in file.getvalue().splitlines()]
    assert lasting == ["succeeded loop_0[3]/llm_0", "│ Hello, world", "succeeded", "{", '"a": 1', "}"]


def test_many_parallel_runs_do_not_fill_the_terminal() -> None:
    """There is room for some; the rest is a number."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    progress = Progress(lambda: 0.0)
    for i in range(500):
        progress.apply(node(Status.PROCESSING, Snapshot(id=f"s{i}", node_id=f"n{i}")))
    with console.capture() as shown:
        console.print(TerminalDisplay(console, progress, lambda: 0.0)._render())
    assert len(shown.get().splitlines()) < 50
    assert "more" in shown.get()


def test_text_that_was_not_heard_is_taken_from_the_outputs() -> None:
    """Deltas are live only: what got lost is the rest of the output that they began."""
    progress = Progress(lambda: 0.0)
    progress.apply(node(Status.PROCESSING, snapshot()))
    progress.apply(OutputDelta(node_id="llm_0", snapshot_id="s1", text="Hel"))
    change = progress.apply(node(Status.SUCCEEDED, snapshot(outputs={"n": 1, "result": "Hello"})))
    assert isinstance(change, Ended)
    assert change.rest == "lo"


@pytest.mark.parametrize("heard", ["llo", "ell", "rest"])
def test_text_whose_beginning_was_not_heard_is_shown_as_a_whole(heard: str) -> None:
    """A watch that began later has only a part of it; what the outputs do not have is left as it was heard."""
    progress = Progress(lambda: 0.0)
    progress.apply(OutputDelta(node_id="llm_0", snapshot_id="s1", text=heard))
    change = progress.apply(node(Status.SUCCEEDED, snapshot(outputs={"n": 1, "result": "Hello"})))
    assert isinstance(change, Ended)
    assert (change.rest, change.anew) == (("", False) if heard == "rest" else ("Hello", True))
    assert "".join(change.run.text) == (heard if heard == "rest" else "Hello")


def test_a_lost_connection_drops_what_was_heard() -> None:
    """Of what goes on: nobody knows how much was missed, and a server that restarts has it written anew."""
    progress = Progress(lambda: 0.0)
    progress.apply(OutputDelta(node_id="llm_0", snapshot_id="s1", text="Hi"))
    progress.reconnects()
    progress.apply(OutputDelta(node_id="llm_0", snapshot_id="s1", text="Hel"))
    change = progress.apply(node(Status.SUCCEEDED, snapshot(outputs={"result": "Hello"})))
    assert isinstance(change, Ended)
    assert (change.rest, change.anew, change.run.text) == ("lo", False, ["Hello"])


def test_finished_runs_are_forgotten() -> None:
    """A loop of any length needs no memory here."""
    progress = Progress(lambda: 0.0)
    for i in range(100):
        progress.apply(node(Status.PROCESSING, Snapshot(id=f"s{i}", node_id="n")))
        progress.apply(node(Status.SUCCEEDED, Snapshot(id=f"s{i}", node_id="n")))
    assert progress.running == {}


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        (None, ""),
        (timedelta(0), "0 s"),
        (timedelta(microseconds=412), "412 µs"),
        (timedelta(milliseconds=3.2), "3.2 ms"),
        (timedelta(seconds=1.25), "1.25 s"),
        (timedelta(seconds=125), "2 min 5 s"),
    ],
)
def test_durations(cost: timedelta | None, shown: str) -> None:
    """Durations have the unit that suits them."""
    assert duration(cost) == shown


def test_nothing_steers_the_terminal() -> None:
    """Control characters of texts from elsewhere are shown as replacement characters."""
    assert (
        clean("a\x1b[2J\x9b\x07b\r\nc\td")
        == "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b\nc\td"
    )
    assert line("a\n  b") == "a b"
