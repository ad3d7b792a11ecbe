"""API keys of a server in the test."""

from datetime import UTC, datetime
from pathlib import Path

from flowgram_server.auth.api_keys import RoleName, change_keys, new_key

Metadata = tuple[tuple[str, str], ...]


def add_key(path: Path, namespace: str = "default", role: RoleName = "runner") -> Metadata:
    """Adds a key to a file; the metadata of its bearer."""
    text, key = new_key(namespace=namespace, role=role, lifetime=None, note="", now=datetime.now(UTC))
    change_keys(path, lambda keys: [*keys, key])
    return (("authorization", f"Bearer {text}"),)
