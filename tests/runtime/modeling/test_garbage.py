import gc
import json
import weakref

from flowgram_core.modeling import json_text
from flowgram_core.modeling.garbage import LARGE, forget


class Item:
    """Something that others can see go."""


def test_the_collector_looks_at_a_list_no_more() -> None:
    """Nor does it look after it has grown; it is freed when its last reference goes, with what is in it."""
    item = Item()
    gone = weakref.ref(item)
    values: list[object] = [item, {"a": [1]}]
    forget(values)
    values += [[index] for index in range(10_000)]
    assert not gc.is_tracked(values)
    gc.collect()
    assert values[1] == {"a": [1]}
    del item, values
    assert gone() is None


def test_long_arrays_of_json_are_not_looked_at() -> None:
    """Short ones are, which costs nothing; what is in them is the same."""
    value = {"long": [[number] for number in range(300_000)], "short": [[1]] * LARGE}
    read = json_text.loads(json.dumps(value))
    assert read == value
    assert isinstance(read, dict)
    assert not gc.is_tracked(read["long"])
    assert gc.is_tracked(read["short"])
