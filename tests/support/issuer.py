"""An issuer of tokens, with keys that it publishes on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://id.example.com/"
AUDIENCE = "flowgram"

_SHAPES: dict[type[Any], Any] = {
    rsa.RSAPrivateKey: RSAAlgorithm,
    ec.EllipticCurvePrivateKey: ECAlgorithm,
    ed25519.Ed25519PrivateKey: OKPAlgorithm,
}


class Issuer:
    """Signs tokens.

    Attributes:
        keys: By their ids.
        fetches: How often its keys were asked for.
        away: Whether it answers with an error.
        redirect: Where it sends those who ask for its keys at another path.
    """

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"one": ec.generate_private_key(ec.SECP256R1())}
        self.fetches = 0
        self.away = False
        self.redirect = ""

    def key_set(self) -> str:
        """Its keys, as they are published."""
        entries = []
        for key_id, key in self.keys.items():
            shape = next(shape for kind, shape in _SHAPES.items() if isinstance(key, kind))
            entries.append({**json.loads(shape.to_jwk(key.public_key())), "kid": key_id, "use": "sig"})
        return json.dumps({"keys": entries})

    def token(self, key_id: str = "one", algorithm: str = "ES256", /, **changes: Any) -> str:
        """A token of somebody who may run in team-a, with changes; None takes a claim away."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "somebody",
            "exp": int(time.time()) + 600,
            "namespace": "team-a",
            "roles": ["runner"],
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(claims, self.keys[key_id], algorithm=algorithm, headers={"kid": key_id})

    @contextmanager
    def published(self) -> Iterator[str]:
        """Where the keys can be fetched, for as long as the block lasts."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                if issuer.redirect and self.path != "/keys":
                    self.send_response(302)
                    self.send_header("Location", issuer.redirect)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = issuer.key_set().encode()
                self.send_response(503 if issuer.away else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
