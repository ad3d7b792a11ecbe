"""The commands that start worker processes.

Python starts with nothing but its standard library (`-I -S`), and is given the directories of this package and of the one
library that the process needs.
"""

import importlib.util
import math
import sys
from pathlib import Path

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.node_settings import CodeSettings


def quickjs_command(settings: CodeSettings) -> tuple[str, ...]:
    """What starts a process for scripts. Raises `NodeError` where their engine is missing."""
    arguments = (
        settings.heap_bytes,
        settings.stack_bytes,
        _cpu_seconds(settings),
        settings.max_result_bytes,
        settings.process_bytes,
    )
    return _command("quickjs_worker", _directory("_quickjs", "quickjs-ng"), *arguments)


def typescript_command(settings: CodeSettings) -> tuple[str, ...]:
    """What starts a process that strips types. Raises `NodeError` where the parser is missing."""
    directory = _directory("tree_sitter_typescript", "tree-sitter-typescript")
    _directory("tree_sitter", "tree-sitter")
    return _command("typescript_worker", directory, directory, _cpu_seconds(settings), settings.process_bytes)


def _cpu_seconds(settings: CodeSettings) -> int:
    """A process that the server could not kill ends itself; a second more, so that the server comes first."""
    return math.ceil(settings.time_limit) + 1


def _directory(module: str, distribution: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise NodeError(f"Code execution failed: the package {distribution} is not installed on the server")
    path = Path(spec.origin).parent
    return str(path.parent if spec.submodule_search_locations else path)


def _command(worker: str, directory: str, *arguments: object) -> tuple[str, ...]:
    own = str(Path(__file__).parents[__name__.count(".")])  # from which this package is imported
    program = (
        f"import sys; sys.path += {[own, directory]!r}; "
        f"from flowgram_core.nodes.code.{worker} import main; main(sys.argv[1:])"
    )
    return sys.executable, "-I", "-S", "-c", program, *map(str, arguments)
