"""The registry of node types."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from support.fakes import ScriptedCalls
from support.packages import add_package

from flowgram_core.nodes.errors import NodeTypeUnusable
from flowgram_core.nodes.markers import MarkerNode
from flowgram_core.nodes.registry import Registry, installed_node_types, pure_node_types


class OpenedCalls(ScriptedCalls):
    """A node type that holds something open."""

    def __init__(self, node_type: str, log: list[str], *, fails: bool = False) -> None:
        super().__init__(node_type)
        self._log = log
        self._fails = fails

    async def __aenter__(self) -> Self:
        if self._fails:
            raise OSError("no")
        self._log.append(f"open {self.type}")
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._log.append(f"close {self.type}")


def test_the_built_in_types_that_need_nothing_from_outside() -> None:
    """Those of the editor that are computed inside the core; the loop is the engine's own."""
    assert Registry(pure_node_types()).names == (
        "block-end",
        "block-start",
        "break",
        "condition",
        "continue",
        "end",
        "loop",
        "multi-condition",
        "start",
        "variable",
    )


def test_types_that_make_calls_are_known_as_executors() -> None:
    """Those with an `execute`."""
    calls = ScriptedCalls("code")
    found = Registry([*pure_node_types(), calls])
    assert found.executors == {"code": calls}
    assert found.node_types["code"] is calls
    assert "code" in found.names


def test_of_two_types_with_one_name_the_later_counts() -> None:
    """A package may replace how a built-in type is done, also one that makes calls by one that makes none."""
    first, second = ScriptedCalls("llm"), ScriptedCalls("llm")
    assert Registry([first, second]).executors == {"llm": second}
    assert Registry([first, MarkerNode("llm")]).executors == {}


async def test_types_that_hold_resources_are_opened_and_closed() -> None:
    """In order, and back in the opposite order; others are left alone."""
    log: list[str] = []
    found = Registry([OpenedCalls("a", log), MarkerNode("b"), OpenedCalls("c", log)])
    async with found.opened() as opened:
        assert opened is found
        assert log == ["open a", "open c"]
    assert log == ["open a", "open c", "close c", "close a"]


async def test_what_was_opened_is_closed_if_the_next_cannot_be() -> None:
    """Nothing stays open behind an error."""
    log: list[str] = []
    with pytest.raises(NodeTypeUnusable, match=r'^the node type "b" cannot be used: OSError: no$'):
        async with Registry([OpenedCalls("a", log), OpenedCalls("b", log, fails=True)]).opened():
            pass
    assert log == ["open a", "close a"]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("acme_tea", None)


TEA = "class TeaNode:\n    type = 'tea'\n    def bind(self, node): ...\n"


def test_a_package_adds_a_type_by_its_entry_point(packages: Path) -> None:
    """What an entry point of the group names is called without arguments; without such packages there are none."""
    assert installed_node_types() == ()
    add_package(packages, "acme_tea", TEA, "tea = acme_tea:TeaNode")
    (added,) = installed_node_types()
    assert added.type == "tea"
    assert Registry([*pure_node_types(), added]).node_types["tea"] is added


@pytest.mark.parametrize(
    ("entry", "code", "reason"),
    [
        ("acme_coffee:Node", "", "ModuleNotFoundError: No module named 'acme_coffee'"),
        ("acme_tea:CoffeeNode", TEA, "AttributeError: module 'acme_tea' has no attribute 'CoffeeNode'"),
        ("acme_tea:TeaNode", "raise OSError('no\\n  tea')", "OSError: no tea"),
        ("acme_tea:TEA", "TEA = 5", "TypeError: 'int' object is not callable"),
        ("acme_tea:make", "def make(): raise KeyError('cup')", "KeyError: 'cup'"),
        ("acme_tea:make", "def make(): ...", "its attribute type is no text that names a node type"),
        (
            "acme_tea:TeaNode",
            TEA.replace("'tea'", "5"),
            "its attribute type is no text that names a node type",
        ),
        (
            "acme_tea:TeaNode",
            TEA.replace("'tea'", "''"),
            "its attribute type is no text that names a node type",
        ),
        ("acme_tea:TeaNode", TEA.replace("bind", "bound"), "it has no method bind"),
        (
            "acme_tea:TeaNode",
            TEA.replace("'tea'", "'loop'"),
            'the type "loop" belongs to the engine, and cannot be replaced',
        ),
    ],
)
def test_an_entry_point_that_gives_no_node_type(packages: Path, entry: str, code: str, reason: str) -> None:
    """The error says on one line which it is, of which package, and why."""
    add_package(packages, "acme_tea", code, f"tea = {entry}")
    with pytest.raises(NodeTypeUnusable) as caught:
        installed_node_types()
    assert str(caught.value) == f'the node type "tea = {entry}" of acme_tea 1.0 cannot be used: {reason}'
