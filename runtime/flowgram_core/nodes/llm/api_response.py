"""The response of a model API to one request: the kind of its body, and the body in pieces."""

from flowgram_core.nodes.network.content_codings import DecodedBody
from flowgram_core.nodes.network.transport import HTTPResponse, TimeSlice


class APIResponse:
    """A response whose body is not yet read. Close it.

    Args:
        response: The response as it came.
        time_slice: Lets others go on between two pieces that came as one.

    Attributes:
        media_type: As it is labeled, in lower case; empty without a label.
        pause: Lets others go on, if they wait.
    """

    __slots__ = ("_body", "_response", "media_type", "pause")

    def __init__(self, response: HTTPResponse, time_slice: TimeSlice) -> None:
        label = next((value for name, value in response.headers if name == b"content-type"), b"")
        self.media_type = label.partition(b";")[0].strip().lower().decode("latin-1")
        self.pause = time_slice
        self._response = response
        self._body = DecodedBody(response, time_slice)

    @property
    def is_over(self) -> bool:
        """Whether the body has come to its end, as far as this is known without waiting."""
        return self._body.is_over

    async def read(self) -> bytes:
        """The next piece of the body, unpacked; empty at the end.

        Raises:
            NodeError: It cannot be unpacked.
            TransportError: The connection broke, or was silent for too long.
        """
        return await self._body.read()

    def close(self) -> None:
        """Ends the exchange; a connection whose response was not read to its end is closed."""
        self._response.close()
