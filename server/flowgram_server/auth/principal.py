"""The principal: on whose behalf a call is made, in which namespace, and with which role."""

from contextvars import ContextVar
from enum import IntEnum
from typing import Final, NamedTuple

from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE

__all__ = ["ANONYMOUS", "DEFAULT_NAMESPACE", "STRANGER", "Principal", "Role", "Verified", "current_principal"]


class Role(IntEnum):
    """What a principal may do; each role may all that the ones below it may."""

    NONE = 0
    """See that there is a server, and what it asks for."""
    READER = 1
    """See the tasks of its namespace: report, result, watch, list, get, validate."""
    RUNNER = 2
    """Run and cancel tasks in its namespace, too."""
    ADMIN = 3
    """Do so in every namespace."""


class Principal(NamedTuple):
    """Who calls.

    Attributes:
        name: Names the caller in logs, such as the id of its key or the subject of its token; never a credential.
        namespace: Where its tasks are, and the only tasks that this call can reach.
        role: What it may do.
    """

    name: str
    namespace: str
    role: Role


ANONYMOUS: Final = Principal("anonymous", DEFAULT_NAMESPACE, Role.RUNNER)
"""The caller of a server that asks for no credentials."""

STRANGER: Final = Principal("stranger", DEFAULT_NAMESPACE, Role.NONE)
"""The caller of a server that asks for credentials, who has sent none."""


class Verified(NamedTuple):
    """A credential that is valid.

    Attributes:
        principal: Its bearer.
        expires: Until when it is valid, in microseconds since the epoch; None: no end is known.
    """

    principal: Principal
    expires: int | None


current_principal: Final[ContextVar[Principal]] = ContextVar("current_principal", default=ANONYMOUS)
"""Who makes the call that is answered in this context."""
