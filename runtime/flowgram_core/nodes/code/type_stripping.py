"""Strips the types from a TypeScript script: what is left is JavaScript, with everything at the line where it was.

What TypeScript adds to JavaScript without changing how it runs is replaced by spaces, as Node.js does it with its
`--experimental-strip-types`. What needs code of its own (enums, namespaces, parameter properties) is refused. The script is
parsed by tree-sitter.
"""

import importlib
import importlib.machinery
import importlib.util

TYPE_CHECKING = False  # the module `typing` takes longer to import than all that this process needs
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tree_sitter import Node

_STATEMENTS = frozenset(
    {
        "ambient_declaration",
        "function_signature",
        "interface_declaration",
        "type_alias_declaration",
        # In the body of a class.
        "abstract_method_signature",
        "index_signature",
        "method_signature",
    }
)
"""What is left out as a whole, where a statement, or a member of a class, may stand."""

_TYPES = frozenset(
    {
        "accessibility_modifier",
        "asserts_annotation",
        "implements_clause",
        "override_modifier",
        "type_annotation",
        "type_arguments",
        "type_parameters",
        "type_predicate_annotation",
    }
)
"""What is left out wherever it stands."""

_TOKENS = {
    "abstract": frozenset({"abstract_class_declaration"}),
    "declare": frozenset({"public_field_definition"}),
    "readonly": frozenset({"optional_parameter", "public_field_definition", "required_parameter"}),
    "!": frozenset({"non_null_expression", "public_field_definition", "variable_declarator"}),
    "?": frozenset({"method_definition", "optional_parameter", "public_field_definition"}),
}
"""Words that are left out, by what they stand in."""

_REFUSED = {
    "enum_declaration": "enums are not supported: use an object",
    "import_alias": "import aliases are not supported",
    "import_require_clause": "import = require is not supported",
    "internal_module": "namespaces are not supported",
    "module": "modules are not supported",
}

_CALLS = frozenset({"call_expression", "member_expression", "subscript_expression"})
"""What cannot follow a type: tree-sitter sees them where a new line begins a new statement."""


class Refused(Exception):
    """The script cannot be made JavaScript. The text is for users."""

    def __init__(self, problem: str, position: "tuple[int, int]") -> None:
        row, column = position
        super().__init__(f"{problem} (line {row + 1}, column {column + 1})")


def load_parser(directory: str) -> "Callable[[bytes], Node]":
    """What parses a script to the root of its syntax tree.

    Args:
        directory: Where the packages `tree_sitter` and `tree_sitter_typescript` are.
    """
    tree_sitter = importlib.import_module("tree_sitter")
    # The package around this module imports much for files that are not needed.
    spec = importlib.machinery.PathFinder.find_spec("_binding", [f"{directory}/tree_sitter_typescript"])
    if spec is None or spec.loader is None:
        raise ImportError("tree_sitter_typescript")
    grammar = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grammar)
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language_typescript()))
    return lambda script: parser.parse(script).root_node


def strip_types(parse: "Callable[[bytes], Node]", script: str) -> str:
    """Gives the script as JavaScript. Raises `Refused`."""
    source = script.encode("utf-8", "surrogatepass")
    root = parse(source)
    if root.has_error:
        raise Refused("syntax error", _find_error(root))
    text = _Text(source)
    for node in _walk(root):
        _strip(node, text)
    return text.join()


class _Text:
    """A script in which parts become spaces."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._changes: list[tuple[int, int, str]] = []

    def blank(self, start: int, end: int, *, first: str = "", last: str = "") -> None:
        """Replaces bytes by spaces, but for the ends of lines; `first` and `last` take the place of a space."""
        blank = "".join(
            c if c in "\r\n\u2028\u2029" else " "
            for c in self._source[start:end].decode("utf-8", "surrogatepass")
        )
        if first:
            blank = first + blank[1:]
        if last:
            blank = blank[:-1] + last
        self._changes.append((start, end, blank))

    def join(self) -> str:
        parts: list[str] = []
        position = 0
        for start, end, text in sorted(self._changes, key=lambda change: (change[0], -change[1])):
            if start < position:
                continue  # within what is left out already
            parts += self._source[position:start].decode("utf-8", "surrogatepass"), text
            position = end
        parts.append(self._source[position:].decode("utf-8", "surrogatepass"))
        return "".join(parts)


def _walk(root: "Node") -> "Iterator[Node]":
    """All nodes, from the outside to the inside. Without recursion: scripts may nest deep."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children)


