"""JSON texts that are nearly right: for what reads them from strangers."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_NUMBERS = (0, -1, 2**53 + 1, -(10**25), 1e308, 5e-324, float("nan"), float("inf"), 2**61 - 1)
_TEXTS = (
    "",
    "0",
    "true",
    "object",
    "array",
    "{{a.b}}",
    "{{",
    "}}",
    "\ud800",
    "\U0001f600",
    "\0",
    "__proto__",
    "x" * 300,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from(_NUMBERS) | st.sampled_from(_TEXTS) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_TEXTS) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
"""JSON values, odd ones among them."""

_TOKENS = st.sampled_from(
    (
        *(
            '"',
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\\",
            "\\u0000",
            "\\ud800",
            "\ufeff",
            "\0",
            "1e999",
            "-",
            "00",
            "NaN",
            "9" * 400,
        ),
        *(" ", "\n", "\t", "null", "true", "é", '"a":1,', '{"a":', "[" * 300, '{"":' * 300),
    )
)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value in which some parts are replaced, left out, or put in the place of others."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(0, 4))):
        places = list(_places(value))
        if not places:
            break
        container, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["replace", "remove", "copy", "wrap"])):
            case "replace":
                container[key] = draw(VALUES)
            case "remove":
                del container[key]
            case "copy":
                other, other_key = places[draw(st.integers(0, len(places) - 1))]
                container[key] = copy.deepcopy(other[other_key])
            case _:
                container[key] = [container[key]]
    return value


@st.composite
def broken(draw: st.DrawFn, text: str) -> str:
    """A text in which some pieces are left out, and some tokens put in."""
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(text)))
        end = begin + draw(st.sampled_from([0, 0, 1, 2, 10]))
        text = text[:begin] + draw(_TOKENS | st.just("")) + text[end:]
    return text


def dumps(value: Any) -> str:
    """The JSON text of a value, with whatever it holds."""
    return json.dumps(value, ensure_ascii=False)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places in a value, outer ones first: containers with their keys."""
    waiting = [value] if isinstance(value, dict | list) else []
    while waiting:
        container = waiting.pop()
        keys = container.keys() if isinstance(container, dict) else range(len(container))
        for key in [*keys]:
            yield container, key
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
