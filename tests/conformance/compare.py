"""Comparison of two observations at four levels, with the listed differences as rules."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.conformance import rules
from tests.conformance.context import Context
from tests.conformance.flow import Flow, races
from tests.conformance.observation import Case, NodeSeen, Observation, Snapshot
from tests.conformance.printing import equal

LEVELS = ("outcome", "nodes", "snapshots", "texts")
"""The task's status and outputs; the nodes' statuses; what their runs took, gave and chose; error texts."""


@dataclass(frozen=True)
class Difference:
    """A disagreement that no rule explains."""

    level: str
    where: str
    reference: Any
    ours: Any


@dataclass
class Verdict:
    """What a comparison found.

    Attributes:
        differences: The unexplained ones.
        compared: How many things were compared at each level.
        excused: How many were different by a rule, by level.
        rules: How often each rule was used.
        unsettled: Differences of nodes that no rule explains at their own place.
    """

    differences: list[Difference] = field(default_factory=list)
    compared: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    unsettled: list[tuple[str, Difference]] = field(default_factory=list)


def compare(case: Case, reference: Observation, ours: Observation) -> Verdict:
    """Compares what the reference did with what this project did."""
    verdict = Verdict()
    verdict.compared["outcome"] += 1
    if reference.problems or ours.problems:
        _compare_problems(verdict, reference, ours)
        return verdict
    flow = Flow(case)
    context = Context(case, flow, reference, ours)
    for node_id, reason in races(flow, ours).items():
        context.spread(node_id, f"race: {reason}")
    order = dict.fromkeys((*ours.nodes, *reference.nodes))
    for node_id in order:
        _compare_node(verdict, context, node_id)
    _compare_errors(verdict, context)
    _settle_rest(verdict, context)
    _compare_outcome(verdict, context)
    return verdict


def _compare_problems(verdict: Verdict, reference: Observation, ours: Observation) -> None:
    if not reference.problems:
        explained = [rules.explain_refusal(problem) for problem in ours.problems]
        if None in explained:
            verdict.differences.append(Difference("outcome", "validation", [], ours.problems))
        else:
            _excuse(verdict, "outcome", str(explained[0]))
        return
    if not ours.problems:
        rule = rules.explain_acceptance(reference.problems)
        if rule is not None:
            _excuse(verdict, "outcome", rule)
            return
        verdict.differences.append(Difference("outcome", "validation", reference.problems, []))
        return
    for problem in reference.problems:
        verdict.compared["texts"] += 1
        if problem not in ours.problems:
            rule = rules.explain_problem(problem, ours.problems)
            if rule is not None:
                _excuse(verdict, "texts", rule)
            else:
                verdict.differences.append(Difference("texts", "validation", problem, ours.problems))


def _excuse(verdict: Verdict, level: str, rule: str) -> None:
    verdict.excused[level] += 1
    verdict.rules[rule] += 1


def _settle(
    verdict: Verdict, context: Context, node_id: str, difference: Difference, rule: str | None
) -> None:
    """Books a difference of a node under its rule; what has none waits until all rules have spoken."""
    if rule is None:
        verdict.unsettled.append((node_id, difference))
        return
    _excuse(verdict, difference.level, rule)
    if difference.level != "texts" and rule not in rules.SHOWN_ONLY:
        context.spread(node_id, f"follows: {rule}")


def _settle_rest(verdict: Verdict, context: Context) -> None:
    """Books the differences that follow from those that a rule explains."""
    for node_id, difference in verdict.unsettled:
        rule = context.tainted.get(node_id)
        if rule is None:
            verdict.differences.append(difference)
        else:
            _excuse(verdict, difference.level, rule)


def _compare_node(verdict: Verdict, context: Context, node_id: str) -> None:
    theirs = context.reference.nodes.get(node_id) or NodeSeen("absent")
    mine = context.ours.nodes.get(node_id) or NodeSeen("absent")
    verdict.compared["nodes"] += 1
    count, their_count = len(mine.snapshots), len(theirs.snapshots)
    if mine.status != theirs.status or count != their_count:
        rule = rules.explain_status(context, node_id, theirs, mine)
        said = Difference("nodes", node_id, f"{theirs.status} x {their_count}", f"{mine.status} x {count}")
        _settle(verdict, context, node_id, said, rule)
    for index, (their_run, my_run) in enumerate(zip(theirs.snapshots, mine.snapshots, strict=False)):
        _compare_snapshot(verdict, context, node_id, index, their_run, my_run)


def _compare_snapshot(
    verdict: Verdict, context: Context, node_id: str, index: int, theirs: Snapshot, mine: Snapshot
) -> None:
    verdict.compared["snapshots"] += 1
    for name in ("inputs", "outputs", "branch"):
        their_value, my_value = getattr(theirs, name), getattr(mine, name)
        if not equal(their_value, my_value):
            rule = rules.explain_snapshot(context, node_id, name, theirs, mine)
            where = f"{node_id}[{index}].{name}"
            _settle(verdict, context, node_id, Difference("snapshots", where, their_value, my_value), rule)
    if theirs.error or mine.error:
        verdict.compared["texts"] += 1
        if theirs.error != mine.error:
            rule = rules.explain_text(context, node_id, theirs.error, mine.error)
            where = f"{node_id}[{index}].error"
            _settle(verdict, context, node_id, Difference("texts", where, theirs.error, mine.error), rule)


def _compare_outcome(verdict: Verdict, context: Context) -> None:
    theirs, mine = context.reference, context.ours
    same = theirs.status == mine.status and equal(theirs.outputs, mine.outputs)
    if same:
        return
    rule = rules.explain_outcome(context) or next(iter(context.tainted.values()), None)
    if rule is None:
        said = (
            {"status": theirs.status, "outputs": theirs.outputs},
            {"status": mine.status, "outputs": mine.outputs},
        )
        verdict.differences.append(Difference("outcome", "task", *said))
    else:
        _excuse(verdict, "outcome", rule)


def _compare_errors(verdict: Verdict, context: Context) -> None:
    """Messages: each of either side must be on the other, in the same order for one node."""
    for node_id in dict.fromkeys(node_id for node_id, _ in (*context.reference.errors, *context.ours.errors)):
        theirs = [text for node, text in context.reference.errors if node == node_id]
        mine = [text for node, text in context.ours.errors if node == node_id]
        verdict.compared["texts"] += 1
        if theirs != mine:
            rule = rules.explain_text(context, node_id, "\n".join(theirs), "\n".join(mine))
            _settle(
                verdict, context, node_id, Difference("texts", f"messages of {node_id}", theirs, mine), rule
            )
