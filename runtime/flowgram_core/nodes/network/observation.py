"""Observation of outgoing requests, for traces: what is sent with them, and how they were answered. Never their contents."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import httpx2

from flowgram_core.nodes.llm.usage import TokenUsage


class Exchange(Protocol):
    """A request that is being made.

    Attributes:
        headers: To be sent with it, where it has none of these names.
    """

    headers: Mapping[str, str]

    def answered(self, status: int) -> None:
        """The response has this status."""
        ...

    def used(self, usage: TokenUsage) -> None:
        """A model has used so many tokens."""
        ...


class RequestObserver(Protocol):
    """Is notified of outgoing requests. The block is left with the error of one that fails."""

    def request(self, method: str, url: httpx2.URL) -> AbstractContextManager[Exchange]:
        """An http node makes one attempt at a request."""
        ...

    def completion(self, model: str, url: httpx2.URL) -> AbstractContextManager[Exchange]:
        """An llm node asks a model."""
        ...
