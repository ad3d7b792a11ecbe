"""Comparison of arrays in conditions: by their content, however deep."""

from typing import Any

from flowgram_core.modeling import javascript
from flowgram_core.modeling.meter import PART, Meter


def deep_equal(left: Any, right: Any, meter: Meter) -> bool:
    """Whether two JSON values are equal: `1` and `1.0` are, `1` and `true` are not, and members have no order.

    Each pair of parts that is compared is counted as work.
    """
    pending = [(left, right)]
    while pending:
        left, right = pending.pop()
        meter.spend(PART)
        if left is right:
            continue
        if isinstance(left, list):
            if not isinstance(right, list) or len(left) != len(right):
                return False
            meter.spend(PART * len(left))
            pending += zip(left, right, strict=True)
        elif isinstance(left, dict):
            if not isinstance(right, dict) or len(left) != len(right):
                return False
            meter.spend(PART * len(left))
            for name, member in left.items():
                if name not in right:
                    return False
                pending.append((member, right[name]))
        else:
            meter.spend(javascript.compared_bytes(left))
            if isinstance(right, list | dict) or not javascript.strict_equals(left, right):
                return False
    return True


def contains_all(left: Any, right: Any, meter: Meter) -> bool:
    """Whether every element of the right array is in the left one, compared by content. What is no array contains nothing."""
    if not isinstance(left, list) or not isinstance(right, list):
        return False
    return all(_contains(left, item, meter) for item in right)


def _contains(array: list[Any], item: Any, meter: Meter) -> bool:
    if not isinstance(item, list | dict):
        return javascript.includes(array, item, meter)
    return any(deep_equal(element, item, meter) for element in array)
