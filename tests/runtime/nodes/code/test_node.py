"""code: what scripts may do, what their results become, and how they fail."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.loops import CountingThreads
from support.node_calls import FakeContext, prepare

from flowgram_core.concurrency.offload import LARGE
from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.code.node import CodeNode
from flowgram_core.nodes.node_settings import CodeSettings

SHORT = 0.3
"""A time limit for scripts that would run for ever."""

PROC = Path("/proc")


@pytest.fixture
async def node() -> AsyncIterator[CodeNode]:
    async with CodeNode(CodeSettings(workers=1, time_limit=30)) as code_node:
        yield code_node


def script(content: str, language: str = "javascript") -> dict[str, Any]:
    return {"script": {"language": language, "content": content}}


async def run(node: CodeNode, content: str, **params: Any) -> dict[str, Any]:
    return await node.execute(prepare(node, script(content), params), FakeContext())


async def failure(node: CodeNode, content: str, **params: Any) -> str:
    with pytest.raises(NodeError) as caught:
        await run(node, content, **params)
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("return {a: 1, b: 'x'}", {"a": 1, "b": "x"}),
        ("return 5", {"result": 5}),
        ("return 'text'", {"result": "text"}),
        ("return true", {"result": True}),
        ("return null", {"result": None}),
        ("return [1, [2]]", {"result": [1, [2]]}),
        ("", {}),
        ("return undefined", {}),
        ("return {a: undefined, b: {c: undefined}, d: [undefined]}", {"b": {}, "d": [None]}),
        ("return {f() {}, g: () => 1, h: [() => 1]}", {"h": [None]}),
        ("return () => 1", {"result": "() => 1"}),
        ("return Symbol('s')", {}),
        ("return {s: Symbol('s'), [Symbol('k')]: 1, b: 2}", {"b": 2}),
        ("return {n: NaN, i: Infinity, z: -0, f: 0.1 + 0.2}", {"n": None, "i": None, "z": 0, "f": 0.1 + 0.2}),
        ("return 2n ** 70n", {"result": 2**70}),
        ("return {big: -12345678901234567890n}", {"big": -12345678901234567890}),
        ("return new Date(0)", {"result": "1970-01-01T00:00:00.000Z"}),
        ("return {d: new Date(0)}", {"d": "1970-01-01T00:00:00.000Z"}),
        ("return {m: new Map([[1, 2]]), s: new Set([1])}", {"m": {}, "s": {}}),
        ("return new Uint8Array([1, 2])", {"0": 1, "1": 2}),
        ("const a = {}; a.a = a; return a", {"result": "[object Object]"}),
        ("return {get a() { throw new Error('g') }}", {"result": "[object Object]"}),
        ("return {toJSON() { return 7 }}", {"result": 7}),
        ("return {2: 'b', 1: 'a', z: 0, y: 0}", {"1": "a", "2": "b", "z": 0, "y": 0}),
        (r"return '\ud800\u0000\u{1f600}'", {"result": "\ud800\0\U0001f600"}),
    ],
)
async def test_an_object_gives_the_outputs_and_anything_else_the_result(
    node: CodeNode, body: str, outputs: dict[str, Any]
) -> None:
    """Results follow JSON.stringify; big integers are exact, and what it refuses counts as its text."""
    result = await run(node, f"function main() {{ {body} }}")
    assert result == outputs
    assert list(result) == list(outputs)


async def test_an_error_as_result_shows_its_parts(node: CodeNode) -> None:
    """JSON hides an error's properties; the outputs have them."""
    outputs = await run(node, "function main() { return new TypeError('x') }")
    assert (outputs["name"], outputs["message"]) == ("TypeError", "x")
    assert "main" in outputs["stack"]


async def test_params_are_the_inputs(node: CodeNode) -> None:
    """Main gets the node's inputs, with nothing lost but the digits beyond 2**53."""
    inputs = {"s": 'a"\u2028\ud800', "o": {"__proto__": 1, "n": None}, "l": [1.5, True], "i": 2**53 + 1}
    outputs = await run(
        node, "const main = ({params}) => ({...params, keys: Object.keys(params.o)})", **inputs
    )
    assert outputs == {**inputs, "i": 2**53, "keys": ["__proto__", "n"]}


