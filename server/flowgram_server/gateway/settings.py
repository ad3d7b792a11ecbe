"""How a gateway serves."""

from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = "loopback"
"""Among origins: stands for every one on this machine."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How a gateway serves.

    Attributes:
        cors_origins: The origins whose pages may use it; `*` stands for all, `loopback` for those on this machine.
        max_body_bytes: No request body is larger.
        heartbeat: Seconds of silence after which a watch sends a comment.
    """

    cors_origins: frozenset[str] = frozenset({LOOPBACK})
    max_body_bytes: int = 64 * 1024 * 1024
    heartbeat: float = 15.0
