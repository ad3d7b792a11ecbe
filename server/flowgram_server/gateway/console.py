"""The console: the web page that shows and runs workflows, served from the files that this package holds.

`make console` builds them. A server without them says so in place of the page, and runs as ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response

BUNDLE: Final = Path(__file__).with_name("console_bundle")
"""Where the build puts its files."""

FEATURE: Final = "console"
"""What ServerInfo calls it."""

_POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # the canvas makes its styles while it runs
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
CONTENT_SECURITY_POLICY: Final = "; ".join(f"{directive} {sources}" for directive, sources in _POLICY.items())
"""Nothing is loaded from elsewhere, and nothing is sent there, whatever a workflow's values look like."""

_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGE_CACHE: Final = "no-cache"
_ASSET_CACHE: Final = "public, max-age=31536000, immutable"
"""The names of assets change with their content."""

_MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".md": "text/markdown",
    ".svg": "image/svg+xml",
}
_COMPRESSED: Final = ".gz"

_PAGES: Final = ("/", "/run", "/compare", "/tasks", "/tasks/{task_id}")
"""Addresses of the page: it finds out by itself what each shows."""

_NOT_BUILT: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>FlowGram</title></head>
<body>
<h1>FlowGram</h1>
<p>The server is running. It was installed without its console: in a clone of the repository, <code>make console</code> builds it.</p>
<p>The REST API is described by <a href="/api/openapi.json">/api/openapi.json</a>.</p>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the bundle.

    Attributes:
        content: Its bytes.
        compressed: The same, by gzip; None where that would be no smaller.
        media_type: What it is.
        etag: Changes with the content.
    """

    content: bytes
    compressed: bytes | None
    media_type: str
    etag: str


def read_bundle(folder: Path = BUNDLE) -> dict[str, File]:
    """The files of a bundle by their path, such as `/assets/index-1234.js`; none if it was not built."""
    if not (folder / "index.html").is_file():
        return {}
    return {
        f"/{path.relative_to(folder).as_posix()}": _read(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in _MEDIA_TYPES and path.is_file()
    }


def _read(path: Path) -> File:
    content = path.read_bytes()
    compressed = path.with_name(path.name + _COMPRESSED)
    return File(
        content,
        compressed.read_bytes() if compressed.is_file() else None,
        _MEDIA_TYPES[path.suffix],
        f'"{blake2b(content, digest_size=12).hexdigest()}"',
    )


def add_console(app: FastAPI, files: Mapping[str, File]) -> None:
    """Serves the console and the page of the API's documentation.

    Args:
        app: Where the routes are added.
        files: The bundle; where it is empty, both pages say that it was not built.
    """

    async def page(request: Request) -> Response:
        return _answer(request, files.get("/index.html"))

    async def documentation(request: Request) -> Response:
        return _answer(request, files.get("/docs.html"))

    async def asset(request: Request) -> Response:
        return _answer(request, files[request.url.path])

    for path in _PAGES:
        app.add_route(path, page, methods=["GET"], include_in_schema=False)
    app.add_route("/api/docs", documentation, methods=["GET"], include_in_schema=False)
    for path in files:
        if not path.endswith(".html"):
            app.add_route(path, asset, methods=["GET"], include_in_schema=False)


def not_found_page(request: Request, files: Mapping[str, File]) -> Response | None:
    """The page, which says that it does not know its address; None for what is asked for by no person, or of the API."""
    page = files.get("/index.html")
    by_person = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
    if page is None or not by_person or request.url.path.startswith("/api/"):
        return None
    headers = {**_HEADERS, "Cache-Control": _PAGE_CACHE}
    return Response(page.content, HTTPStatus.NOT_FOUND, headers, media_type=page.media_type)


def _answer(request: Request, file: File | None) -> Response:
    if file is None:
        return Response(_NOT_BUILT, HTTPStatus.NOT_FOUND, _HEADERS, media_type="text/html")
    headers = {
        **_HEADERS,
        "Cache-Control": _ASSET_CACHE if request.url.path.startswith("/assets/") else _PAGE_CACHE,
        "ETag": file.etag,
        "Vary": "Accept-Encoding",
    }
    if file.etag in request.headers.get("If-None-Match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    content = file.content
    if file.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        content = file.compressed
        headers["Content-Encoding"] = "gzip"
    return Response(content, headers=headers, media_type=file.media_type)
