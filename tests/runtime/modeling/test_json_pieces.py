"""Reading and writing JSON in pieces: the same as at once, whatever the text; and bounded in memory."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.modeling import json_pieces, json_text
from flowgram_core.modeling.errors import JSONTextError, JSONTooLarge, JSONTooManyMembers, NumberOutOfRange

SCALARS = st.sampled_from(
    [
        1,
        -2.5,
        None,
        True,
        'a"b\\',
        "x]{,",
        "",
        "\ud800",
        12345678901234567890123,
        "é\n",
        1e300,
        1e21,
        1e-7,
        3.0,
        "x" * 60,
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text('abé"\\,:[]{}', max_size=3), inner),
    max_leaves=60,
).filter(lambda value: isinstance(value, list | dict))


def read_piece(piece: str, depth: int) -> Any:
    return json_text.loads(piece, max_depth=depth)


def in_pieces(text: str, *, max_memory: int | None = None, max_depth: int = 200) -> Any:
    return json_pieces.loads_in_pieces(text, read_piece, max_depth, max_memory)


def outcome(read: Any, text: str) -> Any:
    """The value, or the word that there is none: exceptions differ in their words."""
    try:
        return read(text)
    except JSONTextError:
        return "no JSON"


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_texts_are_read_as_at_once(value: Any, indent: int | None, ascii_only: bool) -> None:
    """Of every form."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert outcome(in_pieces, text) == outcome(json_text.loads, text)


@given(
    VALUES,
    st.integers(0, 500),
    st.sampled_from(["", ",", "]", "}", "{", "[", '"', "1", "x", ":"]),
    st.booleans(),
)
def test_broken_texts_are_none_in_pieces_as_well(value: Any, place: int, put: str, replaces: bool) -> None:
    """With a character more, less, or another, anywhere."""
    text = json.dumps(value)
    place %= len(text)
    broken = text[:place] + put + text[place + replaces :]
    assert outcome(in_pieces, broken) == outcome(json_text.loads, broken)


@pytest.mark.parametrize(
    "text",
    [
        "[" + ",".join(["{}"] * 100_000) + "]",
        "[" + ",".join(['{"a": [1, {"b": "c"}]}'] * 20_000) + "]",
        "{" + ",".join(f'"k{index}":[]' for index in range(50_000)) + "}",
        "[" + ",".join(["[" * 150 + "]" * 150] * 300) + "]",
        "[" + ",".join(map(str, range(200_000))) + "]",
        '["' + "a" * 1_000_000 + '"]',
    ],
    ids=["empty objects", "rows", "members", "deep", "numbers", "a text"],
)
def test_large_texts(text: str) -> None:
    """Longer than a piece; and refused as soon as they take more memory than they may."""
    expected = json.loads(text)
    assert in_pieces(text) == expected
    assert json_text.loads(text) == expected
    bound = json_text.memory_bound(text)
    assert json_text.loads(text, max_memory=bound) == expected
    with pytest.raises(JSONTooLarge, match="more than 50000 bytes of memory"):
        json_text.loads(text, max_memory=50_000)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('[{"a": [[]]},\n [1,]]', JSONTextError, "line 2, column 5"),
        ("[[], [1e999]]", NumberOutOfRange, "line 1, column 7"),
        ("[[[]]", JSONTextError, "line 1, column 6"),
        ("[[1]] x", JSONTextError, "Extra data"),
        ('{"a": {"b": []}]', JSONTextError, "Expecting ',' delimiter"),
    ],
)
def test_errors_have_their_position(text: str, error: type[JSONTextError], words: str) -> None:
    """That of the whole text, not of a piece."""
    with pytest.raises(error, match=words):
        in_pieces(text)


def test_the_depth_counts_from_the_outermost_value() -> None:
    """Also within a piece."""
    assert in_pieces("[[[1]]]", max_depth=3) == [[[1]]]
    with pytest.raises(JSONTextError, match="Nested too deeply"):
        in_pieces("[[[1]]]", max_depth=2)


