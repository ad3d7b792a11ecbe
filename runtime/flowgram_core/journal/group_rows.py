"""The rows of a group of writes: what they insert and change, one row per task, batch, schema and name."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from flowgram_core.journal.associated_data import (
    cause_associated_data,
    events_associated_data,
    inputs_associated_data,
    result_associated_data,
    schema_associated_data,
)
from flowgram_core.journal.checksums import batch_checksum, inputs_checksum, result_checksum
from flowgram_core.journal.encryption import Sealer
from flowgram_core.journal.errors import DuplicateRequest, InvalidWrite, WriteRejected
from flowgram_core.journal.interface import Batch, NewTask, Write
from flowgram_core.journal.write_validation import PENDING, TaskState, state_after

Row = tuple[Any, ...]
"""Values of columns, or of one `VALUES` row."""


class KnownTask(NamedTuple):
    """What the writer knows of a task: its number, the number of its namespace, and its state."""

    number: int
    namespace: int
    state: TaskState


class _Changes:
    """The changed columns of a task's row."""

    __slots__ = ("end_time", "namespace", "result", "start_time", "status")

    def __init__(self, namespace: int) -> None:
        self.namespace = namespace
        self.status = PENDING
        self.start_time: int | None = None
        self.end_time: int | None = None
        self.result: bytes | None = None

    def columns(self) -> Row:
        result = self.result
        return self.status, self.start_time, self.end_time, result, result_checksum(result)


class GroupRows:
    """The rows of a group of writes."""

    def __init__(
        self,
        next_number: int,
        states: dict[str, KnownTask],
        requests: set[tuple[int, str]],
        schemas: set[bytes],
        namespaces: Mapping[str, int],
        sealer: Sealer | None,
    ) -> None:
        self.next_number = next_number
        self.states = states
        self.schemas: dict[bytes, str] = {}
        self.events: list[Row] = []
        self.sizes: Counter[int] = Counter()  # what is added, by namespace
        self._namespaces = namespaces
        self._sealer = sealer
        self._accepted: dict[int, tuple[NewTask, _Changes]] = {}
        self._updated: dict[int, _Changes] = {}
        self._requests = requests
        self._stored_schemas = schemas

    def add(self, write: Write) -> WriteRejected | None:
        """Adds a write, or returns the error that rejects it."""
        task_id, accept, started, finish = write.task_id, write.accept, write.started, write.finish
        if (
            accept is not None
            and accept.request_id
            and (self._namespaces[accept.namespace], accept.request_id) in self._requests
        ):
            return DuplicateRequest(accept.request_id)
        known = self.states.get(task_id)
        try:
            state = state_after(None if known is None else known.state, write)
        except InvalidWrite as error:
            return error
        number, namespace = self._accept(accept) if known is None else known[:2]
        self.states[task_id] = KnownTask(number, namespace, state)
        for first, last, at, cause, events in self._stored(number, write.batches):
            self.events.append((number, first, last, at, batch_checksum(cause, events), cause, events))
            self.sizes[namespace] += len(events)
        if started is not None or finish is not None:
            changes = self._changes(number, namespace)
            changes.status = state.status
            if started is not None:
                changes.start_time = started
            if finish is not None:
                changes.end_time, changes.result = finish.end_time, finish.result
                if self._sealer is not None:
                    changes.result = self._sealer.seal(finish.result, result_associated_data(number))
        return None

    def _stored(self, number: int, batches: Sequence[Batch]) -> Iterable[tuple[int, int, int, Any, bytes]]:
        """Batches as they are stored."""
        sealer = self._sealer
        if sealer is None:
            return [batch.columns for batch in batches]
        return [
            (
                first,
                last,
                at,
                None if cause is None else sealer.seal(cause.encode(), cause_associated_data(number, last)),
                sealer.seal(events, events_associated_data(number, last)),
            )
            for first, last, at, cause, events in (batch.columns for batch in batches)
        ]

    def new_schemas(self) -> list[Row]:
        """The rows of schemas that may not be stored yet."""
        sealer = self._sealer
        if sealer is None:
            return [*self.schemas.items()]
        return [
            (hash_, sealer.seal(text.encode("utf-8", "surrogatepass"), schema_associated_data(hash_)))
            for hash_, text in self.schemas.items()
        ]

    def new_tasks(self) -> list[Row]:
        """The rows of tasks to insert."""
        sealer, inputs = self._sealer, dict[int, str | bytes]()
        for number, (task, changes) in self._accepted.items():
            stored: str | bytes = task.inputs
            if sealer is not None:
                stored = sealer.seal(task.inputs.encode(), inputs_associated_data(number))
            inputs[number] = stored
            self.sizes[changes.namespace] += len(stored) + len(changes.result or b"")
        return [
            (
                number,
                task.task_id,
                task.create_time,
                task.schema_hash,
                task.request_id or None,
                task.request_hash,
                task.timeout,
                json.dumps(task.labels, ensure_ascii=False) if task.labels else "{}",
                *changes.columns(),
                inputs[number],
                inputs_checksum(inputs[number]),
                changes.namespace,
            )
            for number, (task, changes) in self._accepted.items()
        ]

    def new_names(self) -> list[Row]:
        """The rows of the names of tasks that have one."""
        return [
            (number, task.display_name) for number, (task, _) in self._accepted.items() if task.display_name
        ]

    def updates(self) -> list[Row]:
        """The changed columns of tasks that were stored before."""
        for changes in self._updated.values():
            if changes.result is not None:
                self.sizes[changes.namespace] += len(changes.result)
        return [(number, *changes.columns()) for number, changes in self._updated.items()]

    def _changes(self, number: int, namespace: int) -> _Changes:
        accepted = self._accepted.get(number)
        if accepted is not None:
            return accepted[1]
        changes = self._updated.get(number)
        if changes is None:
            changes = self._updated[number] = _Changes(namespace)
        return changes

    def _accept(self, task: NewTask | None) -> tuple[int, int]:
        """The number of a new task, and that of its namespace."""
        assert task is not None  # noqa: S101 - `state_after` has refused writes about unknown tasks
        number = self.next_number
        self.next_number += 1
        namespace = self._namespaces[task.namespace]
        self._accepted[number] = task, _Changes(namespace)
        if task.schema_hash not in self._stored_schemas:
            self.schemas.setdefault(task.schema_hash, task.schema)
        if task.request_id:
            self._requests.add((namespace, task.request_id))
        return number, namespace
