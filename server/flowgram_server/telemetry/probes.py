"""Probes of orchestrators over HTTP: `/healthz` and `/readyz`, without credentials."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from flowgram_server.telemetry.readiness import Readiness


def health_routes(readiness: Readiness) -> list[Route]:
    """`/healthz`: whether the process answers at all. `/readyz`: whether it can be given work, else 503 and why not."""

    async def healthz(_: Request) -> Response:
        return _answer(None)

    async def readyz(_: Request) -> Response:
        return _answer(readiness.problem)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def _answer(problem: str | None) -> Response:
    return PlainTextResponse(
        f"{problem or 'ok'}\n",
        status_code=200 if problem is None else 503,
        headers={"Cache-Control": "no-store"},
    )