async def test_large_params_and_results_are_worked_through_in_threads(node: CodeNode) -> None:
    """So that the event loop goes on meanwhile; what is small costs no thread."""
    threads = CountingThreads()
    asyncio.get_running_loop().set_default_executor(threads)
    large, grown = "x" * LARGE, f"'x'.repeat({LARGE})"
    for param, result, works in (("x", "1", 0), (large, "1", 1), ("x", grown, 2), (large, "a", 4)):
        await run(node, f"const main = ({{params: {{a}}}}) => {result}", a=param)
        assert threads.works == works


async def test_many_large_params_come_through(node: CodeNode) -> None:
    """Few of them exist as text at a time; none is lost, and none is cut."""
    contents = [f"{number}" * 100_000 for number in range(10)]
    results = await asyncio.gather(
        *(run(node, "const main = ({params: {a}}) => a.length + a[0]", a=content) for content in contents)
    )
    assert results == [{"result": f"100000{number}"} for number in range(10)]


@pytest.mark.parametrize(
    "content",
    [
        "async function main({params}) { return {a: params.a} }",
        "async function main({params}) { await null; for (let i = 0; i < 9; i++) await i; return {a: params.a} }",
        "let main = async ({params}) => { const a = await Promise.resolve(params.a); return {a} }",
        "function main({params}) { return new Promise(resolve => queueMicrotask(() => resolve({a: params.a}))) }",
        "function main({params}) { queueMicrotask(() => { throw 1 }); return Promise.resolve().then(() => ({a: params.a})) }",
    ],
)
async def test_async_mains_are_awaited(node: CodeNode, content: str) -> None:
    """A promise's value is the result, however many turns it takes."""
    assert await run(node, content, a=1) == {"a": 1}


async def test_a_promise_that_cannot_settle_is_an_error(node: CodeNode) -> None:
    """Nothing outside can settle a script's promise: when there is no job left, it never will."""
    assert (
        await failure(node, "async function main() { await new Promise(() => {}) }")
        == "Code execution failed: the promise returned by main never settles"
    )


@pytest.mark.parametrize(
    "form",
    ["function main() { %s }", "async function main() { %s }", "async function main() { await null; %s }"],
)
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("throw new Error('boom')", "boom"),
        ("throw 'text'", "text"),
        ("throw {message: 'hi', a: 1}", "hi"),
        ("throw {a: 1}", '{"a":1}'),
        ("throw 5", "5"),
        ("throw null", "null"),
        ("throw undefined", "undefined"),
        ("throw Symbol('q')", "Symbol(q)"),
        ("null.x", "cannot read property 'x' of null"),
        ("missing()", "'missing' is not defined"),
        ("x = 1", "'x' is not defined"),
    ],
)
async def test_what_a_script_throws_is_the_message(
    node: CodeNode, form: str, statement: str, message: str
) -> None:
    """Errors by their message, texts as they are, other objects as JSON; sync or async alike."""
    assert await failure(node, form % statement) == f"Code execution failed: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("const x = 1", "main function is required in the script"),
        ("var main = 3", "main function is required in the script"),
        ("throw new Error('top')", "top"),
        ("function main(", "missing formal parameter (at the end of the script)"),
        ("function main() {} /*", "unexpected end of comment (line 1, column 20)"),
        ("return 4", "return not in a function (line 1, column 1)"),
        ("function main() { return main() }", "Maximum call stack size exceeded"),
        ("function main() { const a = []; for (;;) a.push(new Array(10000).fill(1)) }", "out of memory"),
        ("function main() { let s = 'xxxxxxxx'; for (;;) s += s }", "string too long"),
        ("function main() { return new ArrayBuffer(2 ** 40) }", "invalid array buffer length"),
    ],
)
async def test_failures_are_reported(node: CodeNode, content: str, message: str) -> None:
    """A mistake in the script, and limits of the engine, fail the node with a text that says so."""
    assert await failure(node, content) == f"Code execution failed: {message}"


async def test_recursion_is_as_deep_as_in_flowgram(node: CodeNode) -> None:
    """A recursion of 2,500 calls works there, and here."""
    content = "const f = n => n ? 1 + f(n - 1) : 0; function main() { return f(2500) }"
    assert await run(node, content) == {"result": 2500}


async def test_nothing_of_the_outside_is_there(node: CodeNode) -> None:
    """No console, timers, fetch, modules, process, files or precise clock."""
    names = "console setTimeout setInterval fetch require module process os std performance Deno Bun XMLHttpRequest WebAssembly"
    content = (
        f"function main() {{ return {{{','.join(f'{name}: typeof {name}' for name in names.split())}}} }}"
    )
    assert set((await run(node, content)).values()) == {"undefined"}


