"""Modules in their compiled form."""

import ast
import importlib
import os
import subprocess
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import pytest

import flowgram_core
from flowgram_core.compiled import (
    LIBRARIES,
    SUFFIX,
    CompiledFinder,
    compiled_names,
    digest_of,
    source_of,
    write_manifest,
)

_AWAITING = (ast.Await, ast.AsyncFor, ast.AsyncWith)
NAMES = ("flowgram_core.engine.step", "flowgram_server.rpc.codec")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like one with these modules, as their sources are."""
    for name in LIBRARIES:
        (tmp_path / f"{name}{SUFFIX}").touch()
    write_manifest(tmp_path, NAMES, digest_of(NAMES))
    return tmp_path


def test_modules_are_used_while_their_sources_are_those_that_were_compiled(folder: Path) -> None:
    """All of them, of both packages."""
    assert compiled_names(folder) == NAMES


def test_no_module_is_used_when_a_source_has_changed(folder: Path) -> None:
    """Nor when one is there no more."""
    write_manifest(folder, NAMES, digest_of(NAMES[:1]))
    assert compiled_names(folder) == ()
    write_manifest(folder, (*NAMES, "flowgram_core.engine.gone"), digest_of(NAMES))
    assert compiled_names(folder) == ()
    write_manifest(folder, ("no_such_package.module",), digest_of(()))
    assert compiled_names(folder) == ()


def test_no_module_is_used_without_the_library_or_the_manifest(folder: Path, tmp_path: Path) -> None:
    """As after a build for another interpreter, or one that broke off."""
    (folder / f"{LIBRARIES[1]}{SUFFIX}").unlink()
    assert compiled_names(folder) == ()
    assert compiled_names(tmp_path / "elsewhere") == ()


@pytest.mark.parametrize("manifest", [b"", b"\xff\xfe", b"0" * 64])
def test_a_manifest_that_is_none_is_no_error(folder: Path, manifest: bytes) -> None:
    """Everything runs as Python then."""
    (folder / "sources").write_bytes(manifest)
    assert compiled_names(folder) == ()


def test_the_digest_tells_sources_apart_by_their_names(tmp_path: Path) -> None:
    """Two modules that have swapped their contents are not the same."""
    assert digest_of(NAMES) != digest_of(NAMES[::-1])
    assert source_of(NAMES[0]).name == "step.py"


def test_the_finder_finds_what_is_compiled_and_nothing_else(folder: Path) -> None:
    """Python looks for the others as ever."""
    finder = CompiledFinder(folder, NAMES)
    spec = finder.find_spec(NAMES[1], None)
    assert spec is not None
    assert spec.origin == str(folder / f"{NAMES[1]}{SUFFIX}")
    assert finder.find_spec("flowgram_core.engine.frame", None) is None


def test_compiled_modules_are_used_where_there_are_some() -> None:
    """In continuous integration they have to be there."""
    names = compiled_names()
    if not flowgram_core.IS_COMPILED:
        assert os.environ.get("CI") != "true" or os.environ.get("FLOWGRAM_COMPILED") == "0"
        pytest.skip("nothing is compiled here, or not what the sources say")
    for name in names:
        spec = importlib.import_module(name).__spec__
        assert spec is not None
        assert isinstance(spec.loader, ExtensionFileLoader), name


def test_nothing_is_awaited_while_an_error_is_handled() -> None:
    """In a compiled module: mypyc leaves the error with the thread while a coroutine waits, where all other tasks get it."""
    listed = (Path(__file__).parents[2] / "tools" / "compiled_modules.txt").read_text().splitlines()
    names = [name for name in listed if name and not name.startswith("#")]
    assert names == sorted(names)
    for name in names:
        for node in ast.walk(ast.parse(source_of(name).read_text())):
            if isinstance(node, ast.Try):
                handled = [node.finalbody, *(handler.body for handler in node.handlers)]
                awaited = [each for block in handled for statement in block for each in ast.walk(statement)]
                assert not any(isinstance(each, _AWAITING) for each in awaited), f"{name}:{node.lineno}"


def test_they_can_be_switched_off() -> None:
    """For a debugger, and to see whether a failure is one of the compiled form."""
    program = "import flowgram_core, flowgram_core.engine.step as step; print(flowgram_core.IS_COMPILED, step.__spec__.origin)"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"FLOWGRAM_COMPILED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == ["False", str(source_of("flowgram_core.engine.step"))]
