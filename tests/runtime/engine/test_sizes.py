"""Sizes: about that of the JSON text, and the limit on what a snapshot shows."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import drive, link_schema
from support.graphs import declare, edge, end, node, ref, start

from flowgram_core.engine.limits import Limits
from flowgram_core.modeling.meter import PART, Meter, WorkSuspended
from flowgram_core.modeling.sizes import size_of, too_large, utf8_length
from flowgram_core.modeling.status import Status

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet="aäß€😀"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet="abc"), inner),
    max_leaves=50,
)


@given(VALUES)
def test_a_size_is_about_that_of_the_text(value: Any) -> None:
    """Never more than half too small, nor more than four times too large."""
    length = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    assert length // 2 - 1 < size_of(value, 10 * length) <= 5 * length + 4


@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.just("ä"), max_size=60))
def test_many_items_count_as_much_as_each_of_them(items: list[Any]) -> None:
    """However they are counted."""
    assert size_of(items, 10_000) == size_of([], 10_000) + sum(size_of(item, 10_000) + 1 for item in items)


def test_a_value_that_only_its_text_would_blow_up() -> None:
    """Parts that are shared count each time, and counting ends at the limit."""
    value: Any = "x" * 10
    for _ in range(100):
        value = [value, value]
    assert size_of(value, 1_000_000) > 1_000_000


def chain(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"nodes": list(nodes), "edges": [edge(a["id"], b["id"]) for a, b in itertools.pairwise(nodes)]}


def template(text: str) -> dict[str, Any]:
    return {"type": "template", "content": text}


@pytest.mark.parametrize("where", ["inputs", "outputs"])
def test_a_snapshot_beyond_the_limit_fails_its_node(where: str) -> None:
    """Whether of its inputs or of its outputs; the message names the setting, and nothing too large is shown."""
    big = {"a": ("string", template("{{start_0.x}}" * 10))}
    if where == "inputs":
        schema = chain(start(x="string"), end(**big))
    else:
        items = {"type": "array", "items": {"type": "integer"}}
        blocks = [node("first", "block-start"), node("last", "block-end")]
        loop = node("loop", "loop", {"loopFor": ref("start_0", "n"), "loopOutputs": {"x": ref("start_0", "x")}},
                    blocks=blocks, edges=[edge("first", "last")])  # fmt: skip
        schema = chain(start(x="string", n=items), loop, end())
    driven = drive(
        link_schema(schema),
        {"x": "x" * 100, "n": list(range(10))},
        lambda call: {},
        limits=Limits(max_snapshot_bytes=500),
    )
    finished = driven.execution.finished
    assert finished is not None
    assert finished.status is Status.FAILED
    assert finished.errors[0].text.endswith("limit max_snapshot_bytes = 500")
    assert "x" * 100 not in repr(driven.events[-3:])


def test_calls_are_not_made_with_inputs_beyond_the_limit() -> None:
    """The node fails before its call."""
    inputs = {"inputs": declare(a="string"), "inputsValues": {"a": template("{{start_0.x}}" * 10)}}
    schema = chain(start(x="string"), node("code_0", "code", inputs), end())

    def never(call: Any) -> dict[str, Any]:
        raise AssertionError("it was called")

    driven = drive(link_schema(schema), {"x": "x" * 100}, never, limits=Limits(max_snapshot_bytes=500))
    assert driven.execution.status is Status.FAILED


def setting(*assignments: tuple[str, list[str], Any]) -> dict[str, Any]:
    """A variable node; the left side of an assignment is a reference into `global`."""
    return node(
        "variable_0",
        "variable",
        {
            "assign": [
                {
                    "operator": operator,
                    "left": left[0] if operator == "declare" else ref("global", *left),
                    "right": right,
                }
                for operator, left, right in assignments
            ]
        },
    )


def with_global(value: Any, *nodes: dict[str, Any]) -> dict[str, Any]:
    """A chain between start and end; `value` is the global variable `v`."""
    declared = {"type": "object", "properties": {"v": {"type": "string", "default": value}}}
    return chain(start(x="string"), *nodes, end()) | {"globalVariable": declared}


def test_texts_beyond_the_limit_fail_the_node_that_makes_them() -> None:
    """One that is doubled again and again: nobody has to show it for that, and no single one need be too long."""
    doubling = ("assign", ["v"], template("{{global.v}}{{global.v}}"))
    for times, status in ((4, Status.SUCCEEDED), (5, Status.FAILED)):
        program = link_schema(with_global("x" * 100, setting(*[doubling] * times)))
        driven = drive(program, {}, lambda call: {}, limits=Limits(max_snapshot_bytes=5_000))
        finished = driven.execution.finished
        assert finished is not None
        assert finished.status is status
    assert [error.text for error in finished.errors] == [too_large(5_000)]


def test_each_run_may_make_as_many_texts_as_fit() -> None:
    """What other nodes have made does not count."""
    once = ("assign", ["v"], template("{{start_0.x}}"))
    nodes = [setting(once) | {"id": f"variable_{number}"} for number in range(20)]
    driven = drive(
        link_schema(with_global("", *nodes)),
        {"x": "x" * 900},
        lambda call: {},
        limits=Limits(max_snapshot_bytes=1_000),
    )
    assert driven.execution.status is Status.SUCCEEDED


def test_texts_count_in_the_size_of_a_step() -> None:
    """A task that makes long ones lets others run, though no event shows them."""
    once = ("assign", ["v"], template("{{start_0.x}}"))
    nodes = [setting(once) | {"id": f"variable_{number}"} for number in range(20)]
    driven = drive(
        link_schema(with_global("", *nodes)), {"x": "x" * 10_000}, lambda call: {}, max_bytes=25_000
    )
    assert len(driven.log) > 5


def test_values_that_are_put_into_themselves_take_nothing() -> None:
    """They succeed, however large their texts would be: nobody makes these."""
    growing = ("assign", ["v", "0"], ref("global", "v")), ("assign", ["v", "1"], ref("global", "v"))
    program = link_schema(with_global([0, 0], setting(*growing * 50)))
    assert drive(program, {}, lambda call: {}).execution.status is Status.SUCCEEDED


def test_a_step_with_long_names_has_few_runs() -> None:
    """Every event has the id of its node three times over, and those of the loops around it: that is no room for more."""
    blocks = [node("first", "block-start"), node("x" * 5000, "block-end")]
    loop = node("loop", "loop", {"loopFor": ref("start_0", "n")}, blocks=blocks,
                edges=[edge("first", "x" * 5000)])  # fmt: skip
    schema = chain(start(n={"type": "array", "items": {"type": "integer"}}), loop, end())
    driven = drive(link_schema(schema), {"n": list(range(20))}, lambda call: {}, max_bytes=30_000)
    assert driven.execution.status is Status.SUCCEEDED
    assert max(len(events) for _, events in driven.log) <= 4


@pytest.mark.parametrize("text", ["é", "\U0001f600a", "\ud83d", "ab\u4e2d"])
def test_long_texts_are_measured_as_short_ones_are(text: str) -> None:
    """In slices, before each of which the work is counted; it is as much in the end."""
    long = text * 300_000
    assert utf8_length(long) == 300_000 * len(text.encode("utf-8", "surrogatepass"))
    meter = Meter()
    assert size_of([long], 10**9, meter) == utf8_length(long) + 2 + 3
    assert meter.used == size_of([long], 10**9) + 2 * PART
    meter.begin(200_000)
    with pytest.raises(WorkSuspended):
        size_of([long], 10**9, meter)
    assert meter.used < 200_000 + len(long)


def test_large_objects_are_measured_as_small_ones_are() -> None:
    """A slice of their members at a time."""
    value = {f"key_{number:06}": [number] for number in range(40_000)}
    assert size_of(value, 10**9) == 2 + 40_000 * (10 + 4 + 2 + 1 + 4)
