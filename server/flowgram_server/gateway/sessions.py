"""Sessions of the console: a browser's cookie stands for the credential that was given when signing in.

The credential stays in this process. The cookie names the session, no script can read it, and it counts only for requests of the
gateway's own page: those of pages from elsewhere, on this machine, too, are as if they had none.
"""

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers
from starlette.types import Scope

from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoRequest, ServerInfoResponse
from flowgram_client._raw import RawClient
from flowgram_server.byte_budget import ByteBudget
from flowgram_server.gateway import json_encoding, openapi_models
from flowgram_server.gateway.errors import CredentialsMissing, RequestInvalid, SessionForeign
from flowgram_server.gateway.forwarding import forwarded
from flowgram_server.gateway.host_check import is_own_origin
from flowgram_server.gateway.request_body import parse_body, read_body
from flowgram_server.gateway.responses import NEVER_KEPT, json_answer

IDLE: Final = 12 * 3600.0
"""Seconds without a request after which a session ends."""

LONGEST: Final = 7 * 24 * 3600.0
"""Seconds after which it ends anyway."""

SESSION_COOKIE: Final = "flowgram_session"

SECURE_SESSION_COOKIE: Final = f"__Host-{SESSION_COOKIE}"
"""The cookie of an encrypted page: no page of a neighboring domain can set one of such a name here."""

MAX_SESSIONS: Final = 10_000
"""So many there are at once; beyond that, the one that was used least lately ends."""

MAX_OF_ONE: Final = 100
"""Sessions of one credential, likewise: nobody ends the sessions of others by signing in again and again."""

_MAX_BODY: Final = 64 * 1024
_READ_TIMEOUT: Final = 10.0
_BEARER: Final = re.compile(r"[!-~]{1,8192}")


@dataclass(slots=True)
class _Session:
    authorization: str
    began: float
    used: float


class Sessions:
    """The sessions of a gateway.

    Args:
        clock: Seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._sessions: dict[bytes, _Session] = {}  # in the order of their last use
        self._counts: Counter[str] = Counter()  # by credential

    def begin(self, authorization: str) -> str:
        """A new session for a credential: what its cookie is to hold."""
        name = secrets.token_urlsafe(32)
        now = self._clock()
        if self._counts[authorization] >= MAX_OF_ONE:
            own = (key for key, each in self._sessions.items() if each.authorization == authorization)
            self._pop(next(own))
        while len(self._sessions) >= MAX_SESSIONS:
            self._pop(next(iter(self._sessions)))
        self._put(_digest(name), _Session(authorization, now, now))
        return name

    def end(self, name: str) -> None:
        """Ends a session, if it is one."""
        self._pop(_digest(name))

    def authorization(self, scope: Scope) -> str | None:
        """The credential of the session that a request belongs to; None: it belongs to none."""
        headers = Headers(scope=scope)
        name = _cookie(scope, headers)
        if name is None or not is_own_page(scope, headers):
            return None
        digest = _digest(name)
        session = self._pop(digest)
        now = self._clock()
        if session is None or now - session.used > IDLE or now - session.began > LONGEST:
            return None
        session.used = now
        self._put(digest, session)  # the one that was used last is the last to go
        return session.authorization

    def _put(self, digest: bytes, session: _Session) -> None:
        self._sessions[digest] = session
        self._counts[session.authorization] += 1

    def _pop(self, digest: bytes) -> _Session | None:
        session = self._sessions.pop(digest, None)
        if session is not None:
            self._counts[session.authorization] -= 1
            if not self._counts[session.authorization]:
                del self._counts[session.authorization]
        return session


class SessionEndpoints:
    """Signs browsers in and out.

    Args:
        client: A client of the service, which says whether a credential is valid.
        sessions: Where sessions are kept.
    """

    def __init__(self, client: RawClient, sessions: Sessions) -> None:
        self._client = client
        self._sessions = sessions
        self._bodies = ByteBudget(100 * _MAX_BODY)

    def router(self) -> APIRouter:
        """All routes."""
        router = APIRouter(prefix="/api/session", responses=_ERRORS)
        router.add_api_route(
            "", self.sign_in, methods=["POST"], response_model=openapi_models.Caller, openapi_extra=_BODY
        )
        router.add_api_route("", self.show, methods=["GET"], response_model=openapi_models.Caller)
        router.add_api_route("", self.sign_out, methods=["DELETE"], status_code=204, response_class=Response)
        return router

    async def sign_in(self, request: Request) -> Response:
        """Signs a browser in with an API key or a token. The answer says who it is, and sets a cookie for the console."""
        if not is_own_page(request.scope, request.headers):
            raise SessionForeign
        with self._bodies.share() as share:
            data = await read_body(
                request, _MAX_BODY, share=share, idle_timeout=_READ_TIMEOUT, min_rate=1024.0
            )
            body = await parse_body(data)
        try:
            key = SignIn.model_validate(body.value, strict=True).key.strip()
        except ValidationError:
            raise RequestInvalid("key: must be a text") from None
        if not _BEARER.fullmatch(key):
            raise RequestInvalid("key: is no API key and no token")
        authorization = f"Bearer {key}"
        forwarded.set(
            (
                *((name, value) for name, value in forwarded.get() if name != "authorization"),
                ("authorization", authorization),
            )
        )
        answer = await self._caller()
        self._end(request)
        name = self._sessions.begin(authorization)
        response = json_answer(answer, headers=NEVER_KEPT)
        # The page knows whether it was served encrypted, also where a proxy did that.
        secure = _is_encrypted(request.scope) or request.headers.get("origin", "").startswith("https:")
        _set_cookie(response, name, round(LONGEST), secure=secure)
        return response

    async def show(self) -> Response:
        """Who calls: by the session of the console, or by a credential of the request's own."""
        return json_answer(await self._caller(), headers=NEVER_KEPT)

    async def sign_out(self, request: Request) -> Response:
        """Ends the session. Idempotent."""
        if not is_own_page(request.scope, request.headers):
            raise SessionForeign
        self._end(request)
        response = Response(status_code=HTTPStatus.NO_CONTENT, headers=NEVER_KEPT)
        for secure in (False, True):
            _set_cookie(response, "", 0, secure=secure)
        return response

    async def _caller(self) -> Mapping[str, str]:
        info: ServerInfoResponse = await self._client.call("ServerInfo", ServerInfoRequest())
        if not info.HasField("caller"):
            raise CredentialsMissing
        return json_encoding.caller(info.caller)

    def _end(self, request: Request) -> None:
        name = _cookie(request.scope, request.headers)
        if name is not None:
            self._sessions.end(name)


