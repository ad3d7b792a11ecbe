"""Types are stripped from TypeScript: what is left, where it stands, and what is refused."""

from pathlib import Path

import pytest
import tree_sitter_typescript
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.nodes.code.type_stripping import Refused, load_parser, strip_types

PARSE = load_parser(str(Path(tree_sitter_typescript.__file__).parent.parent))


def strip(script: str) -> str:
    """What is left, without the spaces that took the place of types."""
    stripped = strip_types(PARSE, script)
    assert [len(line) for line in stripped.split("\n")] == [len(line) for line in script.split("\n")]
    return " ".join(stripped.split())


@pytest.mark.parametrize(
    ("script", "left"),
    [
        ("let a: number = 1", "let a = 1"),
        ("let a!: number", "let a"),
        ("const f = (x: A, y?: B, ...z: C[]): D => x", "const f = (x , y , ...z ) => x"),
        ("const f = <T,>(x: T) => x", "const f = (x ) => x"),
        ("function f<T extends object>(this: T, a: T): a is T {}", "function f ( a ) {}"),
        ("function f(a: any): asserts a {}", "function f(a ) {}"),
        ("async function main({params}: {params: P}): Promise<R> {}", "async function main({params} ) {}"),
        ("new Map<string, Set<number>>(); f<A>(x)", "new Map (); f (x)"),
        (
            "const m = x as unknown as T, n = <any>x, o = x!, p = {} satisfies T",
            "const m = x , n = x, o = x , p = {}",
        ),
        ("`${x as string}`", "`${x }`"),
        ("for (const a of b as C[]) {}", "for (const a of b ) {}"),
        ("try {} catch (e: unknown) {}", "try {} catch (e ) {}"),
        ("interface A { b: string }\nf()", "; f()"),
        ("type A = B | C\nf()", "; f()"),
        ("declare const a: string\ndeclare function g(): void\ndeclare enum E {}\nf()", "; ; ; f()"),
        ("function f(a: string): void\nfunction f(a: any) {}", "; function f(a ) {}"),
        (
            "import type { A } from 'a'\nexport type { A }\nexport type B = A\nexport interface C {}\nf()",
            "; ; ; ; f()",
        ),
        (
            "abstract class A<T> extends B<T> implements C, D { private readonly a: T = 1; static b?: T; c!: T }",
            "class A extends B { a = 1; static b ; c }",
        ),
        ("class A { declare a: B; [k: string]: any; abstract f(): void; g(a: B): C\ng(a) {} }", None),
        ("class A { override f(): void {} public async g?() {} get h(): B { return 1 } }", None),
        ("a ? b : c; ({ a: b }); x < y > z; a!==b; label: for (;;) {}", None),
    ],
)
def test_types_become_spaces(script: str, left: str | None) -> None:
    """Everything else stays where it was."""
    stripped = strip(script)
    if left is not None:
        assert stripped == left
    elif "class" in script:
        assert "B" not in stripped
        assert "abstract" not in stripped
    else:
        assert stripped == " ".join(script.split())


@pytest.mark.parametrize(
    "script",
    [
        "const a = 1\nlet b = 'é😀' + /* : x */ a // : y",
        "const f = async ({params}) => ({...params, a: [1, 2].map(x => x * 2)})",
        "class A { #a = 1; static { this.b = 2 } get c() { return `${this.#a}` } }",
        "label: for (const [k, v] of Object.entries({})) { if (k?.length > 1) continue label; else break }",
        "",
    ],
)
def test_javascript_stays_as_it_is(script: str) -> None:
    """Nothing in it is a type."""
    assert strip_types(PARSE, script) == script


def test_lines_that_types_kept_apart_stay_apart() -> None:
    """Where a type ends a statement, or stands for one, no new call comes about."""
    assert strip("const a = b as C\n(d)") == "const a = b ; (d)"
    assert strip("type A = B\n[c].map(d)") == "; [c].map(d)"
    assert strip("let a = b\ntype C = D\n(e)") == "let a = b ; (e)"


def test_no_line_ends_before_an_arrow() -> None:
    """JavaScript allows none there, while the return type may stand on lines of its own."""
    script = "const f = (a: number):\n  number => a"
    assert strip_types(PARSE, script) == "const f = (a          \n       ) => a"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("f()\n  enum A { B }", "enums are not supported: use an object (line 2, column 3)"),
        ("namespace A { f() }", "namespaces are not supported (line 1, column 1)"),
        ("import a = require('a')", "import = require is not supported (line 1, column 8)"),
        (
            "class A { constructor(private a: string) {} }",
            "parameter properties are not supported (line 1, column 23)",
        ),
        (
            "class A { constructor(readonly a: string) {} }",
            "parameter properties are not supported (line 1, column 23)",
        ),
        ("a = b as C\n[d]", "a semicolon is missing before this bracket (line 2, column 1)"),
        ("let a: number = ;\nf(", "syntax error (line 1, column 15)"),
        ("function main() {\n  return 1 +\n", "syntax error (line 2, column 13)"),
    ],
)
def test_what_is_no_javascript_with_types_is_refused(script: str, problem: str) -> None:
    """With the place in the user's script."""
    with pytest.raises(Refused) as caught:
        strip_types(PARSE, script)
    assert str(caught.value) == problem


def test_deep_scripts_are_stripped() -> None:
    """Without recursion."""
    script = "const a = " + "(" * 5000 + "1 as number" + ")" * 5000
    assert strip(script) == "const a = " + "(" * 5000 + "1 " + ")" * 5000


PIECES = st.lists(
    st.sampled_from(
        (
            *("let a: B = 1", "type A = {b: C}", "f(x as T)", "/* : */", "'as string'", "`${a!}`"),
            *(
                "const g = <T>(x?: T): T => x",
                "class A { b?: C; d(): E {} }",
                "// x: y",
                "interface I { a(): b }",
            ),
            *("if (a) {}", "é: for (;;) {}"),
        )
    ),
    max_size=12,
)


@given(PIECES, st.sampled_from([";\n", ";\r\n"]))
def test_stripping_once_is_enough(pieces: list[str], end: str) -> None:
    """What is left is TypeScript without types, with every line as long as it was."""
    script = end.join(pieces)
    stripped = strip_types(PARSE, script)
    assert [len(line) for line in stripped.split("\n")] == [len(line) for line in script.split("\n")]
    assert strip_types(PARSE, stripped) == stripped
