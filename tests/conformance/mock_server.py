"""The other side of http and llm nodes: one server on the loopback for both runtimes, with answers that never vary."""

import json
import threading
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

_SHOWN_HEADERS = ("content-type", "x-one", "x-two", "x-three")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error: canceled calls do."""


class MockServer:
    """A running server.

    /echo/…     answers with the request as JSON
    /status/N   answers with that status
    /text       answers with some text
    /v1/…       a language model that says what it was asked, after the manner of OpenAI's API
    """

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave in one segment; two would wait for each other (Nagle, delayed acknowledgement).
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = self._body()
        path = urlsplit(self.path).path
        if path.startswith("/echo/"):
            self._answer(200, json.dumps(self._request(body)), "application/json")
        elif path.startswith("/status/"):
            self._answer(int(path.rsplit("/", 1)[1]), "the status you asked for", "text/plain")
        elif path == "/text":
            self._answer(200, "some t\u00e9xt \U0001f600", "text/plain; charset=utf-8")
        elif path == "/v1/chat/completions":
            self._complete(json.loads(body))
        else:
            self._answer(404, "not here", "text/plain")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815 - the names that the base class looks up

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _request(self, body: bytes) -> dict[str, Any]:
        shown = {name: self.headers[name] for name in _SHOWN_HEADERS if name in self.headers}
        content: Any = body.decode("utf-8", "backslashreplace")
        if shown.get("content-type", "").startswith("multipart/form-data"):
            parts = message_from_bytes(
                b"Content-Type: " + shown["content-type"].encode() + b"\r\n\r\n" + body
            )
            shown["content-type"] = "multipart/form-data"
            content = [
                [str(part.get("content-disposition")), bytes(part.get_payload(decode=True) or b"").decode()]
                for part in parts.walk()
                if not part.is_multipart()
            ]
        return {"method": self.command, "path": self.path, "headers": shown, "body": content}

    def _complete(self, request: dict[str, Any]) -> None:
        model = request["model"]
        if model.startswith("error-"):
            error = {
                "message": "refused as asked",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
            self._answer(int(model.removeprefix("error-")), json.dumps({"error": error}), "application/json")
            return
        history = "|".join(f"{message['role']}: {message['content']}" for message in request["messages"])
        content = "" if model == "empty" else f"[{model} {float(request['temperature']):g}] {history}"
        whole = {"id": "completion", "created": 1, "model": model}
        if not request.get("stream"):
            message = {"role": "assistant", "content": content}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            answer = {**whole, "object": "chat.completion", "choices": [choice]}
            self._answer(200, json.dumps(answer), "application/json")
            return
        pieces = [content[index : index + 40] for index in range(0, len(content), 40)]
        choices = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
        choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})  # type: ignore[dict-item]  # both are choices
        events = [{**whole, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self._answer(200, text, "text/event-stream")

    def _answer(self, status: int, text: str, content_type: str) -> None:
        body = text.encode("utf-8", "backslashreplace")
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        self.send_header("X-Peer", "yes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Says nothing."""
