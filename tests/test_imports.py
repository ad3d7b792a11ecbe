"""The shape of the source tree: which package may import which, and how long a file may be."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SOURCE_ROOTS = (ROOT / "runtime", ROOT / "server", ROOT / "clients/python")
OTHER_ROOTS = (ROOT / "tests", ROOT / "benchmarks", ROOT / "tools")
GENERATED = ROOT / "clients/python/flowgram"
LONGEST_FILE = 600

_POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{{1,2}\d+(?:,\d*)?\}{1,2})\+")

OURS = ("flowgram", "flowgram_client", "flowgram_core", "flowgram_server")

# Each layer, with what it may import of this project. A module belongs to the layer with the
# longest name that is a prefix of its own; a layer may always import itself.
LAYERS: dict[str, tuple[str, ...]] = {
    "flowgram_core": (),
    "flowgram_core.modeling": (),
    "flowgram_core.concurrency": (),
    "flowgram_core.engine": ("flowgram_core.modeling",),
    "flowgram_core.journal": ("flowgram_core.modeling", "flowgram_core.concurrency"),
    "flowgram_core.nodes": ("flowgram_core.modeling", "flowgram_core.engine", "flowgram_core.concurrency"),
    "flowgram_client": ("flowgram",),
    "flowgram": (),
}
LAYERS["flowgram_core.hosting"] = tuple(name for name in LAYERS if name.startswith("flowgram_core."))
LAYERS["flowgram_core.embedded"] = (*LAYERS["flowgram_core.hosting"], "flowgram_core.hosting")
LAYERS["flowgram_core.temporal"] = LAYERS["flowgram_core.embedded"]
LAYERS["flowgram_server"] = tuple(LAYERS)

_OUTSIDE = (
    *("asyncio", "io", "os", "pathlib", "select", "shutil", "signal", "subprocess", "sys", "tempfile"),
    *("http", "httpx2", "openai", "socket", "ssl", "urllib"),
)
_SIDE_BY_SIDE = ("concurrent", "contextvars", "multiprocessing", "queue", "threading")

# Modules from elsewhere that a layer must not know, and why.
FORBIDDEN: dict[str, dict[str, str]] = {
    "flowgram_core": {
        "grpc": "the engine is a library without a transport",
        "google": "the engine is a library without generated code",
    },
    "flowgram_core.modeling": {
        "asyncio": "a schema is compiled without I/O",
        "sqlite3": "SQL stays in the journal",
    },
    "flowgram_core.engine": {
        **dict.fromkeys(_OUTSIDE, "the core is sans-I/O"),
        **dict.fromkeys(("logging", "structlog", "warnings"), "the host logs what the core tells it"),
        **dict.fromkeys(("time", "datetime"), "the host gives the core its times"),
        **dict.fromkeys(("random", "secrets"), "a replay must do the same again"),
        **dict.fromkeys(_SIDE_BY_SIDE, "the core is driven by one caller"),
        "uuid": "identities derive from structure",
        "sqlite3": "SQL stays in the journal",
    },
    "flowgram_core.nodes": {"sqlite3": "SQL stays in the journal"},
}

# All that the light client may need: the standard library, the contract, gRPC and Protocol Buffers.
CLIENT_MAY_IMPORT = {"flowgram", "flowgram_client", "grpc", "google"}


def sources(*roots: Path) -> list[Path]:
    return sorted(
        path
        for root in roots
        for path in root.rglob("*.py")
        if GENERATED not in path.parents and "node_modules" not in path.parts
    )


class Source(NamedTuple):
    name: str
    module: str
    package: str
    text: str


def read(path: Path) -> Source:
    root = next(root for root in SOURCE_ROOTS if root in path.parents)
    parts = path.relative_to(root).with_suffix("").parts
    package = ".".join(parts[:-1])
    module = package if parts[-1] == "__init__" else ".".join(parts)
    return Source(str(path.relative_to(ROOT)), module, package, path.read_text("utf-8"))


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Give each imported name with its line: `from a.b import c` is a.b.c, relative ones resolved."""
    package = source.package.split(".")
    for node in ast.walk(ast.parse(source.text, source.name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{prefix}.{alias.name}"


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer_of(module: str) -> str:
    return max((layer for layer in LAYERS if is_within(module, layer)), key=len)


def violations(source: Source) -> Iterator[str]:
    layer = layer_of(source.module)
    forbidden = {
        name: reason
        for package, names in FORBIDDEN.items()
        if is_within(source.module, package)
        for name, reason in names.items()
    }
    for line, imported in imports(source):
        top = imported.partition(".")[0]
        place = f"{source.name}:{line}: {source.module} imports {imported}"
        if top in OURS and (target := layer_of(imported)) not in (layer, *LAYERS[layer]):
            yield f"{place}, but {layer} must not import {target}"
        for name, reason in forbidden.items():
            if is_within(imported, name):
                yield f"{place}, but {reason}"
        if layer == "flowgram_client" and top not in CLIENT_MAY_IMPORT | sys.stdlib_module_names:
            yield f"{place}, which the base install does not bring"


def test_every_package_has_its_place() -> None:
    """Each package of the source roots is named in the table of layers."""
    packages = {read(path).module.partition(".")[0] for path in sources(*SOURCE_ROOTS)}
    assert packages <= set(OURS)


@pytest.mark.parametrize("root", SOURCE_ROOTS, ids=lambda root: root.name)
def test_imports_point_one_way(root: Path) -> None:
    """Modeling <- engine <- nodes <- hosting <- embedded | temporal <- server; clients know only the contract."""
    assert [text for path in sources(root) for text in violations(read(path))] == []


def test_a_wrong_import_is_found() -> None:
    """The check sees absolute, relative and conditional imports, and imports inside functions."""
    text = (
        "import asyncio\n"
        "from ..nodes import llm\n"
        "from flowgram_core.modeling import document\n"
        "if True:\n"
        "    from flowgram_core import journal\n"
        "def late():\n"
        "    import flowgram_server.cli\n"
    )
    source = Source("core.py", "flowgram_core.engine.core", "flowgram_core.engine", text)
    assert [violation.split(": ")[0] for violation in violations(source)] == [
        "core.py:1",
        "core.py:2",
        "core.py:5",
        "core.py:7",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "import os.path",
        "from datetime import UTC",
        "import logging",
        "import concurrent.futures",
        "import random",
    ],
)
def test_what_the_core_must_not_know_is_found(text: str) -> None:
    """However it is imported; the layers above may know it."""
    for layer, count in (("engine", 1), ("nodes", 0)):
        package = f"flowgram_core.{layer}"
        assert len(list(violations(Source("x.py", f"{package}.x", package, text)))) == count


@pytest.mark.parametrize("root", SOURCE_ROOTS + OTHER_ROOTS, ids=lambda root: root.name)
def test_files_stay_short(root: Path) -> None:
    """One concept per file: more than 400 lines are a smell, more than 600 hold two for certain."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in sources(root)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


@pytest.mark.parametrize("root", SOURCE_ROOTS, ids=lambda root: root.name)
def test_no_pattern_repeats_a_group_possessively(root: Path) -> None:
    """Before Python 3.11.5 such a repetition ends in the midst of its last attempt (python/cpython#106052)."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(root.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _POSSESSIVE_GROUP.search(line)
    ]
    assert not found
