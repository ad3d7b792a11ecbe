"""The rules of JavaScript that show through in FlowGram."""

import itertools
import math
import random
import struct
from typing import Any

import pytest
from support.node import evaluate, requires_node

from flowgram_core.modeling import javascript
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.values import UNDEFINED

NUMBERS: list[tuple[float, str]] = [
    (0, "0"),
    (-0.0, "0"),
    (1, "1"),
    (1.0, "1"),
    (-5.0, "-5"),
    (1.5, "1.5"),
    (-1.5, "-1.5"),
    (0.1 + 0.2, "0.30000000000000004"),
    (100.0, "100"),
    (123456789.0, "123456789"),
    (0.000001, "0.000001"),
    (0.00000123, "0.00000123"),
    (0.0000001, "1e-7"),
    (1.5e-7, "1.5e-7"),
    (-1.234e-9, "-1.234e-9"),
    (5e-324, "5e-324"),
    (1e15, "1000000000000000"),
    (1e16, "10000000000000000"),
    (1.2345678901234566e17, "123456789012345660"),
    (1e20, "100000000000000000000"),
    (1.5e20, "150000000000000000000"),
    (1e21, "1e+21"),
    (1.5e21, "1.5e+21"),
    (-1e21, "-1e+21"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (9007199254740992.0, "9007199254740992"),
    (math.nan, "NaN"),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
]


@pytest.mark.parametrize(("number", "expected"), NUMBERS)
def test_numbers_print_as_in_javascript(number: float, expected: str) -> None:
    """Shortest digits; plain up to 1e21 and down to 1e-6; -0 is 0."""
    assert javascript.number_to_string(number) == expected


def test_integers_print_in_full() -> None:
    """An int keeps all its digits, where JavaScript rounds those beyond 2**53."""
    assert javascript.number_to_string(2**53 + 1) == "9007199254740993"
    assert javascript.number_to_string(-(10**30)) == f"-1{'0' * 30}"


@requires_node
def test_random_doubles_print_as_in_javascript() -> None:
    """Thousands of doubles, of all sizes and with few and many digits, print as node prints them."""
    chance = random.Random(7)  # noqa: S311 - not for secrets
    numbers: list[float] = [struct.unpack("<d", chance.randbytes(8))[0] for _ in range(3000)]
    numbers += [round(chance.uniform(-1e3, 1e3), chance.randint(0, 8)) for _ in range(2000)]
    numbers += [float(chance.randint(1, 99) * 10**exponent) for exponent in range(25) for _ in range(20)]
    numbers += [chance.randint(1, 999) / 10**exponent for exponent in range(15) for _ in range(20)]
    numbers = [number for number in numbers if math.isfinite(number)]
    assert [javascript.number_to_string(number) for number in numbers] == evaluate("String", numbers)


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 1.5,
    "", " ", "0", "1", "-1.5", "1e3", ".5", "5.", ".", "1_0", "+1", "--1", "\n 12 \u00a0", "\u0663",
    "0x10", "0X1f", "0x", "-0x10", "0b11", "0o17", "0x1_0", "0x\u0661",
    "Infinity", "-Infinity", "+Infinity", "++Infinity", "infinity", "nan", "inf", "NaN",
    "a", "B", "b", "\u00e9", "\U0001f600", "\uffee", "true", "null",
    [], [5], ["5"], [1, 2], [None, [1, "x"]], {}, {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1.0, "1"),
        ([], ""),
        ([1, None, [2, "x"], {}], "1,,2,x,[object Object]"),
        ({"a": 1}, "[object Object]"),
        (UNDEFINED, "undefined"),
    ],
)
def test_texts_of_values(value: Any, expected: str) -> None:
    """What `String(value)` prints."""
    assert javascript.to_string(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "string"),
        (True, "boolean"),
        (1, "number"),
        (1.5, "number"),
        (None, "object"),
        ([], "object"),
        ({}, "object"),
        (UNDEFINED, "undefined"),
    ],
)
def test_typeof(value: Any, expected: str) -> None:
    """What the `typeof` operator answers."""
    assert javascript.typeof(value) == expected


@pytest.mark.parametrize("value", [None, UNDEFINED, False, 0, -0.0, math.nan, ""])
def test_what_counts_as_false(value: Any) -> None:
    """Null, undefined, false, zero, NaN and the empty text."""
    assert not javascript.truthy(value)


