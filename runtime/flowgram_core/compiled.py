"""Loads modules in their compiled form: extension modules that mypyc made of their sources.

`make compiled` writes them into a folder of this package, with a digest of the sources. They are used if the sources are still those
that were compiled, all of them: whoever edits a file gets what the file says, and never old and new side by side. Otherwise, or with
`FLOWGRAM_COMPILED=0` in the environment, everything runs as Python, which does the same and takes longer.
"""

import hashlib
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

FOLDER: Final = Path(__file__).with_name("compiled_modules")
"""Where the compiled modules lie."""

LIBRARIES: Final = ("flowgram_core__mypyc", "flowgram_hosts__mypyc")
"""The modules that hold the code; each of the others is a part of one of them, with a name of its own."""

SUFFIX: Final = EXTENSION_SUFFIXES[0]
"""How file names of extension modules for this interpreter end."""

_MANIFEST: Final = "sources"
SWITCH: Final = "FLOWGRAM_COMPILED"
"""The environment variable that switches them off, where it is `0`."""


class CompiledFinder(MetaPathFinder):
    """Finds compiled modules, before Python looks for their sources.

    Args:
        folder: The folder of the extension modules, each with the full name of its module.
        names: The modules that are compiled.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._files = {name: str(folder / f"{name}{SUFFIX}") for name in (*names, *LIBRARIES)}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the interface's
        target: ModuleType | None = None,  # noqa: ARG002 - the interface's
    ) -> ModuleSpec | None:
        """The module's spec where it is one of those; see `importlib.abc.MetaPathFinder`."""
        file = self._files.get(fullname)
        if file is None:
            return None
        return spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, file))


def source_of(name: str) -> Path:
    """The source file of a module of an installed package. Raises `ModuleNotFoundError` where there is no such package."""
    package, _, rest = name.partition(".")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return Path(spec.submodule_search_locations[0], *rest.split(".")).with_suffix(".py")


def digest_of(names: Sequence[str]) -> str:
    """A digest of the sources of modules. Raises `OSError` or `ModuleNotFoundError` where one is missing."""
    digest = hashlib.sha256()
    for name in names:
        source = source_of(name).read_bytes()
        digest.update(f"{name} {len(source)}\n".encode())
        digest.update(source)
    return digest.hexdigest()


def write_manifest(folder: Path, names: Sequence[str], digest: str) -> None:
    """Says of a folder which modules are in it, and what their sources were."""
    (folder / _MANIFEST).write_text("\n".join((digest, *names)) + "\n")


def compiled_names(folder: Path = FOLDER) -> tuple[str, ...]:
    """The modules of the folder, if their sources are those that were compiled, for this interpreter; else none."""
    try:
        digest, *names = (folder / _MANIFEST).read_text().splitlines()
        is_whole = all((folder / f"{name}{SUFFIX}").exists() for name in LIBRARIES)
        is_current = is_whole and digest_of(names) == digest
    except (OSError, ValueError, ModuleNotFoundError):
        return ()
    return tuple(names) if is_current else ()


def use_compiled() -> bool:
    """Lets Python import compiled modules, where there are some that may be used; says whether it does."""
    if os.environ.get(SWITCH) == "0":
        return False
    names = compiled_names()
    if not names:
        return False
    finder = CompiledFinder(FOLDER, names)
    sys.meta_path.insert(0, finder)
    try:
        for library in LIBRARIES:
            import_module(library)
    except ImportError as error:  # made on another system: one with another C library, perhaps
        sys.meta_path.remove(finder)
        warnings.warn(f"Compiled modules are not used: {error}", RuntimeWarning, stacklevel=2)
        return False
    return True
