"""Simple types: a quick look at values whose declaration asks for nothing but a text, a boolean or a number, as most do."""

from typing import Any, Final, TypeAlias

NARROWING: Final = frozenset({"$ref", "enum", "additionalProperties"})
"""Members of a declaration that say more of a value than its type."""

CLASSES: Final = {
    "string": frozenset({str}),
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
}
"""By declared type, classes of JSON values all of which are of that type; a float may be an integer, too."""

_FEW: Final = 32

SimpleTypes: TypeAlias = dict[str, frozenset[type]]
"""By the name of an input, the classes that its value may have."""


def simple_types(declared: Any) -> SimpleTypes | None:
    """The types of the inputs of a declaration that asks for a few simple values, as most do; None for any other declaration.

    Inputs that `have_types` of it have no problems; others may have some.
    """
    if not isinstance(declared, dict) or declared.get("type") != "object":
        return None
    properties, required = declared.get("properties"), declared.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return None
    if len(properties) > _FEW or len(required) > _FEW:
        return None
    if not all(isinstance(name, str) and name in properties for name in required):
        return None
    types: dict[str, frozenset[type]] = {}
    for name, of_property in properties.items():
        declared_type = of_property.get("type") if isinstance(of_property, dict) else None
        classes = CLASSES.get(declared_type) if isinstance(declared_type, str) else None
        if classes is None or not NARROWING.isdisjoint(of_property):
            return None
        types[name] = classes
    return types if NARROWING.isdisjoint(declared) else None


def have_types(inputs: dict[str, Any], types: SimpleTypes) -> bool:
    """Whether there is a value of the right type for each name."""
    for name, classes in types.items():  # noqa: SIM110 - a generator would take twice as long, for every task
        if type(inputs.get(name)) not in classes:
            return False
    return True


def is_plain_object(value: Any, types: SimpleTypes) -> bool:
    """Whether a value is an object with a member of the right type for each name."""
    if type(value) is not dict:
        return False
    for name, classes in types.items():
        member = value.get(name)
        if type(member) not in classes or member != member:  # noqa: PLR0124 - NaN
            return False
    return True
