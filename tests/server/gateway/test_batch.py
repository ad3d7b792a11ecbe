"""Batches over HTTP: lines in, lines out."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from support.gateway import GatewayUnderTest
from support.workflows import chain, node

from flowgram.runtime.v1.runtime_service_pb2 import TaskRunBatchRequest
from flowgram_client._raw import RawClient
from flowgram_server.gateway.batch import BatchResponse, Lines
from flowgram_server.gateway.errors import BodyTooLarge

OUTPUTS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ECHO = chain(
    node("start_0", "start", outputs=OUTPUTS),
    node("end_0", "end", inputs=OUTPUTS, inputsValues={"n": {"type": "ref", "content": ["start_0", "n"]}}),
)
NDJSON = {"Content-Type": "application/x-ndjson"}
DEFAULTS = json.dumps({"schema": ECHO})


async def batch(gateway: GatewayUnderTest, body: Any, **headers: str) -> list[dict[str, Any]]:
    answer = await gateway.http.post("/api/tasks/batch", content=body, headers={**NDJSON, **headers})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_every_line_has_its_outcome(gateway: GatewayUnderTest) -> None:
    """Lines may come in any pieces, and blank ones do not count; the key is the line's number where none is given."""

    async def pieces() -> AsyncIterator[bytes]:
        text = f'{DEFAULTS}\n\n{{"inputs": {{"n": 1}}}}\n{{"inputs": {{"n": 2}}, "key": "two"}}\n'
        for begin in range(0, len(text), 7):
            yield text[begin : begin + 7].encode()

    found = {line["key"]: line for line in await batch(gateway, pieces())}
    assert {key: line["outputs"] for key, line in found.items()} == {"2": {"n": 1}, "two": {"n": 2}}
    assert found["two"]["workflowStatus"]["status"] == "succeeded"
    assert found["two"]["taskID"]


async def test_wrong_lines_are_outcomes(gateway: GatewayUnderTest) -> None:
    """With their number, or the error that a run of their own would have; the others run."""
    lines = [DEFAULTS, "nonsense", '{"inputs": 1}', '{"inputs": {"n": "x"}}', '{"inputs": {"n": 4}}']
    found = await batch(gateway, "\n".join(lines))
    wrong = {line["line"]: line["error"]["code"] for line in found if "line" in line}
    assert wrong == {2: "ARGUMENT_INVALID", 3: "ARGUMENT_INVALID"}
    by_key = {line["key"]: line for line in found if "key" in line}
    assert by_key["4"]["error"]["code"] == "INPUTS_INVALID"
    assert by_key["5"]["outputs"] == {"n": 4}


async def test_a_large_line_that_is_no_utf_8(gateway: GatewayUnderTest) -> None:
    """Is wrong like any other; the runs behind it have their outcomes."""
    wrong = b'{"inputs": {"x": "' + b"a" * 300_000 + b'\xff"}}'
    found = await batch(gateway, b"\n".join([DEFAULTS.encode(), wrong, b'{"inputs": {"n": 4}}']))
    assert [line["error"]["message"] for line in found if "line" in line] == [
        "the body is no JSON: it is not UTF-8"
    ]
    assert [line["outputs"] for line in found if "key" in line] == [{"n": 4}]


async def test_the_same_run_again(gateway: GatewayUnderTest) -> None:
    """Under one requestID it is one task."""
    line = '{"inputs": {"n": 1}, "requestID": "r"}'
    ids = {(await batch(gateway, f"{DEFAULTS}\n{line}"))[0]["taskID"] for _ in range(2)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ("", {}, 400, "ARGUMENT_INVALID"),
        ("nonsense", {}, 400, "ARGUMENT_INVALID"),
        ('{"inputs": {}}', {}, 400, "ARGUMENT_INVALID"),
        ('{"schema": "{}", "maxInFlight": -1}', {}, 400, "ARGUMENT_INVALID"),
        (DEFAULTS, {"Content-Type": "text/plain"}, 415, "CONTENT_TYPE_UNSUPPORTED"),
    ],
)
async def test_a_batch_that_cannot_begin(
    gateway: GatewayUnderTest, body: str, headers: dict[str, str], status: int, code: str
) -> None:
    """Nothing runs, and the answer is an error like any other."""
    answer = await gateway.http.post("/api/tasks/batch", content=body, headers={**NDJSON, **headers})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_many_lines(gateway: GatewayUnderTest) -> None:
    """More than may be under way at once."""
    body = "\n".join([DEFAULTS, *(f'{{"inputs": {{"n": {n}}}, "key": "{n}"}}' for n in range(1000))])
    found = await batch(gateway, body)
    assert {line["key"]: line["outputs"]["n"] for line in found} == {str(n): n for n in range(1000)}


class Runner:
    """Takes all runs of a batch, and has no outcomes."""

    async def run_messages(self, requests: AsyncIterator[TaskRunBatchRequest]) -> AsyncIterator[Any]:
        async for _ in requests:
            pass
        return
        yield


async def test_lines_that_are_all_wrong_are_answered_while_more_come() -> None:
    """Their outcomes are sent as they are found, not kept for the end, and others have their turn between them."""
    sent: list[bytes] = []
    lines = slices = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal lines
        yield f"{DEFAULTS}\n".encode()
        while lines < 100_000 and not sent:
            lines += 100
            yield b"x\n" * 100 + b"\n" * 1000

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def time_slice() -> None:
        nonlocal slices
        slices += 1

    client = cast("RawClient", Runner())
    response = BatchResponse(client, Lines(parts(), 10_000), first_timeout=1, time_slice=time_slice)
    await response({"type": "http"}, never, send)
    found = [json.loads(line) for line in b"".join(sent).splitlines()]
    assert [line["line"] for line in found] == list(range(2, lines + 2))
    assert {line["error"]["code"] for line in found} == {"ARGUMENT_INVALID"}
    assert lines < 1_000
    assert slices == lines


async def never() -> Any:
    raise AssertionError


async def test_a_line_that_never_ends(gateway: GatewayUnderTest) -> None:
    """Is refused at the limit of a body, however small the pieces are that it comes in."""
    limit = 1_000
    lines = Lines(pieces_of(b"x" * (limit + 8), 7), limit)
    with pytest.raises(BodyTooLarge):
        await lines.next()
    exact = Lines(pieces_of(b" \n\n " + b"x" * limit + b" \r\n\ny", 7), limit + 10)
    assert [await exact.next() for _ in range(3)] == [b"x" * limit, b"y", None]
    assert exact.number == 2


async def pieces_of(data: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]
