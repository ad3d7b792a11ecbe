"""The response of a model API to one request: the kind of its body, and the body in pieces."""

from flowgram_core.nodes.network.decoded_body import DecodedBody
from flowgram_core.nodes.network.transport import HTTPResponse, TimeSlice


class APIResponse(DecodedBody):
    """A response whose body is not yet read, but as pieces, unpacked. Close it.

    Args:
        response: The response as it came.
        time_slice: Lets others go on between two pieces that came as one.

    Attributes:
        media_type: As it is labeled, in lower case; empty without a label.
        pause: Lets others go on, if they wait.
    """

    __slots__ = ("media_type", "pause")

    def __init__(self, response: HTTPResponse, time_slice: TimeSlice) -> None:
        super().__init__(response, time_slice)
        self.media_type = ""
        self.pause = time_slice
        for name, value in response.headers:
            if name == b"content-type":
                self.media_type = value.partition(b";")[0].strip().lower().decode("latin-1")
                break

    def close(self) -> None:
        """Ends the exchange; a connection whose response was not read to its end is closed."""
        self.response.close()
