"""`flowgram batch`: rows of a file, one outcome each, also after an interruption."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.processes import server_process
from support.workflows import chain, node

from flowgram_server.app import Server, open_server
from flowgram_server.cli.batch_rows import Row, input_types, read_rows
from flowgram_server.cli.exits import CommandError, ExitStatus
from flowgram_server.settings.loading import load_settings

INPUTS = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "text": {"type": "string"}, "on": {"type": "boolean"}},
    "required": ["n"],
}
ECHO = chain(
    node("start_0", "start", outputs=INPUTS),
    node("end_0", "end", inputs=INPUTS, inputsValues={"n": {"type": "ref", "content": ["start_0", "n"]}}),
)


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "echo.json"
    path.write_text(ECHO)
    return path


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    flags = {"listen": "127.0.0.1:0", "data": tmp_path / "data", "access_log": False}
    async with open_server(load_settings(flags=flags)) as server:
        yield server


async def batch(target: str, workflow: Path, rows: Path, *more: str) -> tuple[int, str, str]:
    """The exit status and what was printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flowgram_server.cli", "batch", str(workflow)),
        *("--rows", str(rows), "--target", target, *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def lines(text: str) -> dict[int, dict[str, Any]]:
    """By row; each row has one line."""
    found = [json.loads(line) for line in text.splitlines()]
    by_row = {line["row"]: line for line in found}
    assert len(by_row) == len(found)
    return by_row


async def test_rows_of_json(server: Server, workflow: Path, tmp_path: Path) -> None:
    """Each row has its line; one that is wrong says why with its number, and the others run."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"n": 1}\n\nnonsense\n{"n": "x"}\n[1]\n{"n": 5}')
    status, out, _ = await batch(server.address, workflow, rows)
    found = lines(out)
    assert status == ExitStatus.FAILED
    assert [(row, found[row]["status"]) for row in sorted(found)] == [
        (1, "succeeded"),
        (2, "refused"),
        (3, "refused"),
        (4, "refused"),
        (5, "succeeded"),
    ]
    assert (found[1]["outputs"], found[5]["outputs"]) == ({"n": 1}, {"n": 5})
    assert "row 2 is not JSON" in found[2]["error"]
    assert "row 4 is no JSON object" in found[4]["error"]


async def test_an_interrupted_batch_goes_on(workflow: Path, tmp_path: Path) -> None:
    """Killed in the middle, with its server, and resumed: every row has exactly one line, and no task ran twice."""
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text("".join(f'{{"n": {n}}}\n' for n in range(1, 2001)))
    arguments = ("--rows", str(rows), "--out", str(out), "--parallel", "8")
    async with server_process(tmp_path / "data", 1.0) as (_, target):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flowgram_server.cli", "batch", str(workflow)),
            *(*arguments, "--target", target),
        )
        while not out.exists() or out.stat().st_size < 2000:
            assert process.returncode is None
            await asyncio.sleep(0)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    before = len(out.read_text().splitlines())
    assert before < 2000
    with out.open("a") as file:
        file.write('{"row": 7')  # what was being written
    async with server_process(tmp_path / "data", 1.0) as (_, target):
        status, _, err = await batch(
            target, workflow, rows, "--out", str(out), "--parallel", "64", "--resume"
        )
        assert (status, err) == (0, "")
        found = lines(out.read_text())
        assert {row: line["outputs"]["n"] for row, line in found.items()} == {n: n for n in range(1, 2001)}
        assert len({line["task_id"] for line in found.values()}) == 2000
        status, _, err = await batch(target, workflow, rows, "--out", str(out), "--resume")
        assert status == ExitStatus.INVALID
        assert "is done" in err


async def test_what_cannot_be_resumed(server: Server, workflow: Path, tmp_path: Path) -> None:
    """A file that is there, one of other rows, and no file at all."""
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text('{"n": 1}\n')
    out.write_text("precious\n")
    status, _, err = await batch(server.address, workflow, rows, "--out", str(out))
    assert (status, "is there already" in err) == (ExitStatus.INVALID, True)
    out.write_text("")
    (tmp_path / "out.jsonl.batch").write_text('{"batch": "b", "contents": "other"}')
    status, _, err = await batch(server.address, workflow, rows, "--out", str(out), "--resume")
    assert (status, "is of another batch" in err) == (ExitStatus.INVALID, True)
    status, _, err = await batch(server.address, workflow, rows, "--resume")
    assert (status, "--resume needs --out" in err) == (ExitStatus.INVALID, True)


def test_rows_of_csv(tmp_path: Path) -> None:
    """Fields have the types that the workflow declares; quotes, blank lines and a byte order mark are read."""
    path = tmp_path / "rows.csv"
    path.write_bytes(
        b'\xef\xbb\xbfn,text,on\r\n1,"a ""b"", c\r\nd",true\r\n\r\nx,y,true\r\n3,\r\n,only text,\r\n4,z,maybe\r\n'
    )
    assert list(read_rows(path, input_types(ECHO))) == [
        Row(1, json.dumps({"n": 1, "text": 'a "b", c\r\nd', "on": True})),
        Row(2, "", "n should be an integer"),
        Row(3, "", "has 2 fields, and the heading 3"),
        Row(4, json.dumps({"text": "only text"})),
        Row(5, "", "on should be true or false"),
    ]


def test_odd_quoting(tmp_path: Path) -> None:
    """What is no CSV is said with its line; what is no UTF-8, too."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b'text\n"a"b\nfine\n\xff\n')
    found = list(read_rows(path, {}))
    assert [row.number for row in found] == [1, 2, 3]
    assert "is not CSV" in found[0].error
    assert found[1].inputs == '{"text": "fine"}'
    assert found[2].error == "is not UTF-8"


@pytest.mark.parametrize("heading", ["a,a", "a,,b", '"a"b'])
def test_a_heading_that_cannot_be_used(tmp_path: Path, heading: str) -> None:
    """It ends the command: no row could be read."""
    path = tmp_path / "rows.csv"
    path.write_text(f"{heading}\n1,2\n")
    with pytest.raises(CommandError):
        list(read_rows(path, {}))
