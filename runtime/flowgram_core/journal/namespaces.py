"""Namespaces: whose a task is. The tasks of one namespace cannot be reached from another."""

import re
from typing import Final

DEFAULT_NAMESPACE: Final = "default"
"""The namespace of tasks where nobody names one, and of those that are older than namespaces."""

MAX_NAMESPACE: Final = 64

_NAME: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_NAMESPACE}}}")


def check_namespace(name: str) -> str:
    """The name of a namespace, as it is.

    Raises:
        ValueError: It is none; the text is for people.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"must be 1 to {MAX_NAMESPACE} letters, digits, `-`, `_` and `.`")
    return name
