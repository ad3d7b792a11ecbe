"""How the same value is printed and held on both sides: numbers, rounded integers, and what templates make of objects."""

import json
import re
from typing import Any


def equal(theirs: Any, mine: Any) -> bool:
    """Whether two JSON values are the same, as JavaScript sees numbers."""
    if isinstance(theirs, bool) or isinstance(mine, bool):
        return theirs is mine
    if isinstance(theirs, int | float) and isinstance(mine, int | float):
        return theirs == mine
    if isinstance(theirs, dict) and isinstance(mine, dict):
        return theirs.keys() == mine.keys() and all(equal(value, mine[key]) for key, value in theirs.items())
    if isinstance(theirs, list) and isinstance(mine, list):
        return len(theirs) == len(mine) and all(map(equal, theirs, mine))
    return type(theirs) is type(mine) and bool(theirs == mine)


def rounded(value: Any) -> Any:
    """The value as JavaScript would hold it: integers as doubles, also those within texts."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return float(value) if abs(value) > 2**53 else value
    if isinstance(value, str):
        return re.sub(r"\d{16,}", lambda match: digits(float(match[0])), value)
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value


def digits(number: float) -> str:
    mantissa, _, exponent = repr(number).partition("e")
    if number >= 1e21:
        return f"{mantissa.removesuffix('.0')}e{exponent}"
    digits = mantissa.replace(".", "").removesuffix("0") if exponent else mantissa.removesuffix(".0")
    return digits.ljust(int(exponent) + 1, "0") if exponent else digits


def templates(data: Any) -> list[str]:
    """The texts of all templates in a node's data."""
    if isinstance(data, dict):
        own = (
            [data["content"]]
            if data.get("type") == "template" and isinstance(data.get("content"), str)
            else []
        )
        return own + [text for value in data.values() for text in templates(value)]
    return [text for value in data for text in templates(value)] if isinstance(data, list) else []


def sources_of(data: Any) -> set[str]:
    """The ids of all nodes that a node's data refer to."""
    found = {
        part.strip().split(".")[0]
        for text in templates(data)
        for part in re.findall(r"\{\{([^}]+)\}\}", text)
    }
    if isinstance(data, dict):
        if data.get("type") == "ref" and isinstance(data.get("content"), list) and data["content"]:
            found.add(str(data["content"][0]))
        return found.union(*map(sources_of, data.values()))
    return found.union(*map(sources_of, data)) if isinstance(data, list) else found


def printed_otherwise(theirs: str, mine: str) -> bool:
    """Whether one text becomes the other where objects and arrays in it, or nothing at all, are printed JavaScript's way."""
    decoder = json.JSONDecoder()
    seen = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        i, j = waiting.pop()
        if i == len(mine) and j == len(theirs):
            return True
        following = []
        if i < len(mine) and j < len(theirs) and mine[i] == theirs[j]:
            following.append((i + 1, j + 1))
        if theirs.startswith("undefined", j):
            following.append((i, j + len("undefined")))
        if mine[i : i + 1] in {"[", "{"}:
            try:
                value, end = decoder.raw_decode(mine, i)
            except ValueError:
                pass
            else:
                printed = _javascript_text(value)
                if theirs.startswith(printed, j):
                    following.append((end, j + len(printed)))
        for state in following:
            if state not in seen:
                seen.add(state)
                waiting.append(state)
    return False


def _javascript_text(value: Any, *, nested: bool = False) -> str:
    if value is None:
        return "" if nested else "null"
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, list):
        return ",".join(_javascript_text(item, nested=True) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return re.sub(r"e([+-])0+", r"e\1", str(value))
