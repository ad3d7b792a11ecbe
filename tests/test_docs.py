"""The documents stay true: what they point to exists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from support.node_calls import make_node
from support.scopes import Variables

from flowgram_core.engine.node_type import PureBehavior
from flowgram_core.nodes.registry import Registry
from flowgram_server.settings.server import Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MAKE_COMMAND = re.compile(r"^make ((?:[a-z][a-z-]* ?)+)", re.MULTILINE)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
MAKE_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text("utf-8"))


def anchors(document: Path) -> set[str]:
    """The fragments by which a document's headings can be linked to."""
    headings = HEADING.findall(prose(document))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(document: Path) -> str:
    """All commands of a document: the code blocks, and each inline code on a line of its own."""
    text = document.read_text("utf-8")
    return "\n".join([*FENCE.findall(text), *INLINE_CODE.findall(prose(document))])


def broken_links(document: Path) -> Iterator[str]:
    for link in LINK.findall(prose(document)):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (fragment and fragment not in anchors(target)):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document names a file, and a heading in it."""
    assert list(broken_links(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(document: Path) -> None:
    """Every `make …` in a document names targets of the Makefile."""
    targets = set(MAKE_TARGET.findall((ROOT / "Makefile").read_text("utf-8")))
    used = {target for command in MAKE_COMMAND.findall(code(document)) for target in command.split()}
    assert used - targets == set()


def test_differences_are_tested() -> None:
    """Every test and golden workflow that semantics.md names for a difference exists."""
    text = (ROOT / "docs/semantics.md").read_text("utf-8")
    cells = re.findall(r"\| ([^|]*) \|$", text[text.index("### Decided differently") :], re.MULTILINE)
    named = {name for cell in cells for name in INLINE_CODE.findall(cell)}
    tests = {
        name
        for path in (ROOT / "tests").glob("**/test_*.py")
        if "node_modules" not in path.parts
        for name in re.findall(r"def (test_\w+)\(", path.read_text("utf-8"))
    }
    workflows = {path.stem for path in (ROOT / "tests/workflows").glob("*.json")}
    assert named
    assert named - tests - workflows == set()


SETTING_ROW = re.compile(r"^\| `([a-z_.]+)` \|([^|]*)\|", re.MULTILINE)
ONE_PER_CPU = ("code.workers", "code.long_workers")


def defaults(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting with its default, as the table shows it."""
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel):
            yield from defaults(type(default), f"{prefix}{name}.")
        elif isinstance(default, bool):
            yield prefix + name, "yes" if default else "no"
        elif isinstance(default, int | float):
            yield prefix + name, f"{default:,g}" if isinstance(default, float) else f"{default:,}"
        elif isinstance(default, frozenset):
            yield prefix + name, ", ".join(sorted(default))
        elif isinstance(default, dict):
            yield (
                prefix + name,
                ", ".join(
                    f"{key} {value if isinstance(value, str) else f'{value:,g}'}"
                    for key, value in sorted(default.items())
                ),
            )
        else:
            yield prefix + name, str(default) if default else ""


def test_all_settings_are_documented() -> None:
    """The tables of operations.md have every setting, with its default, and no other."""
    documented = dict(SETTING_ROW.findall((ROOT / "docs/operations.md").read_text("utf-8")))
    wanted = dict(defaults(Settings))
    wanted |= dict.fromkeys(ONE_PER_CPU, "one per CPU")
    assert {name: default.strip() for name, default in documented.items()} == wanted


def python_examples(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_node_types_of_the_documents_work() -> None:
    """The examples of node-types.md are node types: the registry takes them, and the first one greets."""
    names: dict[str, Any] = {}
    for example in python_examples(ROOT / "docs/node-types.md"):
        exec(compile(example, "node-types.md", "exec"), names)  # noqa: S102 - our own text
    registry = Registry([names["GreetingNode"](), names["LookUpNode"]()])
    assert set(registry.executors) == {"look-up"}
    behavior = registry.node_types["greeting"].bind(make_node("greeting", {"salutation": "Good day"}))
    assert isinstance(behavior, PureBehavior)
    assert behavior.run(Variables(), {"name": "Ada"}).outputs == {"text": "Good day, Ada!"}
