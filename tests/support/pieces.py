"""A response of the HTTP transport whose body comes in pieces that a test gives."""

from collections.abc import Sequence


class PieceResponse:
    """An `HTTPResponse` without a connection.

    Args:
        headers: Those of the response.
        pieces: What each read gives.
    """

    def __init__(self, headers: Sequence[tuple[bytes, bytes]], pieces: Sequence[bytes]) -> None:
        self.status_code = 200
        self.headers = headers
        self._pieces = list(pieces)

    @property
    def is_over(self) -> bool:
        return not self._pieces

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        self._pieces.clear()
