"""A matcher of secret texts: finds many of them at once in small pieces of text, such as the deltas of a model."""

import re
from collections.abc import Mapping
from typing import Final

_HEAD: Final = 32
"""Characters by which the beginning of a text is recognized before all of it is compared."""


class SecretTexts(dict[str, str]):
    """Secret texts, and what is shown instead of each.

    Args:
        shown: By text; none of them is empty.
    """

    def __init__(self, shown: Mapping[str, str] | None = None) -> None:
        super().__init__(shown or {})
        # All at once: to look for each by itself would cost every piece as much as there are secrets in all their forms.
        self._any = re.compile("|".join(map(re.escape, self))) if self else None
        self._heads = frozenset(
            text[:length] for text in self for length in range(1, min(len(text), _HEAD + 1))
        )
        self._longest = max(map(len, self), default=1) - 1

    def any_in(self, text: str) -> bool:
        """Whether one of them is in a text."""
        return self._any is not None and self._any.search(text) is not None

    def beginning(self, text: str) -> int:
        """How many characters at the end of a text are the beginning of one of them."""
        size = len(text)
        for start in range(max(0, size - self._longest), size):
            if text[start : start + _HEAD] in self._heads:
                left = text[start:]
                if len(left) <= _HEAD or any(each.startswith(left) for each in self):
                    return size - start
        return 0
