"""Golden workflows: JSON files that say what a workflow is given and exactly what has to come of it.

Each file in tests/workflows has:

- `description`, `schema`, `inputs`;
- `answers`: what calls give, by snapshot id or by node id: outputs, or `{"error": text}`;
- `order` (optional): snapshot ids in the order in which their calls end; otherwise, and after these, the call that
  started first ends first;
- `cancel: {after, reason}` or `timeout: {after, limit}` (optional): stop once so many events have happened;
- `queued` (optional): the task waits before it starts;
- `budget` (optional): node runs in one step of the core;
- `limits` (optional): the limits of the execution;
- `events`: all events, in order, as `support.driving.describe` writes them.
"""

import json
from pathlib import Path
from typing import Any

from flowgram_core.engine.activations import Cancel, TimeOut
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.limits import Limits
from flowgram_core.engine.node_type import Call
from flowgram_core.nodes.code.node import CodeNode
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from support.driving import describe, drive, link_schema

FOLDER = Path(__file__).parent.parent / "workflows"
_STOPPED_AT = 1000
_WIDTH = 110


def play(golden: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that come of a golden workflow. Answers and an order that nothing uses are mistakes of the file."""
    program = link_schema(golden["schema"], LLMNode(), HTTPNode(), CodeNode())
    answers = dict(golden.get("answers", {}))
    order = list(golden.get("order", ()))
    used: set[str] = set()

    def answer(call: Call) -> dict[str, Any]:
        name = call.key if call.key in answers else call.node.id
        used.add(name)
        outputs: dict[str, Any] = answers[name]
        if "error" in outputs:
            raise NodeError(outputs["error"])
        return outputs

    def choose(calls: list[Call]) -> int:
        return [call.key for call in calls].index(order.pop(0)) if order else 0

    stop, after = _stop(golden)
    driven = drive(
        program,
        golden["inputs"],
        answer,
        choose,
        budget=golden.get("budget", 1000),
        stop_after=after,
        stop=stop,
        limits=Limits(**golden.get("limits", {})),
        queued=golden.get("queued", False),
    )
    assert used == answers.keys(), "answers that no call asked for"
    assert not order, "an order of calls that did not run"
    return [describe(event) for event in driven.events]


def _stop(golden: dict[str, Any]) -> tuple[Cancel | TimeOut | None, int | None]:
    match golden:
        case {"cancel": {"after": after, "reason": reason}}:
            return Cancel(_STOPPED_AT, reason), after
        case {"timeout": {"after": after, "limit": limit}}:
            return TimeOut(_STOPPED_AT, limit), after
        case _:
            return None, None


def render(value: Any, indent: str = "") -> str:
    """JSON text in which everything that fits is on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or len(indent) + len(line) <= _WIDTH:
        return line
    inner = f"{indent}  "
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {render(item, inner)}" for key, item in value.items()
        ]
    else:
        parts = [render(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{closing}"
