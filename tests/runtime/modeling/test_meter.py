"""The meter: work is counted from the values alone, and stopped at the limit, at the allowance, or by a checkpoint."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.modeling import javascript
from flowgram_core.modeling.errors import WorkLimitExceeded
from flowgram_core.modeling.meter import STRIDE, Meter, WorkSuspended
from flowgram_core.modeling.sizes import memory_of, size_of

EMOJI = "\U0001f600"

HEAVY: dict[str, Callable[[Meter], Any]] = {
    "length of a text beyond the BMP": lambda meter: javascript.get_path(EMOJI * 3_000, ["length"], meter),
    "index of a text beyond the BMP": lambda meter: javascript.get_path(EMOJI * 3_000, [5_999], meter),
    "text in a text": lambda meter: javascript.contains("a" * 10_000, "a" * 100 + "b", meter),
    "number in an array": lambda meter: javascript.includes(list(range(2_000)), -1, meter),
    "null in an array": lambda meter: javascript.includes(list(range(2_000)), None, meter),
    "long text in an array": lambda meter: javascript.includes(["a" * 2_000] * 100, "a" * 1_999 + "b", meter),
    "size": lambda meter: size_of([[]] * 1_000, 10**6, meter),
    "memory": lambda meter: memory_of([[[]] * 1_000], 10**6, meter),
}


@pytest.mark.parametrize("work", HEAVY.values(), ids=HEAVY)
def test_large_values_take_more_work_than_a_small_limit(work: Callable[[Meter], Any]) -> None:
    """The same for the same values, in a run that is limited, suspended, or free."""
    free, again = Meter(), Meter()
    assert work(free) == work(again)
    assert free.used == again.used > 5_000
    with pytest.raises(
        WorkLimitExceeded, match="Node run takes more work than the limit max_node_work = 5000"
    ):
        work(Meter(5_000))
    inline = Meter()
    inline.begin(5_000)
    with pytest.raises(WorkSuspended):
        work(inline)
    work(Meter(free.used))


def test_a_checkpoint_is_called_at_every_stride() -> None:
    """Instead of a suspension; and it can stop the run."""
    calls = itertools.count()
    meter = Meter()
    meter.begin(10, lambda: next(calls) and None)
    for _ in range(10):
        meter.spend(STRIDE + 1)
    assert next(calls) == 10

    def stop() -> None:
        raise WorkSuspended

    meter.begin(10, stop)
    with pytest.raises(WorkSuspended):
        meter.spend(STRIDE + 1)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-3, 3).map(round)
    | st.sampled_from(["", "a", "1"])
)


@given(st.lists(SCALARS, max_size=10), SCALARS)
def test_long_arrays_are_searched_as_short_ones(items: list[Any], item: Any) -> None:
    """Behind a thousand elements that are never found, each is found as before."""
    long = [["never"]] * 1_000 + items
    assert javascript.includes(long, item, Meter()) == any(
        javascript.strict_equals(element, item) for element in items
    )


@given(st.text("ab" + EMOJI, max_size=20), st.text("ab" + EMOJI, max_size=4))
def test_a_text_is_found_wherever_it_is(text: str, part: str) -> None:
    """Also across the windows of a long text."""
    assert javascript.contains(text, part, Meter()) == (part in text)
    window = 128 * 1024
    assert javascript.contains("c" * (window - 1) + "dd" + "c", "dd", Meter())


def test_shared_parts_take_their_memory_once() -> None:
    """A value that was put into itself again and again takes no more than what is new."""
    value: list[Any] = ["a" * 2_000]
    once = memory_of([value], 10**9, Meter())
    for _ in range(60):
        value = [value, value]
    assert memory_of([value, value], 10**9, Meter()) < once + 60 * 200


@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.booleans()
    | st.none()
    | st.text(max_size=2)
)
def test_identities_are_equal_as_values_are(value: Any) -> None:
    """For a value and its neighbours in all types."""
    others: list[Any] = [
        0,
        1,
        1.0,
        0.0,
        -0.0,
        True,
        False,
        None,
        "1",
        "",
        2**61 - 1,
        float(2**60),
        2**60,
        value,
    ]
    for other in others:
        assert (javascript.identity(value) == javascript.identity(other)) == javascript.strict_equals(
            value, other
        )


def test_numbers_do_not_collide() -> None:
    """Multiples of 2**61 - 1 have one hash in Python; as keys here they have many."""
    keys = [javascript.identity(number * (2**61 - 1)) for number in range(1_000)]
    assert len({hash(key) for key in keys}) > 900
