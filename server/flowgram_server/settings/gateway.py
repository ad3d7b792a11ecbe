"""How a gateway serves."""

import re
from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = "loopback"
"""Among origins: stands for every one on this machine."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]+)?")
_USUAL_PORTS = {"http": ":80", "https": ":443"}


def origin_of(text: str) -> str:
    """An entry of a list of origins, in the form in which browsers send an origin.

    Raises:
        ValueError: It is none, and would never match; the text is for operators.
    """
    origin = text.lower().removesuffix("/")
    if origin in {LOOPBACK, "*", "null"}:
        return origin
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{text}: is no origin, such as https://editor.example.com, {LOOPBACK}, or *")
    return origin.removesuffix(_USUAL_PORTS.get(origin.partition(":")[0], ":"))


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
