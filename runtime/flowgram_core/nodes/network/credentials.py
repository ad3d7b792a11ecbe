"""Which headers, query parameters and fields carry credentials, by their names."""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

_KEY_OF: Final = (
    "access|account|admin|app|application|auth|client|consumer|developer|encryption|functions?|gateway|licen[cs]e|master"
    "|partner|private|project|rapidapi|secret|service|shared|signing|ssh|subscription|user|write"
)
_CREDENTIAL: Final = re.compile(
    r"auth|cookie|token|secret|passw(?:or)?d|credential|signature|session|jwt"
    r"|api[-_]?key|(?:^|[-_])(?:pwd|sig|hmac)(?:$|[-_])"
    rf"|(?:^|[-_])(?:{_KEY_OF})[-_]?key(?:$|[-_])|(?:access|secret)key|^(?:x[-_])?key$"
)
_NO_CREDENTIAL: Final = re.compile(
    r"^(?:(?:www|proxy)-authenticate|:?authority|authors?|x-authors?|access-control-.*)$|ratelimit|^max[-_].*tokens$"
)
"""What a server asks for or counts, and who wrote something, is no secret."""
_COMMON: Final = 64
"""Characters of names that are remembered: the same ones come again and again."""


def is_credential(name: str, more: Collection[str] = ()) -> bool:
    """Whether a header or parameter carries a credential: by its name, or since `more` has it in lower case."""
    name = name.lower()
    return name in more or (_is_known if len(name) <= _COMMON else _is_known.__wrapped__)(name)


@lru_cache(maxsize=4096)
def _is_known(name: str) -> bool:
    return _CREDENTIAL.search(name) is not None and _NO_CREDENTIAL.search(name) is None