@given(st.lists(VALUES, max_size=4))
def test_values_are_written_as_at_once(values: list[Any]) -> None:
    """Byte for byte: a replay compares what one thread wrote with what another did."""
    large = [value for value in values for _ in range(3)] + [
        values,
        "x" * 70_000,
        {"a": ["y" * 70_000, values]},
    ]
    expected = json_text.encode(large)
    with json_text.writing_in_pieces():
        assert json_text.encode(large) == expected
    assert json_text.encode(large) == expected


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "é" * 70_000, '"\\\n' * 50_000, "\U0001f600" * 70_000, "1e5.0" * 40_000]
)
@pytest.mark.parametrize("extra", ["", "\ud83d", "\x00"])
def test_a_long_text_is_written_in_pieces_as_at_once(text: str, extra: str) -> None:
    """Whatever stands where it is cut."""
    for value in ({"a": text + extra, "b": [extra + text, 1.0]}, [text + extra + text]):
        at_once = json_text.encode(value)
        with json_text.writing_in_pieces():
            assert json_text.encode(value) == at_once


@pytest.mark.parametrize("place", [0, 511 * 1024, 512 * 1024 - 9, 512 * 1024 - 1, 512 * 1024, 700_000])
def test_numbers_at_any_place_of_a_long_text_are_exact(place: int) -> None:
    """Long integers, and floats that JavaScript prints differently, are found wherever they are."""
    written = json_text.dumps(["a" * place, 1e-7, 3.0, 2**70, "b" * 600_000])
    assert f',1e-7,3,{2**70},"b' in written
    assert json_text.loads(written) == ["a" * place, 1e-7, 3, 2**70, "b" * 600_000]
    assert json_text.dumps(["a" * place, 1e-7, 3.0]).endswith(",1e-7,3]")


WINDOW = 64 * 1024


@pytest.mark.parametrize(
    "escape", ['\\"', "\\\\", "\\ud83d\\ude00", "\\u00e9", "\\ud83d", "\\n", "\\\\ud83d", "\U0001f600"]
)
@pytest.mark.parametrize(
    "before", [WINDOW - 14, WINDOW - 7, WINDOW - 6, WINDOW - 5, WINDOW - 2, WINDOW - 1, WINDOW]
)
def test_a_long_string_is_cut_where_nothing_is_lost(escape: str, before: int) -> None:
    """Escapes, and the pairs of them that stand for one character, stay whole wherever they are."""
    text = json.dumps(["", {"b": 1}])[:2] + "a" * before + escape * 30_000 + 'z", {"b": 1}]'
    assert in_pieces(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"' + "n" * 200_000 + '": "v", "b": 2}',
        '{"' + '\\"' * 100_000 + '"' + " " * 100_000 + ":" + "\n" * 100_000 + '[1, "x"]}',
        "[" + " " * 200_000 + "]",
        "[1" + " " * 100_000 + "," + " " * 100_000 + "[2" + " " * 100_000 + "]" + " " * 100_000 + "]" + " " * 100_000,
        '[{"a":' + "\t" * 100_000 + '{}}, "' + "s" * 100_000 + '"' + " " * 1000 + "]",
        "[" + "0" + "." + "1" * 60_000 + ", " + "1" * 309 + "]",
        " " * 100_000 + '"' + "é" * 100_000 + '"' + " " * 100_000,
        '["' + "a" * 5000 + '", "' + "\\n" * 5000 + '", "' + "b" * 100_000 + '"]',
    ],
    ids=["a name", "a name of escapes", "blanks", "blanks everywhere", "blanks in an object", "digits", "no container", "strings"],
)  # fmt: skip
def test_what_is_longer_than_a_piece(text: str) -> None:
    """Is read by itself, whatever it is."""
    assert in_pieces(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('["' + "a" * 200_000, JSONTextError, "Unterminated string starting at .line 1, column 2"),
        ('["' + "\\\\" * 200_000 + "\\", JSONTextError, "Unterminated string"),
        ('["' + "a" * 100_000 + '\n"]', JSONTextError, "column 100003"),
        ('["' + "a" * 100_000 + '" 1]', JSONTextError, "Expecting ',' delimiter"),
        ('["' + "a" * 100_000 + '",]', JSONTextError, "trailing comma"),
        ('["x",' + " " * 100_000 + "]", JSONTextError, "trailing comma"),
        ('{"' + "a" * 100_000 + '" 1}', JSONTextError, "Expecting ':' delimiter"),
        ("{" + " " * 100_000 + "1}", JSONTextError, "Expecting a name"),
        ("[" + "1" * 60_000 + "]", NumberOutOfRange, "column 2"),
        ("[" + "1" * 70_000 + "]", JSONTextError, "more than 65536 characters"),
        ("[" + "z" * 10_000 + "]", JSONTextError, "column 2"),
        ('"' + "a" * 100_000 + '"' + " " * 100_000 + "x", JSONTextError, "Extra data"),
    ],
)  # fmt: skip
def test_errors_in_what_is_longer_than_a_piece(text: str, error: type[JSONTextError], words: str) -> None:
    """Have their position, too."""
    with pytest.raises(error, match=words):
        in_pieces(text)


