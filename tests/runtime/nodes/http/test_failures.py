"""http: everything that can go wrong between a request and its response."""

import asyncio
import socket
from typing import Any

import pytest
from support.certificates import Certificate
from support.http_node import Sleeps, execute, failure, send
from support.node_calls import FakeContext
from support.raw_http import RawServer, Received, never, response

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.node_settings import HTTPSettings


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_connection_failures_are_tried_again_with_growing_waits() -> None:
    """After 1, 2, 4 seconds; then the node fails with a text that names the place."""
    sleeps = Sleeps()
    port = closed_port()
    async with HTTPNode(sleep=sleeps) as node:
        with pytest.raises(NodeError) as caught:
            await execute(node, f"http://127.0.0.1:{port}/secret?token=1", retryTimes=3)
    assert str(caught.value) == f'HTTP request failed: "127.0.0.1:{port}" refused the connection'
    assert sleeps.seconds == [1, 2, 4]


async def test_a_connection_that_breaks_is_tried_again() -> None:
    """Where no response came; what comes at last is the result, and other statuses are results at once."""
    answers = iter([b"", b"HTTP/1.1 200 OK\r\nContent-Length", response(b"whole", "503 Busy")])

    async def respond(received: Received) -> bytes:
        return next(answers)

    sleeps = Sleeps()
    async with RawServer(respond) as server, HTTPNode(sleep=sleeps) as node:
        outputs = await execute(node, server.url, retryTimes=9)
    assert (outputs["statusCode"], outputs["body"]) == (503, "whole")
    assert sleeps.seconds == [1, 2]


async def test_a_response_that_breaks_off_is_no_reason_to_ask_again() -> None:
    """What was asked for was done."""
    async with RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf") as server:
        message = await failure(server.url, method="POST", retryTimes=9)
        assert len(server.received) == 1
    assert message == f'HTTP request failed: no complete HTTP response from "127.0.0.1:{server.port}"'


@pytest.mark.parametrize(
    "answer",
    [
        b"\0 is not HTTP\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_response_is_reported(answer: bytes) -> None:
    """Garbage, another protocol, and headers without an end."""
    async with RawServer(answer) as server:
        message = await failure(server.url)
    assert message == f'HTTP request failed: no complete HTTP response from "127.0.0.1:{server.port}"'


async def test_every_status_is_a_result() -> None:
    """Of the first attempt that connects."""
    async with RawServer(response(b"whole", "503 Busy")) as server:
        outputs = await send(server.url, retryTimes=9)
    assert (outputs["statusCode"], outputs["body"], len(server.received)) == (503, "whole", 1)


async def test_each_attempt_has_the_whole_time_out() -> None:
    """A server that never answers is asked as often as the node says."""
    sleeps = Sleeps()
    async with RawServer(never) as server, HTTPNode(sleep=sleeps) as node:
        with pytest.raises(NodeError) as caught:
            await execute(node, server.url, retryTimes=2, timeout=300)
        assert (
            str(caught.value)
            == f'HTTP request failed: no response from "127.0.0.1:{server.port}" within 300 ms'
        )
        assert len(server.received) == 3
    assert sleeps.seconds == [1, 2]


async def test_the_time_out_covers_redirects_and_the_body() -> None:
    """A response that does not end is none."""
    async with RawServer(never, head=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf") as slow:
        assert "within 100 ms" in await failure(slow.url, timeout=100)
        async with RawServer(response(status="307 Moved", Location=slow.url)) as server:
            assert f'"127.0.0.1:{server.port}" within 100 ms' in await failure(server.url, timeout=100)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"timeout": "soon"}, 'HTTP timeout "soon" is not a number of milliseconds'),
        ({"timeout": -1}, 'HTTP timeout "-1" is not a number of milliseconds'),
        ({"retryTimes": -1}, "HTTP request failed after all retry attempts"),
        ({"retryTimes": "x"}, "HTTP request failed after all retry attempts"),
    ],
)
async def test_numbers_must_be_numbers(more: dict[str, Any], message: str) -> None:
    """Time-out and retries are read as JavaScript reads numbers."""
    async with RawServer() as server:
        assert await failure(server.url, **more) == message
        assert (await send(server.url, timeout="20000", retryTimes="0"))["statusCode"] == 200


async def test_an_unknown_host_is_reported() -> None:
    """With its name. The domain `.invalid` is reserved for names that do not exist."""
    assert (
        await failure("http://nowhere.invalid:81/") == 'HTTP request failed: unknown host "nowhere.invalid"'
    )