@pytest.mark.parametrize(
    "module", ["os", "std", "qjs:os", "node:fs", "/etc/passwd", "./code.py", "https://example.com/x.js"]
)
async def test_modules_cannot_be_loaded(node: CodeNode, module: str) -> None:
    """Neither built-in ones nor files nor addresses."""
    message = await failure(node, f"async function main() {{ return await import('{module}') }}")
    assert message == f"Code execution failed: could not load module '{module.removeprefix('./')}'"


async def test_waiting_for_another_thread_is_refused(node: CodeNode) -> None:
    """Atomics.wait would hold the process up without using any CPU."""
    content = "function main() { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) }"
    assert "cannot block" in await failure(node, content)


async def test_scripts_do_not_see_each_other(node: CodeNode) -> None:
    """What a script leaves in the globals is gone for the next one in the same process."""
    await run(
        node, "function main() { globalThis.left = 1; Object.prototype.left = 2; Array.prototype.map = null }"
    )
    pids = node.worker_process_ids
    content = (
        "function main() { return {left: typeof left, own: typeof ({}).left, map: [1].map(x => x + 1)} }"
    )
    assert await run(node, content) == {"left": "undefined", "own": "undefined", "map": [2]}
    assert node.worker_process_ids == pids


async def test_tampering_with_built_ins_does_not_forge_an_outcome(node: CodeNode) -> None:
    """The outcome is read with the built-ins as they were before the script."""
    content = "JSON.stringify = JSON.parse = () => 'x'; Promise.prototype.then = null; String = null; function main() { %s }"
    assert await run(node, content % "return {a: 1}") == {"a": 1}
    assert await failure(node, content % "throw new Error('e')") == "Code execution failed: e"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "Code content is required"),
        ({"script": None}, "Code content is required"),
        (script(""), "Code content is required"),
        (script("print(1)", "python"), 'Unsupported code language "python"'),
        ({"script": {"content": "x"}}, 'Unsupported code language "undefined"'),
        (script(5), "Code content must be a text"),  # type: ignore[arg-type]  # what a schema may hold
    ],
)
async def test_a_script_must_be_there(node: CodeNode, data: dict[str, Any], message: str) -> None:
    """Without a script in a known language the node fails before anything is called."""
    with pytest.raises(NodeError) as caught:
        prepare(node, data)
    assert str(caught.value) == message
    assert node.worker_process_ids == frozenset()


@pytest.mark.parametrize(
    "body",
    [
        "for (;;);",
        "return /(a+)+$/.test('a'.repeat(40) + 'b')",
        "return (async () => { for (;;) await null })()",
        "const spin = () => queueMicrotask(spin); spin(); return new Promise(() => {})",
    ],
)
async def test_endless_work_is_killed_at_the_time_limit(body: str) -> None:
    """The process is killed, whatever the engine is doing, and the next script has another one."""
    async with CodeNode(CodeSettings(workers=1, time_limit=SHORT)) as node:
        assert (
            await failure(node, f"function main() {{ {body} }}")
            == "Code execution failed: it took longer than the limit code.time_limit = 0.3 s"
        )
        assert node.worker_process_ids == frozenset()
    async with CodeNode(CodeSettings(workers=1, time_limit=30)) as node:
        assert await run(node, "function main() { return 1 }") == {"result": 1}


async def test_a_large_result_is_refused() -> None:
    """A result beyond the limit is an error that names it; the process serves on."""
    async with CodeNode(CodeSettings(workers=1, max_result_bytes=1000)) as node:
        exact = "x" * 998
        assert await run(node, "function main() { return 'x'.repeat(998) }") == {"result": exact}
        pids = node.worker_process_ids
        for content in (
            "function main() { return 'x'.repeat(999) }",
            "function main() { return 'x'.repeat(5e6) }",
        ):
            assert (
                await failure(node, content)
                == "Code execution failed: the result is larger than the limit code.max_result_bytes = 1000"
            )
        assert node.worker_process_ids == pids


async def test_a_deep_result_is_refused(node: CodeNode) -> None:
    """JSON that nests too deep is no result."""
    content = "function main() { let a = []; for (let i = 0; i < 5000; i++) a = [a]; return a }"
    assert (await failure(node, content)).startswith("Code execution failed: the result is not usable: ")