class SignIn(BaseModel):
    """What a browser sends to be signed in."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[str, Field(max_length=8192, description="An API key, or a token.")]


_BODY: Final = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": SignIn.model_json_schema()}}}
}
_ERRORS: Final[dict[int | str, dict[str, object]]] = {
    "default": {"model": openapi_models.Error, "description": "What went wrong."},
    401: {"model": openapi_models.Error, "description": "The key is not valid, or there is no session."},
    403: {"model": openapi_models.Error, "description": "A page from elsewhere asks."},
}


def is_own_page(scope: Scope, headers: Headers) -> bool:
    """Whether a request is one of the gateway's own page, and not of another that the same browser shows.

    `SameSite` alone does not say so: to it, all ports of a machine are one site.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        return False
    origin = headers.get("origin")
    if origin is not None:
        return is_own_origin(origin, headers)
    # Browsers name their origin wherever something may change.
    return site is not None or scope["method"] in {"GET", "HEAD"}


def _set_cookie(response: Response, value: str, seconds: int, *, secure: bool) -> None:
    response.set_cookie(
        SECURE_SESSION_COOKIE if secure else SESSION_COOKIE,
        value,
        max_age=seconds,
        path="/" if secure else "/api",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def _cookie(scope: Scope, headers: Headers) -> str | None:
    """What the session's cookie holds; None where there is none, or several, of which one is somebody else's."""
    pairs = [part.strip().partition("=") for text in headers.getlist("cookie") for part in text.split(";")]
    encrypted = _is_encrypted(scope)
    for wanted in (SECURE_SESSION_COOKIE,) if encrypted else (SECURE_SESSION_COOKIE, SESSION_COOKIE):
        found = [value for name, _, value in pairs if name == wanted]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _is_encrypted(scope: Scope) -> bool:
    """Whether the gateway's own port is. Behind a proxy that decrypts it is not."""
    return scope.get("scheme") == "https"


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