@pytest.mark.parametrize("value", [True, 1, -1, 0.1, "0", " ", [], {}])
def test_what_counts_as_true(value: Any) -> None:
    """All else, empty arrays and objects included."""
    assert javascript.truthy(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 0),
        (True, 1),
        (False, 0),
        ("", 0),
        (" \n", 0),
        (" 12 ", 12),
        ("1e3", 1000),
        (".5", 0.5),
        ("5.", 5),
        ("0x10", 16),
        ("0b11", 3),
        ("0o17", 15),
        ("-Infinity", -math.inf),
        ([], 0),
        ([5], 5),
        (["7"], 7),
    ],
)
def test_numbers_of_values(value: Any, expected: float) -> None:
    """What `Number(value)` reads."""
    assert javascript.to_number(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "nan",
        "inf",
        "1_0",
        "0x",
        "0x1_0",
        "0x\u0661",
        "-0x1",
        "\u0663",
        "++Infinity",
        ".",
        [1, 2],
        {},
        UNDEFINED,
    ],
)
def test_what_is_no_number(value: Any) -> None:
    """Everything else is NaN, also what Python's float() and int() would take."""
    assert math.isnan(javascript.to_number(value))


def shown(number: float) -> float | str:
    return number if math.isfinite(number) else javascript.number_to_string(number)


@requires_node
def test_conversions_are_those_of_javascript() -> None:
    """String(), Number(), Boolean() and typeof of every value of the table agree with node."""
    assert [javascript.to_string(value) for value in VALUES] == evaluate("String", VALUES)
    assert [shown(javascript.to_number(value)) for value in VALUES] == evaluate("Number", VALUES)
    assert [javascript.truthy(value) for value in VALUES] == evaluate("Boolean", VALUES)
    assert [javascript.typeof(value) for value in VALUES] == evaluate("(value) => typeof value", VALUES)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), ("a", "a"), (True, True), (None, None), (UNDEFINED, UNDEFINED), (0, -0.0)],
)
def test_strictly_equal(left: Any, right: Any) -> None:
    """Numbers by value, texts by their characters, null and booleans with themselves."""
    assert javascript.strict_equals(left, right)
    assert javascript.strict_equals(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        (1, "1"),
        (None, UNDEFINED),
        (None, 0),
        (None, False),
        ("", False),
        ([], []),
        ({}, {}),
        ([1], 1),
        (math.nan, math.nan),
    ],
)
def test_not_strictly_equal(left: Any, right: Any) -> None:
    """Values of different types are never equal, and two objects or arrays only if they are the same one."""
    assert not javascript.strict_equals(left, right)
    assert not javascript.strict_equals(right, left)


def test_an_object_equals_itself() -> None:
    """Identity, as in JavaScript."""
    value = {"a": [1]}
    assert javascript.strict_equals(value, value)
    assert javascript.strict_equals(value["a"], value["a"])


def test_includes_compares_strictly() -> None:
    """An array includes what strictly equals one of its elements."""
    assert javascript.includes([0, "1", None], None, Meter())
    assert javascript.includes([1.0], 1, Meter())
    assert not javascript.includes([0, "1"], 1, Meter())
    assert not javascript.includes([True], 1, Meter())
    assert not javascript.includes([[1]], [1], Meter())
    assert not javascript.includes([], UNDEFINED, Meter())


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 2, True),
        (2, 1, False),
        (1, 1, False),
        (None, 1, True),
        (None, 0, False),
        (False, True, True),
        ("1", 2, True),
        ("10", 9, False),
        ("10", "9", True),
        ("a", 1, None),
        (1, "a", None),
        (UNDEFINED, 1, None),
        ({}, 1, None),
        ([2], 10, True),
        ("a", "b", True),
        ("B", "a", True),
        ("", "a", True),
        ("a", "ab", True),
        # By UTF-16 code units, an emoji comes before U+FFEE, though its code point is higher.
        ("\U0001f600", "\uffee", True),
        ("\ud800", "\uffee", True),
        (2**53 + 1, 2.0**53, False),
        (2**53, 2**53 + 1, True),
    ],
)
def test_less_than(left: Any, right: Any, expected: bool | None) -> None:
    """Texts by UTF-16 code units, all else as numbers; None where one of them is not a number."""
    assert javascript.less_than(left, right) is expected


