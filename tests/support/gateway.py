"""The REST gateway on a port of its own, before any server, and what tests read of it."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx2

from flowgram_client import RetryPolicy
from flowgram_client._raw import RawClient
from flowgram_server.address import address_of, bind
from flowgram_server.gateway.serve import Gateway, open_gateway
from flowgram_server.settings.gateway import GatewaySettings

ONCE = RetryPolicy(attempts=1)


@dataclass
class GatewayUnderTest:
    """A gateway that is serving.

    Attributes:
        gateway: It.
        http: Asks it.
        url: Where it is.
    """

    gateway: Gateway
    http: httpx2.AsyncClient
    url: str

    async def run(self, schema: str, inputs: dict[str, Any] | None = None, **more: Any) -> str:
        """The id of a task that was started."""
        answer = await self.http.post(
            "/api/task/run", json={"schema": schema, "inputs": inputs or {}, **more}
        )
        assert answer.status_code == 200, answer.text
        task_id: str = answer.json()["taskID"]
        return task_id

    @asynccontextmanager
    async def watch(
        self, task_id: str, after: int | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> AsyncIterator["EventStream"]:
        """The events of a task, as they come."""
        query = {"taskID": task_id, **({} if after is None else {"after": after}), **more}
        async with self.http.stream(
            "GET", "/api/task/watch", params=query, headers=headers, timeout=None
        ) as answer:
            yield EventStream(answer)


class SentEvent(NamedTuple):
    """One Server-Sent Event: the fields that it has, and its data as the text that came."""

    id: str
    event: str
    data: str

    @property
    def value(self) -> Any:
        return json.loads(self.data)


class EventStream:
    """Reads Server-Sent Events as a browser does."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self.comments: list[str] = []
        self._lines = answer.aiter_lines()

    async def next(self) -> SentEvent | None:
        """The next event; None at the end."""
        fields = {"id": "", "event": "", "data": ""}
        async for line in self._lines:
            if not line:
                if fields["data"]:
                    return SentEvent(**fields)
                fields = {"id": "", "event": "", "data": ""}
            elif line.startswith(":"):
                self.comments.append(line)
            else:
                name, _, value = line.partition(": ")
                if name in fields:
                    fields[name] += value
        return None

    async def until(self, kind: str, **wanted: str) -> list[dict[str, Any]]:
        """All events up to the first of a kind with such fields, that one included."""
        seen: list[dict[str, Any]] = []
        while (event := await self.next()) is not None:
            seen.append(event.value)
            if event.value["type"] == kind and wanted.items() <= event.value.items():
                return seen
        raise AssertionError(f"the stream ended without {kind}: {seen}")

    async def rest(self) -> list[SentEvent]:
        """All events to the end."""
        events: list[SentEvent] = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events


def sequences(events: Sequence[SentEvent]) -> list[int]:
    """The ids of events."""
    return [int(event.id) for event in events]


@asynccontextmanager
async def gateway_to(
    target: str, settings: GatewaySettings | None = None, retry: RetryPolicy = ONCE
) -> AsyncIterator[GatewayUnderTest]:
    """A gateway before a server, for as long as the block lasts. It does not wait for a server that is away."""
    listener = bind("127.0.0.1:0")
    url = f"http://{address_of(listener)}"
    async with (
        RawClient(target, retry=retry) as client,
        open_gateway(client, listener, settings or GatewaySettings()) as gateway,
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as http,
    ):
        yield GatewayUnderTest(gateway, http, url)
