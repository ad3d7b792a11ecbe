"""The registry of node types."""

from pathlib import Path
from typing import Self

import pytest
from support.fakes import ScriptedCalls

from flowgram_runtime.nodes.marks import MarkNode
from flowgram_runtime.nodes.registry import ENTRY_POINT_GROUP, Registry, installed_node_types, pure_node_types


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
    assert Registry([first, MarkNode("llm")]).executors == {}


async def test_types_that_hold_resources_are_opened_and_closed() -> None:
    """In order, and back in the opposite order; others are left alone."""
    log: list[str] = []
    found = Registry([OpenedCalls("a", log), MarkNode("b"), OpenedCalls("c", log)])
    async with found.opened() as opened:
        assert opened is found
        assert log == ["open a", "open c"]
    assert log == ["open a", "open c", "close c", "close a"]


async def test_what_was_opened_is_closed_if_the_next_cannot_be() -> None:
    """Nothing stays open behind an error."""
    log: list[str] = []
    with pytest.raises(OSError, match="no"):
        async with Registry([OpenedCalls("a", log), OpenedCalls("b", log, fails=True)]).opened():
            pass
    assert log == ["open a", "close a"]


def test_a_package_adds_a_type_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an entry point of the group names is called without arguments; without such packages there are none."""
    assert installed_node_types() == ()
    (tmp_path / "acme_tea.py").write_text("class TeaNode:\n    type = 'tea'\n", encoding="utf-8")
    info = tmp_path / "acme_tea-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tea\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        f"[{ENTRY_POINT_GROUP}]\ntea = acme_tea:TeaNode\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (added,) = installed_node_types()
    assert added.type == "tea"
    assert Registry([*pure_node_types(), added]).node_types["tea"] is added
