"""The refusal log: one line for each request that was refused, with its peer and no content."""

from http import HTTPStatus
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


class RefusalLog:
    """Logs answers whose status says that a request was refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and looks at the status of its answer."""

        async def watch_start(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in _REFUSALS:
                peer = scope.get("client")
                _log.info(
                    "request refused",
                    method=scope["method"],
                    path=scope["path"][:_MAX_PATH],
                    status=int(message["status"]),
                    peer=f"{peer[0]}:{peer[1]}" if peer else None,
                )
            await send(message)

        await self._app(scope, receive, watch_start)
