"""The runner: many random cases through both runtimes, compared, counted, and what disagrees made small."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.conformance import rules
from tests.conformance.compare import LEVELS, Difference, Verdict, compare
from tests.conformance.generator import KINDS, generate
from tests.conformance.observation import Case, Observation
from tests.conformance.reference import Reference
from tests.conformance.shrink import shrink

Observe = Callable[[Case], Awaitable[Observation]]
"""Runs a case in this project."""

TEXTS_ALIKE = 0.98
"""Texts are for people: a few may have other words."""

_MOST_DIFFERENCES = 8
_LONGEST_VALUE = 600


@dataclass
class Disagreement:
    """A case on which the two runtimes differ, with no rule to explain it."""

    case: Case
    reference: Observation
    ours: Observation
    verdict: Verdict

    def history(self) -> str:
        """For people: the differences, the workflow as JSON, and what both did with it."""
        lines = [
            self.in_short(),
            f"schema: {self.case.schema_text}",
            f"inputs: {self.case.inputs_text}",
            f"reference did: {_text(self.reference.as_json())}",
            f"ours did:      {_text(self.ours.as_json())}",
        ]
        return "\n".join(lines)

    def in_short(self) -> str:
        """The differences alone."""
        lines = [f"--- {self.case.name}"]
        for difference in self.verdict.differences[:_MOST_DIFFERENCES]:
            lines += [
                f"{difference.level}: {difference.where}",
                f"    reference: {_text(difference.reference)[:_LONGEST_VALUE]}",
                f"    ours:      {_text(difference.ours)[:_LONGEST_VALUE]}",
            ]
        return "\n".join(lines)


def _text(value: object) -> str:
    return json.dumps(value)


@dataclass
class Result:
    """What a run found.

    Attributes:
        seconds: How long it took.
        cases: How many cases there were.
        compared: How many things were compared, by level.
        excused: How many differed by a rule.
        differing: How many differed without one.
        rules: How often each rule was used.
        disagreements: The cases that differ, some of them shrunk.
    """

    seconds: float = 0
    cases: int = 0
    compared: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    disagreements: list[Disagreement] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Counts one comparison."""
        self.cases += 1
        self.compared += verdict.compared
        self.excused += verdict.excused
        self.differing.update(difference.level for difference in verdict.differences)
        self.rules += verdict.rules

    def share(self, level: str) -> float:
        """The share of a level that agrees, or differs by a rule."""
        compared = self.compared[level]
        return 1 - self.differing[level] / compared if compared else 1.0

    @property
    def passed(self) -> bool:
        """Whether nothing but texts differs, and of these next to none."""
        return not any(self.differing[level] for level in LEVELS[:3]) and self.share("texts") >= TEXTS_ALIKE

    def table(self) -> str:
        """The result as two tables."""
        lines = [
            f"{self.cases} cases in {self.seconds:.1f} s",
            "",
            f"{'level':<12}{'compared':>10}{'by a rule':>12}{'differ':>9}{'agree':>11}",
        ]
        lines += [
            f"{level:<12}{self.compared[level]:>10}{self.excused[level]:>12}{self.differing[level]:>9}{self.share(level):>11.3%}"
            for level in LEVELS
        ]
        lines += ["", f"{'times':>7}  rule"]
        for rule, times in self.rules.most_common():
            direct = rule.removeprefix("follows: ")
            reason = "what lies behind such a place" if rule != direct else rules.REASONS.get(rule, "")
            lines.append(f"{times:>7}  {rule}: {reason}")
        return "\n".join(lines)


async def run(
    reference: Reference,
    observe: Observe,
    base_url: str,
    *,
    seed: int,
    count: int,
    kinds: Collection[str] = KINDS,
    jobs: int = 16,
    shrunk: int = 5,
) -> Result:
    """Runs `count` cases of a seed, `jobs` at a time, and shrinks the first `shrunk` that disagree."""
    result = Result()
    began = time.monotonic()
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            case = generate(seed, number, base_url, kinds)
            found = await examine(reference, observe, case)
            result.add(found.verdict)
            if found.verdict.differences:
                result.disagreements.append(found)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(jobs):
            tasks.create_task(work())
    result.disagreements.sort(key=lambda found: _rank(found.verdict))
    for index, found in enumerate(result.disagreements[:shrunk]):
        result.disagreements[index] = await _shrunk(reference, observe, found)
    result.seconds = time.monotonic() - began
    return result


def _rank(verdict: Verdict) -> int:
    return min(LEVELS.index(difference.level) for difference in verdict.differences)


async def examine(reference: Reference, observe: Observe, case: Case) -> Disagreement:
    """Runs one case on both sides, and compares."""
    theirs, ours = await asyncio.gather(reference.observe(case), observe(case))
    return Disagreement(case, theirs, ours, compare(case, theirs, ours))


async def _shrunk(reference: Reference, observe: Observe, found: Disagreement) -> Disagreement:
    signature = _signature(found, found.verdict.differences[0])
    texts = _texts(found)
    smallest = found

    async def still_differs(case: Case) -> bool:
        nonlocal smallest
        again = await examine(reference, observe, case)
        differs = any(_signature(again, difference) == signature for difference in again.verdict.differences)
        # A smaller case must not make the reference stumble over something else.
        if differs and _texts(again) <= texts:
            smallest = again
            return True
        return False

    await shrink(found.case, still_differs)
    return smallest


def _signature(found: Disagreement, difference: Difference) -> tuple[str, ...]:
    """What makes two differences the same kind of difference, whatever the nodes are called."""
    types = {node["id"]: node["type"] for node in _nodes(found.case.schema) if "id" in node}
    where = re.sub(r"\[\d+\]", "", difference.where)
    place, _, name = where.rpartition(".")
    kind = types.get(place or where, types.get(where.removeprefix("messages of "), where))
    return difference.level, str(kind), name if place else ""


def _nodes(graph: dict[str, Any]) -> Iterator[dict[str, Any]]:
    nodes = graph.get("nodes", graph.get("blocks"))
    for node in nodes if isinstance(nodes, list) else ():
        if isinstance(node, dict):
            yield node
            yield from _nodes(node)


def _texts(found: Disagreement) -> set[str]:
    """What the reference complains of, but for paths that lead nowhere."""
    history = {*found.reference.problems, *(text for _, text in found.reference.errors)}
    return {
        text
        for text in history
        if not re.fullmatch(r"Branch .* not found|Loop block execute error", text, re.DOTALL)
    }