def test_a_long_string_counts_as_it_is_read() -> None:
    """A text takes four bytes for each character as soon as one is beyond the BMP."""
    with pytest.raises(JSONTooLarge):
        in_pieces('["' + "a" * 100_000 + '\U0001f600"]', max_memory=300_000)
    assert in_pieces('["' + "a" * 100_000 + '"]', max_memory=300_000)


@given(st.text(alphabet='ab"\\é\U0001f600\ud83d\n', max_size=40), st.integers(1, 4))
def test_long_strings_are_read_as_at_once(text: str, ends: int) -> None:
    """Of whatever characters, and escapes."""
    value = ["x" * 4090 + text * (9000 // (len(text) + 1)) + "y" * ends, text]
    for ascii_only in (True, False):
        written = json.dumps(value, ensure_ascii=ascii_only)
        assert outcome(in_pieces, written) == outcome(json_text.loads, written)


@pytest.mark.parametrize("offset", range(14))
@pytest.mark.parametrize("text", ["\U0001f600", "\\\U0001f600", '"\\ud83d'])
def test_no_pair_of_escapes_is_cut_in_two(text: str, offset: int) -> None:
    """Wherever the part of a long string ends: both escapes are of one part."""
    written = json.dumps(["a" * offset + text * 15_000])
    assert in_pieces(written) == json.loads(written)


@pytest.mark.parametrize("size", [1_048_570, 1_048_575, 1_048_576, 1_048_577, 2_100_000])
def test_long_bytes_are_decoded_in_pieces(size: int) -> None:
    """A character may be cut in two, and an error has its position."""
    value = ["a" * size + "é\U0001f600", "\u4e2d" * 400_000]
    assert json_text.loads(json.dumps(value, ensure_ascii=False).encode()) == value
    with pytest.raises(JSONTextError, match=f"not valid UTF-8 .line 2, column {size + 4}"):
        json_text.loads(b'\n["' + b"a" * size + "é".encode() + b'\xff"]')


def test_a_long_text_is_counted_in_pieces() -> None:
    """The bound of its memory is that of the whole."""
    small, times = '{"a":["b",1]},', 200_000
    assert json_text.memory_bound(small * times) >= json_text.memory_bound(small) * times * 0.99
    assert json_text.memory_bound("é" + "a" * 2_000_000) >= 8_000_000


def members(count: int) -> str:
    return ",".join(f'"{number}":1' for number in range(count))


@pytest.mark.parametrize(
    "text",
    [
        f"{{{members(101)}}}",
        f'{{"a":{{{members(101)}}}}}',
        f'[[{{{members(100)},"long":"{"a" * 10_000}"}}]]',
        "{" + ",".join(f'"{number}":[[]]' for number in range(101)) + "}",
        f'{{"long":"{"a" * 10_000}",{members(100)}}}',
    ],
    ids=["flat", "nested", "long at the end", "containers", "long first"],
)
def test_an_object_has_no_more_members_than_it_may(text: str) -> None:
    """However it is reached; the same text is read where there is no such bound, or a higher one."""
    with pytest.raises(JSONTooManyMembers, match="an object has more than 100 members"):
        json_pieces.loads_in_pieces(text, read_piece, 200, None, 100)
    assert json_pieces.loads_in_pieces(text, read_piece, 200, None, 101) == json.loads(text)
    assert json_pieces.loads_in_pieces(text, read_piece, 200, None) == json.loads(text)


def test_members_of_one_name_count_once() -> None:
    """The last one is the member."""
    text = f"{{{members(100)},{members(100)}}}"
    assert json_pieces.loads_in_pieces(text, read_piece, 200, None, 100) == json.loads(text)


def test_long_objects_are_bounded_where_nothing_else_is_said() -> None:
    """An object of the most members is read."""
    most = json_text.MAX_MEMBERS
    assert len(json_text.loads(f"{{{members(most)}}}")) == most  # type: ignore[arg-type]  # it is an object
    with pytest.raises(JSONTooManyMembers, match=f"more than {most} members"):
        json_text.loads(f"{{{members(most + 1)}}}")
    assert len(json_text.loads(f"{{{members(most + 1)}}}", max_members=None)) == most + 1  # type: ignore[arg-type]  # as above
