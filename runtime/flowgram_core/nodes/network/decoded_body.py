"""The body of a response in pieces of bounded size, unpacked where it came compressed, which few do."""

from collections.abc import Sequence

from flowgram_core.nodes.network.content_codings import PIECE, codings_of, read_decoded
from flowgram_core.nodes.network.transport import HTTPResponse, TimeSlice


def is_coded(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the body that has these headers is to be unpacked."""
    for name, _ in headers:
        if name == b"content-encoding":
            return bool(codings_of(headers))
    return False


class DecodedBody:
    """The body of a response, unpacked, in pieces of `PIECE` bytes at most.

    Args:
        response: The response.
        time_slice: Lets others go on between two pieces that came as one.

    Attributes:
        response: See the arguments.
    """

    __slots__ = ("_held", "_pieces", "_time_slice", "response")

    def __init__(self, response: HTTPResponse, time_slice: TimeSlice) -> None:
        self.response = response
        self._time_slice = time_slice
        self._held = b""
        # Most responses are not compressed: those need no generator.
        self._pieces = read_decoded(response, time_slice) if is_coded(response.headers) else None

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end and was read. Of what is compressed this is not known."""
        return self._pieces is None and not self._held and self.response.is_over

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises as `read_decoded` does."""
        if self._held:
            await self._time_slice()
            piece = self._held
        elif self._pieces is None:
            piece = await self.response.read()
        else:
            piece = await anext(self._pieces, b"")
        if len(piece) <= PIECE:
            self._held = b""
            return piece
        self._held = piece[PIECE:]
        return piece[:PIECE]
