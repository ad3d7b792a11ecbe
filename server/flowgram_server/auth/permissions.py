"""The permissions: which role each call of the contract needs, in one table."""

from collections.abc import Mapping
from typing import Final

from flowgram_server.auth.errors import PermissionDenied
from flowgram_server.auth.principal import Principal, Role

MINIMUM_ROLE: Final[Mapping[str, Role]] = {
    "TaskRun": Role.RUNNER,
    "TaskRunBatch": Role.RUNNER,
    "TaskCancel": Role.RUNNER,
    "TaskValidate": Role.READER,
    "TaskGet": Role.READER,
    "TaskReport": Role.READER,
    "TaskResult": Role.READER,
    "TaskList": Role.READER,
    "WatchTask": Role.READER,
    "WatchTasks": Role.READER,
    "ServerInfo": Role.NONE,  # in short: how clients find out that they need credentials
}
"""The least role that may make a call. Where it is none, the call needs no credentials."""


def check_role(principal: Principal, method: str, needed: Role) -> None:
    """Raises `PermissionDenied` where a principal may not make a call."""
    if principal.role < needed:
        raise PermissionDenied(
            f"{method} needs the role {needed.name.lower()}, and {principal.name} has {principal.role.name.lower()}"
        )
