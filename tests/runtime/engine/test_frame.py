"""Frames as scopes of variables."""

from support.driving import link_schema
from support.graphs import edge, end, start

from flowgram_core.engine.frame import Frame
from flowgram_core.engine.recorder import Recorder
from flowgram_core.modeling.values import Variable

ONE, TWO = Variable(1, "integer"), Variable(2, "integer")


def frames() -> tuple[Frame, Frame]:
    """An outer scope, and one inside it."""
    program = link_schema({"nodes": [start(), end()], "edges": [edge("start_0", "end_0")]})
    outer = Frame(program.root, {"x": 1}, Recorder(1000))
    return outer, Frame(program.root, outer.task_inputs, outer.recorder, outer)


def test_the_nearest_scope_that_knows_the_node_counts() -> None:
    """It hides outer ones, even where it lacks the key."""
    outer, inner = frames()
    outer.declare("a", "x", ONE)
    outer.declare("a", "y", ONE)
    assert inner.lookup("a", "x") == ONE
    inner.declare("a", "x", TWO)
    assert inner.lookup("a", "x") == TWO
    assert inner.lookup("a", "y") is None
    assert outer.lookup("a", "x") == ONE


def test_what_nobody_knows_is_absent() -> None:
    """Neither node nor key."""
    outer, inner = frames()
    outer.declare("a", "x", ONE)
    assert inner.lookup("b", "x") is None
    assert inner.lookup("a", "z") is None


def test_assign_changes_the_scope_that_has_the_variable() -> None:
    """Also an outer one, for all that look later."""
    outer, inner = frames()
    outer.declare("a", "x", ONE)
    assert inner.assign("a", "x", TWO)
    assert outer.lookup("a", "x") == TWO
    assert inner.variables == {}


def test_assign_makes_no_variables() -> None:
    """It says that there is none, and changes nothing."""
    outer, inner = frames()
    outer.declare("a", "x", ONE)
    assert not inner.assign("a", "y", TWO)
    assert not inner.assign("b", "x", TWO)
    assert outer.variables == {"a": {"x": ONE}}