@requires_node
def test_comparisons_are_those_of_javascript() -> None:
    """`<`, and `===` of all but objects, agree with node for every pair of the table."""
    pairs = [list(pair) for pair in itertools.product(VALUES, VALUES)]
    smaller = evaluate("([left, right]) => left < right", pairs)
    assert [javascript.less_than(left, right) is True for left, right in pairs] == smaller
    comparable = evaluate("([left, right]) => left < right || left >= right", pairs)
    assert [javascript.less_than(left, right) is not None for left, right in pairs] == comparable
    equal = evaluate("([left, right]) => left === right", pairs)
    # Equal tables in Python may hold one object twice, which JSON does not carry over.
    plain = [index for index, (left, _) in enumerate(pairs) if not isinstance(left, dict | list)]
    assert [javascript.strict_equals(*pairs[index]) for index in plain] == [equal[index] for index in plain]


@pytest.mark.parametrize(
    ("text", "length"), [("", 0), ("abc", 3), ("é", 1), ("\U0001f600", 2), ("\ud800a", 2)]
)
def test_the_length_of_texts(text: str, length: int) -> None:
    """In UTF-16 code units."""
    assert javascript.utf16_length(text, Meter()) == length


TREE = {
    "a": {"b": [{"c": 1}, [10, 20]], "": "empty key", "null": None, "1": "one", "true": "yes", "1.5": "half"},
    "text": "h\U0001f600i",
    "ascii": "abc",
    "number": 5,
    "none": None,
    "length": "own",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (["a", "b", "0", "c"], 1),
        (["a", "b", 0, "c"], 1),
        (["a", "b", 0.0, "c"], 1),
        (["a", "b", "1", "1"], 20),
        (["a", "b", "length"], 2),
        (["a", ""], "empty key"),
        (["a", 1], "one"),
        (["a", 1.0], "one"),
        (["a", 1.5], "half"),
        (["a", True], "yes"),
        (["a", None], None),
        (["none"], None),
        (["length"], "own"),
        (["ascii", "1"], "b"),
        (["ascii", "length"], 3),
        (["text", "length"], 4),
        (["text", "0"], "h"),
        (["text", "1"], "\ud83d"),
        (["text", "3"], "i"),
        (["text", "0", "0"], "h"),
        ([], TREE),
    ],
)
def test_what_a_path_finds(path: list[Any], expected: Any) -> None:
    """Objects by key, arrays and texts by index and `length`; a found null is null."""
    assert javascript.get_path(TREE, path, Meter()) == expected


@pytest.mark.parametrize(
    "path",
    [
        ["x"],
        ["a", "x"],
        ["a", "length"],
        ["none", "x"],
        ["number", "x"],
        ["number", "length"],
        ["a", "b", "2"],
        ["a", "b", "-1"],
        ["a", "b", -1],
        ["a", "b", 0.5],
        ["a", "b", "00"],
        ["a", "b", " 0"],
        ["a", "b", "\u0660"],
        ["a", "b", True],
        ["a", "b", "x"],
        ["a", "b", "push"],
        ["a", "b", "99999999999999999999"],
        ["ascii", "3"],
        ["ascii", "toUpperCase"],
        ["text", "4"],
        ["x", "y", "z"],
    ],
)
def test_what_a_path_does_not_find(path: list[Any]) -> None:
    """Indexes in any but their usual form, members of what is no object, and JavaScript's methods are not found."""
    assert javascript.get_path(TREE, path, Meter()) is UNDEFINED


def test_a_path_into_nothing() -> None:
    """Null and undefined have no members."""
    assert javascript.get_path(None, ["a"], Meter()) is UNDEFINED
    assert javascript.get_path(UNDEFINED, ["a"], Meter()) is UNDEFINED


def test_keys_that_are_array_indexes_come_first() -> None:
    """In the order of their size, in every object within a value; other keys stay as they came."""
    value = {"b": 1, "10": [{"x": 1, "0": 2}], "2": None, "a": 3, "02": 4, "-1": 5, "4294967295": 6}
    ordered = javascript.in_property_order(value)
    assert ordered == value
    assert list(ordered) == ["2", "10", "b", "a", "02", "-1", "4294967295"]
    assert list(ordered["10"][0]) == ["0", "x"]