def _find_error(root: "Node") -> "tuple[int, int]":
    """Where the script is no TypeScript: the line and the column, from 0."""
    wrong = (node for node in _walk(root) if node.is_error or node.is_missing)
    first = min(wrong, key=lambda node: node.start_byte, default=root)
    if first.start_point.row < first.end_point.row and first.children:
        # The parser has taken much for wrong that may be right, up to what is wrong.
        return first.children[-1].end_point
    return first.start_point


def _strip(node: "Node", text: _Text) -> None:
    kind, parent = node.type, node.parent
    if kind in _REFUSED and (parent is None or parent.type != "ambient_declaration"):
        raise Refused(_REFUSED[kind], node.start_point)
    if kind == "[" and parent is not None and parent.type in {"array_type", "lookup_type"}:
        _check_line(node)
    elif kind in _STATEMENTS or _is_for_types(node):
        # The semicolon keeps the lines before and after it apart.
        text.blank(node.start_byte, node.end_byte, first=";")
    elif kind in _TYPES:
        _strip_type(node, text)
    elif kind in {"as_expression", "satisfies_expression"}:
        _strip_after(node, text)
    elif parent is not None and parent.type in _TOKENS.get(kind, ()):
        _strip_token(node, parent, text)
    elif kind == "required_parameter" and node.children and node.children[0].type == "this":
        _strip_this(node, text)


def _check_line(bracket: "Node") -> None:
    """In TypeScript, a bracket on a new line ends the type; tree-sitter goes on with it, and more would be left out."""
    before = bracket.prev_sibling
    if before is not None and before.end_point.row < bracket.start_point.row:
        raise Refused("a semicolon is missing before this bracket", bracket.start_point)


def _is_for_types(node: "Node") -> bool:
    """Whether a statement imports or exports types only, or a field is only declared."""
    kinds = [child.type for child in node.children]
    if node.type in {"import_statement", "export_statement"}:
        return kinds[1:2] == ["type"] or any(kind in _STATEMENTS for kind in kinds)
    return node.type == "public_field_definition" and ("declare" in kinds or "abstract" in kinds)


def _strip_type(node: "Node", text: _Text) -> None:
    parent = node.parent
    if node.type == "accessibility_modifier" and parent is not None and parent.type.endswith("_parameter"):
        raise Refused("parameter properties are not supported", node.start_point)
    start, end = node.start_byte, node.end_byte
    before = node.prev_sibling
    if (
        parent is not None
        and parent.type == "arrow_function"
        and before is not None
        and before.type == "formal_parameters"
    ):
        # No line may end between the parameters and the arrow.
        text.blank(before.end_byte - 1, end, last=")")
        return
    text.blank(start, end)


def _strip_after(node: "Node", text: _Text) -> None:
    """What follows an expression: `as T`, `satisfies T`."""
    expression = node.children[0]
    parent = node.parent
    ends_statement = parent is not None and parent.type in _CALLS and parent.children[0] == node
    text.blank(expression.end_byte, node.end_byte, last=";" if ends_statement else "")


def _strip_token(node: "Node", parent: "Node", text: _Text) -> None:
    if node.type == "readonly" and parent.type.endswith("_parameter"):
        raise Refused("parameter properties are not supported", node.start_point)
    text.blank(node.start_byte, node.end_byte)


def _strip_this(node: "Node", text: _Text) -> None:
    """The parameter `this` says a type only."""
    after = node.next_sibling
    text.blank(node.start_byte, after.end_byte if after is not None and after.type == "," else node.end_byte)
