"""What the log gets to know of node types' mistakes."""

import json
from typing import Any

import pytest
from support.applications import call_schema
from support.fakes import running_application

from flowgram_core.engine.node_type import Call, CallBehavior, NodeResult, PureBehavior, RunScope
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.unexpected_errors import log_unexpected_error
from flowgram_core.modeling.document import Node
from flowgram_core.nodes.executor import CallContext

KEY = "sk-12345678901234567890"
"""The key of the nodes of `call_schema`."""

MASKED = "sk-…7890"


def fail(inputs: dict[str, Any]) -> Any:
    """Raises an error that has the key in it, and in what it came from, and in what went before."""
    try:
        try:
            raise LookupError(f"context {inputs['apiKey']}")  # noqa: TRY301 - it is to be caught
        except LookupError:
            raise KeyError(f"cause {inputs['apiKey']}")  # noqa: B904 - a library may do it
    except KeyError as error:
        raise RuntimeError("bad key " + inputs["apiKey"]) from error


class Leaking:
    """A node type `code` whose halves let their key out when they fail.

    Args:
        half: The one that does: `run`, `prepare` or `execute`.
    """

    type = "code"

    def __init__(self, half: str) -> None:
        self._half = half

    def bind(self, node: Node) -> PureBehavior | CallBehavior:
        def run(scope: RunScope, inputs: dict[str, Any]) -> NodeResult:
            raise fail(inputs)

        def prepare(scope: RunScope, inputs: dict[str, Any]) -> dict[str, Any]:
            return fail(inputs) if self._half == "prepare" else inputs

        return PureBehavior(run) if self._half == "run" else CallBehavior(prepare)

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        raise fail(call.inputs)


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The one line that was logged, with all its fields."""
    (record,) = [found for found in caplog.records if found.name.startswith("flowgram_core")]
    return {"message": record.getMessage(), **vars(record)}


@pytest.mark.parametrize("half", ["run", "prepare", "execute"])
async def test_an_error_is_logged_without_the_secrets_of_its_node(
    half: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever half of a node type made it: the whole chain of errors is there, the key in none of them."""
    async with running_application(Leaking(half)) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        record = await application.wait(record.task_id)
    assert record.result == b"('FAILED', None, ['Node type code failed with an internal error'])"
    line = logged(caplog)
    assert (line["levelname"], line["message"]) == ("ERROR", "a node type raised")
    assert line["node_id"] == "a"
    assert line.get("task_id") == "task-1" or line["call"] == "task-1/a"
    trace = line["exception"]
    assert trace.startswith("Traceback")
    assert trace.endswith(f"RuntimeError: bad key {MASKED}")
    assert f"KeyError: 'cause {MASKED}'" in trace
    assert f"LookupError: context {MASKED}" in trace
    assert "test_unexpected_errors.py" in trace
    assert not line["exc_info"]
    assert KEY not in str(line)


@pytest.mark.parametrize("secret", ['it\'s a\n"key" of some length', "schlüssel\\von\tlänge"])
def test_secrets_that_are_quoted_are_found(secret: str, caplog: pytest.LogCaptureFixture) -> None:
    """As Python prints a value, and as JSON has it."""
    log_unexpected_error(
        ValueError(f"{secret!r} {json.dumps(secret, ensure_ascii=False)} {secret}"), [secret], node_id="a"
    )
    (last,) = logged(caplog)["exception"].splitlines()[-1:]
    assert last.count("…") == 3
    assert not [part for part in ("key", "sel", "of some", "von") if part in last]
