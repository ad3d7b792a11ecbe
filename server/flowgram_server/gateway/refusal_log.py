"""The refusal log: one line for each request that was refused, with its peer and no content."""

from http import HTTPStatus
from typing import Final

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flowgram_server.auth.audit import AuditLog

_log = structlog.get_logger(__name__)

_REFUSALS: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
_MAX_PATH: Final = 128
"""Characters: what a client sends must not fill the disk."""


_BY_SERVICE: Final = "refused_by_service"


def leave_to_service(scope: Scope) -> None:
    """Says of a request that the service has decided about it, which audits that itself."""
    scope.setdefault("state", {})[_BY_SERVICE] = True


class RefusalLog:
    """Logs answers whose status says that a request was refused.

    Args:
        app: Answers the requests.
        audit: Where those that the gateway itself refuses are written as well; None: nowhere.
    """

    def __init__(self, app: ASGIApp, audit: AuditLog | None = None) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and looks at the status of its answer."""
        status: int | None = None

        async def watch_answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.body" and status is not None and self._audit is not None:
                if _BY_SERVICE not in scope.get("state", {}):
                    self._audit.write(**_decision(scope, status, message.get("body", b"")))
                status = None
            if message["type"] == "http.response.start" and message["status"] in _REFUSALS:
                status = int(message["status"])
                peer = scope.get("client")
                _log.info(
                    "request refused",
                    method=scope["method"],
                    path=scope["path"][:_MAX_PATH],
                    status=status,
                    peer=f"{peer[0]}:{peer[1]}" if peer else None,
                )
            await send(message)

        await self._app(scope, receive, watch_answer)


def _decision(scope: Scope, status: int, body: bytes) -> dict[str, object]:
    peer = scope.get("client")
    try:
        reason = orjson.loads(body)["code"]
    except (ValueError, LookupError, TypeError):  # nothing that this package made
        reason = None
    return {
        "principal": None,
        "namespace": None,
        "peer": f"{peer[0]}:{peer[1]}" if peer else None,
        "method": f"{scope['method']} {scope['path'][:_MAX_PATH]}",
        "allowed": False,
        "reason": reason,
        "status": HTTPStatus(status).name,
    }
