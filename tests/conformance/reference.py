"""The reference runtime as a subject: node processes that run `reference.mjs`, each renewed after a number of cases."""

import asyncio
import json
import os
import re
import shutil
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from tests.conformance.observation import Case, NodeSeen, Observation, Snapshot

HERE = Path(__file__).parent
_CASES_PER_PROCESS = 1500
_LIMIT_MS = 4000
_MOST_CODE_NODES = 60
_DISPOSED_TWICE = "Code execution failed: Lifetime not alive"
_LONGEST_LINE = 64 * 1024 * 1024


def missing() -> str | None:
    """Why the reference cannot run here, or None if it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (HERE / "node_modules" / "@flowgram.ai" / "runtime-js").is_dir():
        return "the Node packages of tests/conformance are not installed (make setup)"
    return None


class Reference:
    """FlowGram's own runtime. An async context manager; `observe` may be called many times at once."""

    name = "reference"

    def __init__(self) -> None:
        self._worker: _Worker | None = None
        self._retired: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._worker is not None:
            await self._worker.close()
        await asyncio.gather(*self._retired)

    async def observe(self, case: Case) -> Observation:
        """Runs a case, if it is valid.

        The reference fails every code node whose main returns without a promise (it disposes of the result twice): such
        a node is run as an async function.
        """
        observation = await self._observe(case)
        for _ in range(_MOST_CODE_NODES):
            unlucky = {node_id for node_id, text in observation.errors if text == _DISPOSED_TWICE}
            if not unlucky:
                break
            case = replace(case, schema=_with_async_mains(case.schema, unlucky))
            observation = await self._observe(case)
        return observation

    async def _observe(self, case: Case) -> Observation:
        worker = self._worker
        if worker is None or worker.started >= _CASES_PER_PROCESS or worker.ended:
            if worker is not None:
                self._retired.append(asyncio.create_task(worker.close()))
            self._worker = worker = _Worker()
        return _observation(
            await worker.ask(
                {"op": "run", "schema": case.schema_text, "inputs": case.inputs_text, "limit": _LIMIT_MS}
            )
        )


class _Worker:
    """One node process."""

    def __init__(self) -> None:
        self.started = 0
        self.ended = False
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._process: asyncio.Future[Process] = asyncio.ensure_future(self._spawn())
        self._reader: asyncio.Task[None] | None = None

    async def _spawn(self) -> Process:
        # FlowGram reads a date-time without Z as local time; in UTC that is what this project does.
        process = await asyncio.create_subprocess_exec(
            "node",
            HERE / "reference.mjs",
            cwd=HERE,
            stdin=PIPE,
            stdout=PIPE,
            limit=_LONGEST_LINE,
            env={**os.environ, "TZ": "UTC", "LANGCHAIN_TRACING_V2": "false"},
        )
        self._reader = asyncio.create_task(self._read(process))
        return process

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.started += 1
        number = self.started
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._idle.clear()
        process = await asyncio.shield(self._process)
        assert process.stdin is not None
        process.stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
        return await answer

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"])
            if not waiting.done():
                waiting.set_result(answer)
            if not self._waiting:
                self._idle.set()
        self.ended = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(RuntimeError("the reference runtime's process has ended"))
        self._waiting.clear()
        self._idle.set()

    async def close(self) -> None:
        process = await self._process
        await self._idle.wait()
        assert process.stdin is not None
        assert self._reader is not None
        process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 2)
        if process.returncode is None:
            process.kill()
            await process.wait()
        await self._reader


def _with_async_mains(schema: dict[str, Any], node_ids: set[str]) -> dict[str, Any]:
    return {
        **schema,
        **{
            name: [
                _with_async_main(node) if node["id"] in node_ids else _with_async_mains(node, node_ids)
                for node in schema[name]
            ]
            for name in ("nodes", "blocks")
            if name in schema
        },
    }


def _with_async_main(node: dict[str, Any]) -> dict[str, Any]:
    script = node["data"]["script"]
    content = re.sub(r"(?<!async )function main\b", "async function main", script["content"], count=1)
    content = re.sub(r"main = (?!async )", "main = async ", content, count=1)
    return {**node, "data": {**node["data"], "script": {**script, "content": content}}}


def _observation(answer: dict[str, Any]) -> Observation:
    if "error" in answer:
        return Observation(problems=[answer["error"]])
    if not answer["validate"]["valid"]:
        return Observation(problems=answer["validate"]["errors"])
    report = answer["report"]
    return Observation(
        status="stuck" if answer.get("stuck") else report["workflowStatus"]["status"],
        outputs=report.get("outputs") or {},
        nodes={
            node_id: NodeSeen(
                status=node["status"],
                snapshots=[
                    Snapshot(
                        inputs=snapshot.get("inputs") or {},
                        outputs=snapshot.get("outputs") or {},
                        branch=snapshot.get("branch") or "",
                        error=snapshot.get("error") or "",
                    )
                    for snapshot in node["snapshots"]
                ],
            )
            for node_id, node in report["reports"].items()
        },
        errors=[(error.get("nodeID") or "", error["message"]) for error in report["messages"]["error"]],
    )
