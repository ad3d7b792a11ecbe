"""Which headers and fields carry credentials, by their names."""

import re
from collections.abc import Collection
from typing import Final

_CREDENTIAL_HEADER: Final = re.compile(
    r"auth|cookie|token|secret|passw(?:or)?d|credential|signature|session|jwt|(?:^|[^a-z])(?:pwd|pin|otp|sig)(?:[^a-z]|$)"
    r"|api[-_]?key|(?:access|account|app|application|auth|client|consumer|developer|encryption|function|functions|gateway"
    r"|license|master|partner|private|project|secret|service|shared|signing|subscription|user|write|read|admin|ssh)[-_]?key"
    r"|^(?:x[-_])?key$"
)
_NO_CREDENTIAL: Final = frozenset({"www-authenticate", "proxy-authenticate", ":authority", "authority"})
"""What a server asks for is no secret."""


def is_credential_header(name: str, more: Collection[str] = ()) -> bool:
    """Whether a header is one of those that carry credentials: by its name, or since `more` has it in lower case."""
    name = name.lower()
    return name in more or (_CREDENTIAL_HEADER.search(name) is not None and name not in _NO_CREDENTIAL)
