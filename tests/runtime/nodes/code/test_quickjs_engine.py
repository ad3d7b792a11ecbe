"""Scripts in the engine itself, one after the other in one process."""

import json

import pytest

from flowgram_core.nodes.code.quickjs_engine import BytecodeCache, Engine
from flowgram_core.nodes.node_settings import CodeSettings


@pytest.fixture(scope="module")
def engine() -> Engine:
    settings = CodeSettings()
    return Engine(settings.heap_bytes, settings.stack_bytes)


def run(engine: Engine, script: str, params: object = None) -> bytes:
    context = engine.prepare()
    try:
        return context.run(json.dumps(script).encode(), json.dumps(params or {}).encode())
    finally:
        context.close()


@pytest.mark.parametrize(
    "script",
    [
        "async function main({ params }) { return { twice: params.x * 2 }; }",
        "function main() { return new Error('made') }",
        "const made = new Error('at the top');\nfunction main() { return made.stack }",
        "function main() { return main.toString() }",
        "function main() { throw new TypeError('thrown') }",
        "function main() { return nothing }",
        "function main() {\n  return 1 +;\n}",
        "function main() { throw null }",
        "const x = 1",
        "throw new SyntaxError('not the engine')",
        "async function main() { await new Promise(() => {}) }",
        "function main() { return /* \ud800 \U0001f600 */ ['\ud800', '\U0001f600', 'é\\u0000'] }",
        "/* \x00 */ function main() { return 'after\x00zero' }",
    ],
)
def test_a_script_that_is_run_again_gives_the_same(engine: Engine, script: str) -> None:
    """Also what shows where in its text something happened: bytecode that was kept has its source and its lines."""
    first = run(engine, script, {"x": 21})
    assert [run(engine, script, {"x": 21}) for _ in range(2)] == [first, first]


def test_stacks_name_the_lines_of_a_script_that_is_kept(engine: Engine) -> None:
    """The first time, and each time after that."""
    script = "function main() {\n  return new Error('x').stack\n}"
    for _ in range(2):
        answer = run(engine, script)
        assert json.loads(answer[1:]).splitlines()[0] == "    at main (<input>:2:14)"


@pytest.mark.parametrize(
    "change",
    [
        "globalThis.seen = 1",
        "Object.prototype.seen = 1",
        "Array.prototype.seen = 1",
        "Promise.prototype.then.seen = 1",
        "main.seen = 1",
        "JSON.seen = 1",
        "Symbol.for('x').description.seen = 1",
        "RegExp('x').test('x'); RegExp.seen = 1",
        "(function* () {}).prototype.__proto__.seen = 1",
        "Object.getPrototypeOf(async () => 0).seen = 1",
        "Error.stackTraceLimit = 0; Error.prepareStackTrace = () => 'mine'",
    ],
)
def test_nothing_of_a_run_is_there_in_the_next(engine: Engine, change: str) -> None:
    """Neither globals nor built-ins, nor the functions of the same script."""
    script = f"""
      const has = [
        globalThis, {{}}, [], Promise.prototype.then, JSON, RegExp, (function* () {{}}).prototype.__proto__,
        Object.getPrototypeOf(async () => 0),
      ].map(item => 'seen' in item);
      function main() {{
        const found = [...has, 'seen' in main, Error.stackTraceLimit, String(Error.prepareStackTrace), new Error('x').stack];
        try {{ {change} }} catch {{}}
        return found;
      }}
    """
    first = run(engine, script)
    assert first.startswith(b"=[false,false,false,false,false,false,false,false,false,")
    assert [run(engine, script) for _ in range(2)] == [first, first]


def test_what_a_run_left_to_do_is_dropped(engine: Engine) -> None:
    """Microtasks that are pending when main's promise has settled, and callbacks of objects that are collected, never run."""
    leave = """
      const registry = new FinalizationRegistry(() => { throw new Error('late') });
      function main() {
        registry.register({}, 1);
        Promise.resolve().then(() => Promise.resolve()).then(() => { throw new Error('late') });
        return 1;
      }
    """
    for _ in range(3):
        assert run(engine, leave) == b"=1"
        assert (
            run(engine, "async function main() { for (let i = 0; i < 100; i++) await i; return 2 }") == b"=2"
        )


def test_a_heap_that_is_too_small_for_anything() -> None:
    """It is an answer, for each script."""
    engine = Engine(1024, CodeSettings().stack_bytes)
    assert [run(engine, "function main() { return 1 }") for _ in range(2)] == [b'!"out of memory"'] * 2


@pytest.mark.parametrize("kilobytes", [160, 200, 250, 300, 400, 600])
def test_a_heap_that_ends_anywhere(kilobytes: int) -> None:
    """Wherever the engine runs out of memory around a script, it says so, or gives the result."""
    engine = Engine(kilobytes * 1024, CodeSettings().stack_bytes)
    script = "function main({params}) { return params.text }" + "//" + "x" * 50_000
    text = "y" * 60_000
    for _ in range(3):
        assert run(engine, script, {"text": text}) in {b'!"out of memory"', b'="' + text.encode() + b'"'}


def test_bytecode_is_kept_within_a_limit() -> None:
    """What was used last is kept."""
    cache = BytecodeCache(max_bytes=30)
    for name in (b"a", b"b", b"c"):
        cache.add(name, b"." * 8)
    assert cache.get(b"a") == b"." * 8
    cache.add(b"d", b"." * 8)
    assert [name for name in (b"a", b"b", b"c", b"d") if cache.get(name)] == [b"a", b"c", b"d"]
    cache.add(b"e", b"." * 100)
    assert not any(map(cache.get, (b"a", b"c", b"d", b"e")))


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("async function main() { for (let i = 0; i < 300; i++) await i; return { i: 1 } }", b'={"i":1}'),
        ("async function main() { await 1; throw new Error('late') }", b'!"late"'),
        ("async function main() { await 1; return new Map() }", b"={}"),
        ("function main() { return new (class extends Promise {})(done => done(1)) }", b"=1"),
        ("function main() { return Object.create(Promise.prototype) }", b'!"Promise object expected"'),
        ("function main() { return new Proxy(Promise.resolve(1), {}) }", b'!"Promise object expected"'),
        ("const main = () => ({ then: done => done(1) })", b"={}"),
        ("async function main() { return { then: done => done(1) } }", b"=1"),
        ("function main() { Promise.prototype.then = () => 1; return Promise.resolve(2) }", b"=2"),
        (
            "async function main() { Promise.resolve().then(() => { throw 1 }); await 1; await 1; return 3 }",
            b"=3",
        ),
        (
            "function main() { return new Promise(() => {}) }",
            b'!"the promise returned by main never settles"',
        ),
    ],
)
def test_promises_are_waited_for(engine: Engine, script: str, answer: bytes) -> None:
    """Those of the engine; what only looks like one is none."""
    assert [run(engine, script) for _ in range(2)] == [answer, answer]
