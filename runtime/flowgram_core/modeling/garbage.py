"""Keeping large JSON values from the garbage collector, which looks at each of their items while everything else waits.

They contain no cycles, so reference counts free them. A list of millions of items is looked at twice in its youth otherwise, and by
each full collection: a tenth of a second each time, if the items lie apart in memory.
"""

import ctypes
import sys
from typing import Any, Final

LARGE: Final = 4096
"""Items; fewer are looked at in no time."""

_untrack = ctypes.pythonapi.PyObject_GC_UnTrack if sys.implementation.name == "cpython" else None
if _untrack is not None:
    _untrack.argtypes = [ctypes.py_object]
    _untrack.restype = None


def forget(values: list[Any]) -> None:
    """Lets the collector look at a list no more. What is in the list is looked at as ever; the list itself must be in no cycle."""
    if _untrack is not None:
        _untrack(values)
