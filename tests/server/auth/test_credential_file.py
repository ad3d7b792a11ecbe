import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flowgram_server.auth.api_keys import read_keys
from flowgram_server.auth.credential_file import read_credentials
from flowgram_server.auth.errors import CredentialFileUnusable
from flowgram_server.auth.signing_keys import read_key_set
from flowgram_server.auth.tls import ServerTLS, TLSFiles


def test_a_file(tmp_path: Path) -> None:
    """Its bytes, up to a bound; also where a link leads to it, as in Kubernetes."""
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"12345")
    link.symlink_to("file")
    assert read_credentials(link, 5) == b"12345"
    with pytest.raises(CredentialFileUnusable, match=r"link: has more than 4 bytes"):
        read_credentials(link, 4)


@pytest.mark.parametrize(
    "read",
    [read_keys, read_key_set, lambda path: ServerTLS(TLSFiles(path, path))],
    ids=["keys", "jwks", "tls"],
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "nothing", "dead link"])
def test_what_is_no_file(tmp_path: Path, kind: str, read: Callable[[Path], object]) -> None:
    """It is named, nobody waits for what may never come, and no descriptor stays open: files are looked at again and again."""
    path = tmp_path / "file"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dead link":
        path.symlink_to("nowhere")
    with pytest.raises(
        CredentialFileUnusable, match=r"/file: (is no regular file|No such file|Is a directory)"
    ):
        read(path)
