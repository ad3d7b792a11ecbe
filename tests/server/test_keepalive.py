"""Pings of clients, as bytes on a connection: what gRPC's own client sends depends on its clock."""

import asyncio
from pathlib import Path

import grpc
import pytest

from flowgram_server.app import _options
from flowgram_server.settings.loading import load_settings

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1
PINGS = 10
INTERVAL = "grpc.http2.min_ping_interval_without_data_ms"
WITHOUT_CALLS = "grpc.keepalive_permit_without_calls"


def frame(kind: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + bytes(4) + payload


async def answered_pings(options: dict[str, int]) -> int:
    """How many pings in a row a server with these options answers before it sends the client away."""
    server = grpc.aio.server(options=list(options.items()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(PREFACE + frame(SETTINGS))
        for number in range(PINGS):
            writer.write(frame(PING, number.to_bytes(8, "big")))
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                kind, flags = head[3], head[4]
                if kind == GOAWAY:
                    assert b"too_many_pings" in payload
                    return number
                if kind == SETTINGS and not flags & ACK:
                    writer.write(frame(SETTINGS, flags=ACK))
                if kind == PING and flags & ACK:
                    assert payload == number.to_bytes(8, "big")
                    break
        return PINGS
    finally:
        writer.close()
        await server.stop(None)


def in_no_time(options: dict[str, int]) -> dict[str, int]:
    """The same options on a clock that runs as fast as the pings: an interval that is set always passes."""
    return {name: 0 if name == INTERVAL else value for name, value in options.items()}


async def test_clients_may_ping_without_calls(tmp_path: Path) -> None:
    """A client that pings every 10 seconds on a connection without calls is answered, and not sent away."""
    options = dict(_options(load_settings(flags={"data": tmp_path}), 100))
    assert options[INTERVAL] <= 10_000
    assert await answered_pings(in_no_time(options)) == PINGS


@pytest.mark.parametrize("missing", [INTERVAL, WITHOUT_CALLS])
async def test_without_the_options_they_are_sent_away(tmp_path: Path, missing: str) -> None:
    """Each of the two options is needed: this is how gRPC treats such clients otherwise."""
    options = dict(_options(load_settings(flags={"data": tmp_path}), 100))
    del options[missing]
    assert await answered_pings(in_no_time(options)) < PINGS