async def test_cancelling_closes_the_connection() -> None:
    """The server sees the end of a request that is no longer wanted."""
    async with RawServer(never) as server, HTTPNode() as node:
        request = asyncio.create_task(execute(node, server.url))
        await server.arrived.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await server.closed.wait()


async def test_waiting_for_a_slot_is_not_part_of_the_time_out() -> None:
    """With all places taken a request waits, and then has all of its time."""
    go_on = asyncio.Event()

    async def respond(received: Received) -> bytes:
        if received.target == "/slow":
            await go_on.wait()
        return response(received.target.encode())

    settings = HTTPSettings(max_parallel=1, max_long_parallel=0)
    async with RawServer(respond) as server, HTTPNode(settings) as node:
        slow = asyncio.create_task(execute(node, f"{server.url}/slow"))
        await server.arrived.wait()
        quick = asyncio.create_task(execute(node, f"{server.url}/quick", timeout=5000))
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(server.received) == 1
        go_on.set()
        assert [(await slow)["body"], (await quick)["body"]] == ["/slow", "/quick"]


async def test_requests_that_hang_keep_no_other_one_waiting() -> None:
    """With all places taken by requests of more than a second, the next one is sent nevertheless."""
    go_on = asyncio.Event()

    async def respond(received: Received) -> bytes:
        if received.target == "/stuck":
            await go_on.wait()
        return response(received.target.encode())

    async with RawServer(respond) as server, HTTPNode(HTTPSettings(max_parallel=2)) as node:
        stuck = [asyncio.create_task(execute(node, f"{server.url}/stuck", timeout=60_000)) for _ in range(2)]
        await server.arrived.wait()
        assert (await execute(node, f"{server.url}/quick", timeout=5000))["body"] == "/quick"
        assert not any(each.done() for each in stuck)
        go_on.set()
        await asyncio.gather(*stuck)


async def test_slots_are_shared_between_tasks() -> None:
    """A task that waits with one request gets the next slot, however many another one waits with."""
    go_on = asyncio.Event()
    served: list[str] = []

    async def respond(received: Received) -> bytes:
        if received.target == "/first":
            await go_on.wait()
        served.append(received.target)
        return response()

    def request(node: HTTPNode, url: str, task_id: str) -> "asyncio.Task[dict[str, Any]]":
        return asyncio.create_task(execute(node, url, context=FakeContext(task_id=task_id)))

    async with RawServer(respond) as server, HTTPNode(HTTPSettings(max_parallel=1)) as node:
        first = request(node, f"{server.url}/first", "many")
        await server.arrived.wait()
        many = [request(node, f"{server.url}/many/{number}", "many") for number in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        one = request(node, f"{server.url}/one", "one")
        for _ in range(3):
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, one, *many)
    assert served.index("/one") <= 2


async def test_private_addresses_can_be_forbidden() -> None:
    """Loopback by address or by name, and behind the names of IPv6."""
    settings = HTTPSettings(deny_private=True)
    async with RawServer() as server:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"):  # noqa: S104
            message = await failure(f"http://{host}:{server.port}/", settings, retryTimes=3)
            rule = "link-local" if host.startswith("169.254") else "private"
            assert message == f'"{host}:{server.port}" is denied by the egress rule "{rule}"'
        assert server.received == []


async def test_tls_is_spoken_and_checked(certificate: Certificate) -> None:
    """A certificate of an authority that is trusted is fine; another is an error that says why."""
    async with RawServer(response(b"safe"), tls=certificate.server_context()) as server:
        trusting = HTTPSettings(ca_file=str(certificate.file))
        assert (await send(server.url, trusting))["body"] == "safe"
        message = await failure(server.url)
        assert message.startswith(
            f'HTTP request failed: the certificate of "127.0.0.1:{server.port}" is not trusted: '
        )
        plain = server.url.replace("https", "http")
        assert "no complete HTTP response" in await failure(plain)


async def test_responses_under_way_hold_a_bounded_memory() -> None:
    """Of many that do not end, those fail that hold more than their share."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 100_000
    async with RawServer(never, head=head) as server, HTTPNode(HTTPSettings(max_held_bytes=300_000)) as node:
        calls = [asyncio.create_task(execute(node, server.url, timeout=60_000)) for _ in range(8)]
        ended, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
    assert {str(each.exception()) for each in ended} == {
        "All answers that come in at the moment hold more than the limit http.max_held_bytes = 300000"
    }
