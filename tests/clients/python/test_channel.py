from typing import Any

import pytest

from flowgram_client import InvalidValueError
from flowgram_client._channel import Credentials, call_metadata, channel_options


@pytest.mark.parametrize("target", ["localhost:1", "127.0.0.1:1", "[::1]:1", "dns:///127.0.0.2:1"])
def test_no_proxy_stands_before_this_machine(target: str) -> None:
    """A proxy from the environment is not used for the loopback interface."""
    assert dict(channel_options(target))["grpc.enable_http_proxy"] == 0


def test_a_proxy_may_stand_before_others() -> None:
    """Elsewhere the environment decides."""
    assert "grpc.enable_http_proxy" not in dict(channel_options("flows.example.com:443"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Authorization", "x"),
        ("a b", "x"),
        ("", "x"),
        (1, "x"),
        ("a", "\udcff"),
        ("a", "é"),
        ("a", "x\ny"),
        ("a", 1),
        ("a-bin", "x"),
    ],
)
def test_metadata_that_no_call_can_carry(key: Any, value: Any) -> None:
    """It is refused before anything is sent, where gRPC has an error of its own for each way of calling."""
    with pytest.raises(InvalidValueError, match=r"^metadata: "):
        call_metadata([("tenant", "blue"), (key, value)])


def test_metadata_of_calls() -> None:
    """Bytes go under keys that end in `-bin`."""
    given = [("authorization", "Bearer a.b~c"), ("x-trace-bin", b"\x00\xff"), ("a", b"text")]
    assert call_metadata(given) == tuple(given)


def test_the_callers_options_win() -> None:
    """Each option can be set, those of this package included."""
    options = dict(channel_options("a:1", [("grpc.keepalive_time_ms", 1), ("x", "y")]))
    assert (options["grpc.keepalive_time_ms"], options["x"]) == (1, "y")


def test_a_token() -> None:
    """It is a bearer's; a function that gives it is asked at every call."""
    assert Credentials([("a", "b")], " t ").metadata() == (("a", "b"), ("authorization", "Bearer t"))
    tokens = iter(["one", "two"])
    credentials = Credentials([], lambda: next(tokens))
    assert [credentials.metadata()[0][1] for _ in range(2)] == ["Bearer one", "Bearer two"]
    assert Credentials([("a", "b")], None).metadata() == (("a", "b"),)


@pytest.mark.parametrize("token", ["", " ", "é", "a\nb", lambda: None, lambda: "", 1])
def test_tokens_that_are_none(token: Any) -> None:
    """They are refused before anything is sent, and the text does not tell them."""
    with pytest.raises(InvalidValueError) as caught:
        Credentials([], token).metadata()
    assert "é" not in str(caught.value)


def test_two_callers() -> None:
    """A token and an authorization of one's own do not go together."""
    with pytest.raises(InvalidValueError, match="authorization"):
        Credentials([("authorization", "Basic x")], "t")
