"""Errors of modeling: of texts, schemas and bindings.

ModelingError
├── JSONTextError      a text is not JSON, or is JSON that cannot be represented (also a ValueError)
│   ├── NumberOutOfRange   it has a number that is too large
│   └── JSONTooLarge       it would take more memory than it may
├── SchemaInvalid      a workflow schema breaks the rules; carries all problems
├── BindingError       a value binding is invalid; raised when a node uses it
└── WorkLimitExceeded  something takes more work than it may

A `Problem` is no exception: it is one of the findings that `SchemaInvalid` carries.
"""

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong with a schema or inputs.

    Attributes:
        path: Where, from `schema` or `inputs` on: `schema.nodes[2].blocks[0].id`.
        text: What, in FlowGram's own words where it has some.
    """

    path: str
    text: str


class ModelingError(Exception):
    """Base of all errors of modeling."""


class JSONTextError(ModelingError, ValueError):
    """A text is not JSON, or is JSON that cannot be represented. The text of the error names the position.

    Attributes:
        reason: What is wrong, without the position.
        position: Line and column, both from 1; the column in characters.
    """

    def __init__(self, reason: str, position: tuple[int, int]) -> None:
        super().__init__(f"{reason} (line {position[0]}, column {position[1]})")
        self.reason = reason
        self.position = position


class NumberOutOfRange(JSONTextError):
    """A JSON text has a number that is too large: JSON has no bound, but every reader has one."""

    def __init__(self, position: tuple[int, int]) -> None:
        super().__init__("a number is larger than 1.7976931348623157e308, the largest that is read", position)


class JSONTooLarge(JSONTextError):
    """A JSON text would take more memory than it may, read as far as to a position."""

    def __init__(self, limit: int, position: tuple[int, int]) -> None:
        super().__init__(f"more than {limit} bytes of memory for its arrays, objects and texts", position)


class JSONTooManyMembers(JSONTooLarge):
    """A JSON text has an object of more members than one may have."""

    def __init__(self, limit: int, position: tuple[int, int]) -> None:
        JSONTextError.__init__(self, f"an object has more than {limit} members", position)


class SchemaInvalid(ModelingError):
    """A workflow schema breaks the rules.

    Attributes:
        problems: All that is wrong, in order; never empty.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(problem.text for problem in problems))
        self.problems = problems


class BindingError(ModelingError):
    """A value binding is invalid. The text is shown as the error of the node that uses it."""


class WorkLimitExceeded(ModelingError):
    """Something takes more work than it may. The text, for users, names the limit."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{what} takes more work than the limit max_node_work = {limit}")
