"""Pinned settings: those that shape the log of a task, beside its workflow and its inputs.

A task keeps those that it was accepted with: a replay under others would not give the recorded events. The first activation
of a task records those that differ from the constants here. The constants belong to the format of the log, not to the
settings: they never change, whatever the defaults of the settings become.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Self

from flowgram_core.engine.errors import ProtocolError
from flowgram_core.engine.limits import UNLIMITED, Limits
from flowgram_core.engine.node_type import NodeTypes, PinningNodeType
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.modeling.json_text import JSONObject

_LIMITS: Final = Limits(
    max_events=1_000_000,
    max_loop_iterations=100_000,
    max_snapshot_bytes=32 * 1024 * 1024,
    max_node_work=UNLIMITED,
    max_task_memory=UNLIMITED,
)
_SECRET_NAMES: Final = frozenset({"apiKey"})


@dataclass(frozen=True, slots=True)
class PinnedSettings:
    """The pinned settings of one task.

    Attributes:
        limits: Bounds of its execution.
        secret_names: Node inputs whose values are masked.
        node_types: By node type, those of its settings that shape the log and differ from its constants.
        with_secrets: Whether its workflow may name secrets of the server; not in logs of earlier releases.
    """

    limits: Limits = _LIMITS
    secret_names: frozenset[str] = _SECRET_NAMES
    node_types: Mapping[str, JSONObject] = field(default_factory=dict)
    with_secrets: bool = False

    @classmethod
    def of(cls, settings: RuntimeSettings, node_types: NodeTypes) -> Self:
        """The pinned settings of tasks that are accepted now."""
        shown = {
            name: node_type.pins
            for name, node_type in node_types.items()
            if isinstance(node_type, PinningNodeType)
        }
        return cls(
            settings.limits,
            settings.secret_names,
            {name: pins for name, pins in shown.items() if pins},
            with_secrets=True,
        )

    @classmethod
    def from_record(cls, record: JSONObject | None) -> Self:
        """The settings of a record. Raises `ProtocolError` for anything that `to_record` did not make."""
        left = dict(record or {})
        try:
            secret_names = frozenset(left.pop("secret_names", _SECRET_NAMES))
            node_types = dict(left.pop("node_types", {}))
            with_secrets = bool(left.pop("secrets", False))
            return cls(replace(_LIMITS, **left), secret_names, node_types, with_secrets)
        except (TypeError, ValueError) as error:
            raise ProtocolError("the recorded settings are of another version") from error

    def to_record(self) -> JSONObject | None:
        """The settings that differ from the constants; None if none do."""
        constants = asdict(_LIMITS)
        record: JSONObject = {
            name: value for name, value in asdict(self.limits).items() if value != constants[name]
        }
        if self.secret_names != _SECRET_NAMES:
            record["secret_names"] = sorted(self.secret_names)
        if self.node_types:
            record["node_types"] = dict(self.node_types)
        if self.with_secrets:
            record["secrets"] = True
        return record or None
