"""Programs: what is decided about edges beforehand."""

import tracemalloc

import pytest
from support.driving import link_schema
from support.graphs import edge, end, node, start

from flowgram_core.engine.program import Program, link


def branching(ports: int, times: int = 1) -> Program:
    """A start node with so many edges from each of so many ports, all to one node, and one more from the first of them."""
    nodes = [start(), node("other", "variable"), end()]
    edges = [edge("start_0", "end_0", f"port_{number}") for _ in range(times) for number in range(ports)]
    edges += [edge("start_0", "other", "port_0"), edge("other", "end_0")]
    return link_schema({"nodes": nodes, "edges": edges})


@pytest.mark.parametrize("ports", [2, 16, 17, 500])
def test_a_port_takes_its_edges_and_no_others(ports: int) -> None:
    """In the order of the schema, however many ports a node has."""
    step = branching(ports).root.start
    first, last = step.way("port_0"), step.way(f"port_{ports - 1}")
    assert first is not None
    assert first.decisions == ((2, True), *[(2, False)] * (ports - 1), (1, True))
    assert last is not None
    assert last.decisions == (*[(2, False)] * (ports - 1), (2, True), (1, False))
    assert step.way(f"port_{ports}") is None


def test_a_port_of_many_edges_takes_all_of_them() -> None:
    """Whether that was computed beforehand or not."""
    step = branching(3, 5_000).root.start
    way = step.way("port_2")
    assert way is not None
    assert sum(taken for _, taken in way.decisions) == 5_000
    assert len(way.decisions) == 15_001


def test_a_step_that_waits_for_one_edge_alone_is_known_beforehand() -> None:
    """It needs no counting of what it still waits for; a node where paths join does."""
    nodes = [start(), node("one", "variable"), node("other", "variable"), end()]
    edges = [edge("start_0", "one"), edge("one", "other"), edge("one", "end_0"), edge("other", "end_0")]
    steps = link_schema({"nodes": nodes, "edges": edges}).root.steps
    ways = [step.way("") for step in steps]
    assert [None if way is None else way.only for way in ways] == [1, -1, -1, -1]


@pytest.mark.parametrize(("ports", "times"), [(2_000, 1), (16, 125)])
def test_a_program_takes_memory_in_proportion_to_its_edges(ports: int, times: int) -> None:
    """Though each of them has a port of its own, or few ports have many."""
    document = branching(ports, times).document
    tracemalloc.start()
    program = link(document, {})
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 1_000 * ports * times
    assert program.document is document
