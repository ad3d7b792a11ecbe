"""JSON text: the one module that others use to read and write it.

Reading is strict, as `JSON.parse` is, and exact: integers of any size stay integers. Writing follows `JSON.stringify`.
"""

from flowgram_core.modeling.errors import JSONTextError
from flowgram_core.modeling.json_exact_writing import to_well_formed
from flowgram_core.modeling.json_piecewise_writing import writing_in_pieces
from flowgram_core.modeling.json_reading import loads, memory_bound
from flowgram_core.modeling.json_values import MAX_DEPTH, MAX_MEMBERS, JSONObject, JSONValue
from flowgram_core.modeling.json_writing import dumps, encode

__all__ = [
    "MAX_DEPTH",
    "MAX_MEMBERS",
    "JSONObject",
    "JSONTextError",
    "JSONValue",
    "dumps",
    "encode",
    "loads",
    "memory_bound",
    "to_well_formed",
    "writing_in_pieces",
]
