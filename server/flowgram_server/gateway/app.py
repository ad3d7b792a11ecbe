"""The ASGI application: the endpoints with error answers, CORS and OpenAPI around them."""

from collections.abc import Iterable, Mapping
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flowgram_client import RequestError
from flowgram_server.auth.audit import AuditLog
from flowgram_server.gateway.console import File, add_console, not_found_page
from flowgram_server.gateway.endpoints import Endpoints
from flowgram_server.gateway.errors import (
    INTERNAL_MESSAGE,
    ErrorAnswer,
    GatewayError,
    RequestInvalid,
    answer_to,
)
from flowgram_server.gateway.field_problems import problems_of
from flowgram_server.gateway.host_check import AllowedHosts, HostCheck, is_own_origin
from flowgram_server.gateway.refusal_log import RefusalLog, leave_to_service
from flowgram_server.gateway.responses import error_answer
from flowgram_server.gateway.sessions import SessionEndpoints
from flowgram_server.settings.gateway import LOOPBACK
from flowgram_server.telemetry.probes import health_routes
from flowgram_server.telemetry.readiness import Readiness

_LOOPBACK_ORIGINS = r"https?://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?"

_HARMLESS = {"GET", "HEAD", "OPTIONS"}

_DESCRIPTION = "FlowGram's REST API over the FlowGram runtime. Times are in milliseconds."

_log = structlog.get_logger(__name__)


def create_app(
    endpoints: Endpoints,
    cors_origins: Iterable[str],
    allowed_hosts: AllowedHosts,
    console: Mapping[str, File] | None = None,
    readiness: Readiness | None = None,
    sessions: SessionEndpoints | None = None,
    audit: AuditLog | None = None,
) -> FastAPI:
    """The gateway as an ASGI application.

    Args:
        endpoints: Answer the requests.
        cors_origins: The origins whose pages may use it; `*` stands for all, `loopback` for those on this machine.
        allowed_hosts: The names that the gateway is known by.
        console: The files of the console, by path; None or nothing: its pages say that it was not built.
        readiness: What probes are answered; None: that it is ready.
        sessions: Sign browsers in and out; None: nobody can be signed in.
        audit: Where refusals of the gateway itself are written; None: nowhere.
    """
    app = FastAPI(
        title="FlowGram Runtime",
        description=_DESCRIPTION,
        version=version("flowgram-server"),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(RefusalLog, audit=audit),
            Middleware(HostCheck, allowed=allowed_hosts),
            _cors(frozenset(cors_origins)),
            Middleware(_Defects),
        ],
        exception_handlers={
            GatewayError: _on_error,
            RequestError: _on_error,
            RequestValidationError: _on_invalid_parameters,
            HTTPException: partial(_on_http_error, console or {}),
            ClientDisconnect: _on_disconnect,
        },
        generate_unique_id_function=lambda route: route.name,
    )
    app.include_router(endpoints.router())
    app.router.routes.extend(health_routes(readiness or Readiness(None)))
    if sessions is not None:
        app.include_router(sessions.router())
    add_console(app, console or {})
    return app


class _Origins(CORSMiddleware):
    """CORS that does not leave it to browsers to keep pages from elsewhere from changing anything.

    A page whose own name was made to lead to this machine asks as one of the same origin, without asking first: such
    requests are refused for their Host, see `hosts`.
    """

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answers a browser that asks whether a page may ask."""
        response = super().preflight_response(request_headers)
        if response.status_code == HTTPStatus.OK:
            return response
        if self.is_allowed_origin(request_headers["origin"]):
            refusal = ErrorAnswer(response.status_code, "ARGUMENT_INVALID", bytes(response.body).decode())
        else:
            refusal = _not_allowed(request_headers["origin"])
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return error_answer(refusal, headers)

    async def simple_response(
        self, scope: Scope, receive: Receive, send: Send, request_headers: Headers
    ) -> None:
        """Answers a request that is no question of a browser's whether it may ask."""
        origin = request_headers.get("origin")
        if origin is not None and is_own_origin(origin, request_headers):
            await self.app(scope, receive, send)  # the console, under whichever name it was opened
            return
        if scope["method"] in _HARMLESS or origin is None or self.is_allowed_origin(origin):
            await super().simple_response(scope, receive, send, request_headers)
            return
        await error_answer(_not_allowed(origin), {"Vary": "Origin"})(scope, receive, send)


def _not_allowed(origin: str) -> ErrorAnswer:
    message = f"pages of {origin} may not use this gateway: the setting cors_origins does not allow it"
    return ErrorAnswer(HTTPStatus.FORBIDDEN, "ORIGIN_NOT_ALLOWED", message)


class _Defects:
    """Answers what nobody foresaw, inside of CORS, so that pages can read that too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watch_start)
        except Exception as error:
            if started:
                raise  # the server breaks off the answer, and logs why
            _log.error("internal error", path=scope.get("path"), exc_info=error)
            answer = ErrorAnswer(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", INTERNAL_MESSAGE)
            await error_answer(answer)(scope, receive, send)


def _cors(origins: frozenset[str]) -> Middleware:
    return Middleware(
        _Origins,
        allow_origins=origins - {LOOPBACK},
        allow_origin_regex=_LOOPBACK_ORIGINS if LOOPBACK in origins else None,
        allow_methods=("GET", "POST", "PUT"),
        allow_headers=(
            *("Authorization", "Cache-Control", "Content-Type"),
            *("Flowgram-Namespace", "Last-Event-ID", "Traceparent", "Tracestate"),
        ),
        expose_headers=("Retry-After", "WWW-Authenticate"),
        # A page from elsewhere that is allowed by name may reach a gateway on this machine.
        allow_private_network=True,
    )


async def _on_error(request: Request, error: Any) -> Response:
    if isinstance(error, RequestError):
        leave_to_service(request.scope)
    return error_answer(answer_to(error))


async def _on_invalid_parameters(_: Request, error: Any) -> Response:
    problems = problems_of([{**each, "loc": each["loc"][1:]} for each in error.errors()])
    return error_answer(answer_to(RequestInvalid(*problems)))


async def _on_http_error(console: Mapping[str, File], request: Request, error: Any) -> Response:
    """Answers for a path or a method that does not exist: people get a page that says so."""
    status = HTTPStatus(error.status_code)
    page = not_found_page(request, console) if status == HTTPStatus.NOT_FOUND else None
    if page is not None:
        return page
    shown = f"{request.method} {request.url.path}: {status.phrase}"
    return error_answer(ErrorAnswer(status, status.name, shown), error.headers)


async def _on_disconnect(_: Request, __: Any) -> Response:
    """Nobody reads it."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)
