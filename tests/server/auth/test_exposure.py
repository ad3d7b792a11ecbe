import pytest

from flowgram_server.auth.exposure import exposure_problems
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.loading import load_settings


def problems(
    *listens: str, has_tls: bool = False, has_auth: bool = False, insecure_remote: bool = False
) -> list[str]:
    return exposure_problems(
        dict(zip(("listen", "http_listen"), listens, strict=True)),
        has_tls=has_tls,
        has_auth=has_auth,
        insecure_remote=insecure_remote,
    )


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.9.1:1", "[::1]:1", "localhost:1"])
def test_loopback_is_open(listen: str) -> None:
    """On this machine alone nothing is asked for."""
    assert problems(listen, "") == []


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "server.internal:1"])
def test_beyond_loopback(listen: str) -> None:
    """Whatever other machines can reach takes TLS and authentication, both, unless somebody wants it otherwise."""
    for at in ((listen, ""), ("127.0.0.1:1", listen)):
        for missing in ({}, {"has_tls": True}, {"has_auth": True}):
            [text] = problems(*at, **missing)
            assert listen in text
            assert "insecure_remote" in text
            assert ("[tls]" in text, "[auth]" in text) == (
                "has_tls" not in missing,
                "has_auth" not in missing,
            )
        assert problems(*at, has_tls=True, has_auth=True) == []
        assert problems(*at, insecure_remote=True) == []


def test_the_settings_are_checked() -> None:
    """Each address is named."""
    settings = load_settings(flags={"listen": "0.0.0.0:1", "http_listen": "0.0.0.0:2"})
    with pytest.raises(InvalidSettings, match=r"(?s)listen: 0\.0\.0\.0:1 .*http_listen: 0\.0\.0\.0:2 "):
        settings.check_exposure()
    load_settings(flags={"listen": "0.0.0.0:1", "insecure_remote": True}).check_exposure()