async def test_cancelling_kills_the_process_and_harms_no_other_task() -> None:
    """The script of a cancelled call dies at once; its neighbour ends as if nothing had been."""
    async with CodeNode(CodeSettings(workers=2, time_limit=30)) as node:
        both = await asyncio.gather(*(run(node, "function main() { return 1 }") for _ in range(2)))
        assert both == [{"result": 1}, {"result": 1}]
        pids = node.worker_process_ids
        assert len(pids) == 2
        endless = asyncio.create_task(run(node, "function main() { for (;;); }"))
        patient = asyncio.create_task(
            run(node, "async function main() { for (let i = 0; i < 200000; i++) await i; return 'done' }")
        )
        await asyncio.sleep(0)
        before = {pid: cpu_seconds(pid) for pid in pids}
        while any(cpu_seconds(pid) < before[pid] + 0.02 for pid in pids):  # noqa: ASYNC110 - a process does not tell
            await asyncio.sleep(0.001)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless
        assert await patient == {"result": "done"}
        assert len(node.worker_process_ids & pids) == 1
        (killed,) = pids - node.worker_process_ids
        assert not alive(killed)


def cpu_seconds(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


async def test_an_idle_process_that_died_is_replaced_unnoticed(node: CodeNode) -> None:
    """A process killed from outside between two scripts costs the second nothing."""
    await run(node, "function main() {}")
    (pid,) = node.worker_process_ids
    os.kill(pid, signal.SIGKILL)
    assert await run(node, "function main() { return 2 }") == {"result": 2}
    assert pid not in node.worker_process_ids


async def test_a_process_killed_while_it_works_fails_its_script_only() -> None:
    """The script that lost its process fails with a text that says so; the next one runs."""
    async with CodeNode(CodeSettings(workers=1, time_limit=30)) as node:
        endless = asyncio.create_task(run(node, "function main() { for (;;); }"))
        while not node.worker_process_ids:  # noqa: ASYNC110 - a process tells nobody that it was started
            await asyncio.sleep(0)
        (pid,) = node.worker_process_ids
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(NodeError, match=r"^Code execution failed: its process ended unexpectedly$"):
            await endless
        assert await run(node, "function main() { return 1 }") == {"result": 1}


async def test_more_scripts_than_processes_wait_in_order() -> None:
    """One process runs the scripts one after the other, first come first served."""
    async with CodeNode(CodeSettings(workers=1)) as node:
        ended: list[int] = []

        async def one(number: int) -> None:
            assert await run(node, "function main({params}) { return params.n }", n=number) == {
                "result": number
            }
            ended.append(number)

        await asyncio.gather(*(one(number) for number in range(20)))
        assert ended == list(range(20))
        assert len(node.worker_process_ids) == 1


async def test_processes_can_be_replaced_after_so_many_scripts() -> None:
    """With `jobs_per_worker` no process lives long."""
    async with CodeNode(CodeSettings(workers=1, jobs_per_worker=2)) as node:
        seen: list[int] = []
        for _ in range(4):
            await run(node, "function main() {}")
            seen += node.worker_process_ids
        assert len(seen) == len(set(seen)) == 2


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_processes_end_with_the_node_type(node: CodeNode) -> None:
    """None is left."""
    await run(node, "function main() {}")
    (pid,) = node.worker_process_ids
    assert alive(pid)
    await node.__aexit__()
    assert not alive(pid)


TYPED = """\
interface Params { n: number; list?: string[] }

async function main({ params }: { params: Params }): Promise<Record<string, unknown>> {
  const first = params.list![0] as string
  return { n: (params.n as number) + 1, first }
}
"""


@pytest.mark.parametrize("language", ["typescript", "javascript"])
async def test_types_are_stripped(node: CodeNode, language: str) -> None:
    """From TypeScript, and from what is called JavaScript and is TypeScript, as FlowGram's editor saves it."""
    call = prepare(node, script(TYPED, language), {"n": 1, "list": ["a"]})
    for _ in range(2):
        assert await node.execute(call, FakeContext()) == {"n": 2, "first": "a"}


async def test_javascript_is_not_taken_for_typescript(node: CodeNode) -> None:
    """What the engine understands runs as it is, also where TypeScript would see a type."""
    content = "function main() { const f = 1, number = 0; return f < number > (2) }"
    assert await run(node, content) == {"result": False}


@pytest.mark.parametrize(
    ("language", "content", "message"),
    [
        ("typescript", "function main() {\n  let a: number = ;\n}", "syntax error (line 2, column 17)"),
        ("typescript", "enum A {}\n", "enums are not supported: use an object (line 1, column 1)"),
        (
            "javascript",
            "function main() {}\nenum A {}",
            "enums are not supported: use an object (line 2, column 1)",
        ),
        (
            "javascript",
            "function main() {\n  return 1 +* 2\n}",
            "unexpected token in expression: '*' (line 2, column 13)",
        ),
        ("javascript", "const main = ;", "unexpected token in expression: ';' (line 1, column 14)"),
        (
            "javascript",
            "function main() {\n",
            "unexpected token in expression: '' (at the end of the script)",
        ),
    ],
)
async def test_syntax_errors_are_reported_with_their_position(
    node: CodeNode, language: str, content: str, message: str
) -> None:
    """In the lines of the user's script."""
    with pytest.raises(NodeError) as caught:
        await node.execute(prepare(node, script(content, language)), FakeContext())
    assert str(caught.value) == f"Code execution failed: {message}"


async def test_a_syntax_error_that_a_script_throws_is_its_own(node: CodeNode) -> None:
    """It has no place in the script, and no other language is tried."""
    for body in ("JSON.parse('{')", "throw new SyntaxError('mine')", "eval('let x = ;')"):
        message = await failure(node, f"{body}\nfunction main() {{}}")
        assert "(at the end" not in message
        assert not message.endswith(")") or "JSON" in message


async def test_lines_of_errors_are_those_of_the_script(node: CodeNode) -> None:
    """A script that returns an error shows where it made it."""
    outputs = await run(node, "function main() {\n  return new Error('x')\n}")
    assert outputs["stack"].splitlines()[0] == "    at main (<input>:2:14)"


async def test_the_functions_around_a_script_are_out_of_its_reach(node: CodeNode) -> None:
    """Neither a stack trace nor a caller hands them out."""
    content = """
      const seen = [];
      Error.prepareStackTrace = (error, frames) => { seen.push(...frames.map(frame => frame.getFunction?.())); return 'x' };
      const look = () => {
        const error = new Error('look'); const other = {};
        Error.captureStackTrace(other); seen.push(typeof error.stack, typeof other.stack);
        try { seen.push(main.caller) } catch {}
        try { seen.push(look.arguments) } catch {}
      };
      look();
      function main() { look(); return { seen: seen.map(item => typeof item), toJSON() { look(); return this.seen.concat(seen.map(item => typeof item)) } } }
    """
    assert set((await run(node, content))["result"]) == {"string"}


async def test_endless_scripts_do_not_keep_a_short_one_waiting() -> None:
    """However many of how many tasks there are."""
    async with CodeNode(CodeSettings(workers=1, long_workers=1, time_limit=60)) as node:
        call = prepare(node, script("function main() { for (;;); }"))
        endless = [
            asyncio.create_task(node.execute(call, FakeContext(task_id=f"endless-{number}")))
            for number in range(8)
        ]
        await asyncio.sleep(0)
        small = prepare(node, script("function main() { return 1 }"))
        assert await node.execute(small, FakeContext(task_id="small")) == {"result": 1}
        for task in endless:
            task.cancel()
        await asyncio.wait(endless)


@pytest.mark.skipif(
    not PROC.exists() or os.geteuid() != 0,
    reason="/proc is Linux's, and only root may look at processes that hide their memory",
)
async def test_processes_are_poor(node: CodeNode) -> None:
    """A worker has no environment, no files but its pipes, and may open none; nor may it start processes."""
    await run(node, "function main() {}")
    (pid,) = node.worker_process_ids
    environment, files, limits, status = look_at(pid)
    assert environment == b""
    assert files == ["0", "1", "2"]
    for limit in ("Max open files", "Max file size", "Max core file size", "Max processes"):
        line = next(line for line in limits if line.startswith(limit))
        assert line.removeprefix(limit).split()[:2] == ["0", "0"]
    for protection in ("NoNewPrivs:\t1", "Seccomp:\t2"):
        assert protection in status
    assert "Uid:\t0" not in "\n".join(status)


def look_at(pid: int) -> tuple[bytes, list[str], list[str], list[str]]:
    """The environment of a process, its open files, its limits and its status."""
    process = PROC / str(pid)
    files = sorted(entry.name for entry in (process / "fd").iterdir())
    limits, status = ((process / name).read_text().splitlines() for name in ("limits", "status"))
    return (process / "environ").read_bytes(), files, limits, status
