"""Which headers, query parameters and fields carry credentials, by their names."""

import re
from collections.abc import Collection
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
_MOST_REMEMBERED: Final = 4096
_remembered: Final[dict[str, bool]] = {}


def is_credential(name: str, more: Collection[str] = ()) -> bool:
    """Whether a header or parameter carries a credential: by its name, or since `more` has it in lower case."""
    name = name.lower()
    if name in more:
        return True
    if len(name) > _COMMON:
        return _is_known(name)
    found = _remembered.get(name)
    if found is None:
        found = _is_known(name)
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[name] = found
    return found


def _is_known(name: str) -> bool:
    return _CREDENTIAL.search(name) is not None and _NO_CREDENTIAL.search(name) is None
