"""The progress of a task: a fold of its events into what is running now and what has just happened."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from flowgram_client import (
    Event,
    Iteration,
    JSONObject,
    Message,
    MessageLogged,
    NodeStatusChanged,
    OutputDelta,
    Snapshot,
    Status,
)


@dataclass
class Run:
    """One run of a node."""

    label: str
    """The node with the iterations around it: `loop_0[3]/llm_1`."""
    status: Status
    began: float
    """When it was first heard of, on the clock of the watcher."""
    time_cost: timedelta | None = None
    branch: str = ""
    error: str = ""
    text: list[str] = field(default_factory=list)
    """What a language model has written, in pieces, since the connection was made; all of it once the run has ended."""
    wrote: bool = False
    """Whether any of it was ever heard."""


@dataclass(frozen=True)
class Started:
    """A run has started."""

    run: Run


@dataclass(frozen=True)
class Wrote:
    """A run has written some text."""

    run: Run
    text: str


@dataclass(frozen=True)
class Ended:
    """A run has ended."""

    run: Run
    rest: str = ""
    """What it wrote and was not heard: deltas are live only, and all of the text is in the outputs."""
    anew: bool = False
    """Whether `rest` is the whole text: what was heard is not its beginning."""


@dataclass(frozen=True)
class Said:
    """There is a message."""

    message: Message


Change = Started | Wrote | Ended | Said


class Progress:
    """What is known about a task that is being watched. Holds only runs that go on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.running: dict[str, Run] = {}
        """By snapshot id, in the order of their starts."""
        self.status = Status.PENDING
        self.start_time: datetime | None = None
        self.end_time: datetime | None = None
        self.time_cost: timedelta | None = None
        self.outputs: JSONObject | None = None
        self.errors: list[Message] = []
        self.sequence = 0
        """Of the last event."""

    def reconnects(self) -> None:
        """What is written until the connection is there again is not heard, and a server that restarts has it written anew."""
        for run in self.running.values():
            run.text.clear()

    def apply(self, event: Event) -> Change | None:
        """Take an event in; what it means for the display, if anything."""
        self.sequence = max(self.sequence, event.sequence)
        if isinstance(event, NodeStatusChanged):
            return self._node(event)
        if isinstance(event, OutputDelta):
            run = self.running.get(event.snapshot_id)
            if run is None:  # it began before the watch did
                run = Run(event.node_id, Status.PROCESSING, self._clock())
                self.running[event.snapshot_id] = run
            if event.from_start:
                run.text.clear()
            run.text.append(event.text)
            run.wrote = True
            return Wrote(run, event.text)
        if isinstance(event, MessageLogged):
            if event.message.type.name == "ERROR":
                self.errors.append(event.message)
            return Said(event.message)
        self.status = event.status
        self.start_time, self.end_time, self.time_cost = event.start_time, event.end_time, event.time_cost
        if event.outputs is not None:
            self.outputs = event.outputs
        return None

    def _node(self, event: NodeStatusChanged) -> Change:
        snapshot = event.snapshot
        run = self.running.get(snapshot.id)
        if run is None:
            run = Run(label_of(snapshot, event.node_id), event.status, self._clock())
        run.status = event.status
        run.time_cost = event.time_cost
        run.branch = snapshot.branch or run.branch
        run.error = snapshot.error or run.error
        if event.terminated:
            self.running.pop(snapshot.id, None)
            heard = "".join(run.text)
            whole = _written(heard, snapshot.outputs or {}) if run.wrote else ""
            run.text = [whole]
            if heard and whole.startswith(heard):
                return Ended(run, whole[len(heard) :])
            return Ended(run, whole, anew=run.wrote)
        self.running[snapshot.id] = run
        return Started(run)


def _written(heard: str, outputs: JSONObject) -> str:
    """The output of which `heard` is the beginning, or else a part; what was heard where it is neither.

    Of a part, the end may be missing too: the last pieces are not sent where the run ends before they are sent.
    """
    texts = [value for value in outputs.values() if isinstance(value, str)]
    beginning = (text for text in texts if heard and text.startswith(heard))
    part = (text for text in texts if heard in text)
    return next(beginning, None) or next(part, heard)


def label_of(snapshot: Snapshot, node_id: str) -> str:
    """The name of a run for people. An end whose start was not seen has only its id."""
    if snapshot.iterations:
        return "/".join([*map(_step, snapshot.iterations), node_id])
    return snapshot.id if snapshot.id.endswith(node_id) else node_id


def _step(iteration: Iteration) -> str:
    return f"{iteration.loop_node_id}[{iteration.index}]"
