"""Workflow secrets: their values, their hosts, and how they get into a request."""

import base64
import logging
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from support.node_calls import FakeContext, prepare
from support.raw_http import RawServer, Received, response

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.secrets import scrub
from flowgram_core.modeling.bindings import no_inputs
from flowgram_core.modeling.document import Node
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.node_settings import LLMSettings
from flowgram_core.nodes.workflow_secrets import SecretHost, SecretSource, WorkflowSecrets
from flowgram_server.fake_openai import FakeOpenAI

VALUE = "s3cr3t-" + "0123456789abcdef"
USES = {"headers.X": ("KEY",)}


def hosts(*texts: str) -> tuple[SecretHost, ...]:
    return tuple(map(SecretHost.parse, texts))


def secret(tmp_path: Path, *texts: str, value: str = VALUE, **more: Any) -> SecretSource:
    file = tmp_path / "secret"
    file.write_text(value + "\n")
    return SecretSource(hosts(*texts or ("127.0.0.1",)), file, **more)


@pytest.mark.parametrize(
    ("host", "url", "has"),
    [
        ("api.example", "https://api.example/x", True),
        ("api.example", "https://API.example.:8443/x", True),
        ("api.example", "https://other.example/", False),
        ("api.example", "https://api.example.evil/", False),
        ("api.example", "http://api.example/", False),
        ("http://api.example", "http://api.example/", True),
        ("https://api.example", "http://api.example/", False),
        ("api.example:443", "https://api.example/", True),
        ("api.example:443", "https://api.example:444/", False),
        ("*.example", "https://a.b.example/", True),
        ("*.example", "https://example/", False),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://api.example/", False),
        ("localhost:8000", "http://localhost:8000/", True),
        ("127.0.0.1", "http://127.0.0.1:9/", True),
        ("127.0.0.1", "http://localhost:9/", False),
        ("::1", "http://[::1]:9/", True),
    ],
)
def test_hosts(host: str, url: str, has: bool) -> None:
    """By name and port; without TLS only to this machine, or where the settings say so."""
    assert SecretHost.parse(host).has(httpx2.URL(url)) is has


@pytest.mark.parametrize("text", ["*", "private", "link-local", "ftp://a.example", "a b", "", "*:443"])
def test_what_is_no_host_is_refused(text: str) -> None:
    """A secret is for certain hosts."""
    with pytest.raises(ValueError, match=r'^"'):
        SecretHost.parse(text)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Also one that was put in its place; a line break at its end is no part of the value."""
    source = secret(tmp_path)
    secrets = WorkflowSecrets({"KEY": source})
    assert value_of(secrets) == VALUE
    assert source.file is not None
    other = tmp_path / "other"
    other.write_text("another value\r\n")
    other.replace(source.file)
    assert value_of(secrets) == "another value"


def value_of(secrets: WorkflowSecrets, namespace: str = "default") -> str:
    opened = secrets.open(USES, namespace)
    assert opened is not None
    return opened.values["KEY"]


def failure(secrets: WorkflowSecrets, namespace: str = "default") -> str:
    with pytest.raises(NodeError) as caught:
        value_of(secrets, namespace)
    return str(caught.value)


def test_a_secret_that_cannot_be_read_fails_its_node_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why, once; the node's error says that it cannot be read, and not where it is."""
    source = secret(tmp_path)
    secrets = WorkflowSecrets({"KEY": source, "GOOD": SecretSource(hosts("a.example"), env="GOOD")})
    assert source.file is not None
    os.mkfifo(tmp_path / "pipe")
    for make in (
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_text("\n"),
        lambda path: path.write_text("x" * 100_000),
        lambda path: (path.unlink(), path.symlink_to(tmp_path / "pipe")),
    ):
        make(source.file)
        caplog.clear()
        for _ in range(3):
            assert failure(secrets) == 'The secret "KEY" cannot be read at the moment'
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "KEY" in record.getMessage()
    source.file.unlink()
    source.file.write_text("back again")
    assert value_of(secrets) == "back again"


def test_a_secret_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is missing, the node fails."""
    secrets = WorkflowSecrets({"KEY": SecretSource(hosts("a.example"), env="MY_SECRET")})
    monkeypatch.delenv("MY_SECRET", raising=False)
    assert failure(secrets) == 'The secret "KEY" cannot be read at the moment'
    monkeypatch.setenv("MY_SECRET", VALUE)
    assert value_of(secrets) == VALUE


def test_a_namespace_that_may_not_use_a_secret_knows_nothing_of_it(tmp_path: Path) -> None:
    """Its error is that of a secret that there is not."""
    secrets = WorkflowSecrets({"KEY": secret(tmp_path, namespaces=frozenset({"team-a"}))})
    assert value_of(secrets, "team-a") == VALUE
    assert failure(secrets, "team-b") == failure(WorkflowSecrets(), "team-a")
    assert secrets.for_host(httpx2.URL("http://127.0.0.1/"), "team-b") is None


def test_known_texts_are_all_values_in_all_forms(tmp_path: Path) -> None:
    """Former ones too: a server may still send them back."""
    now = 0.0
    source = secret(tmp_path, value='a "quoted" value')
    secrets = WorkflowSecrets({"KEY": source}, monotonic=lambda: now)
    assert set(secrets.known_texts().values()) == {"{{secrets.KEY}}"}
    assert {
        'a "quoted" value',
        'a \\"quoted\\" value',
        "a%20%22quoted%22%20value",
        "a+%22quoted%22+value",
        "a &quot;quoted&quot; value",
    } <= secrets.known_texts().keys()
    assert source.file is not None
    source.file.write_text("next value")
    now = 2.0
    assert {"next value", 'a "quoted" value'} <= secrets.known_texts().keys()
    assert WorkflowSecrets().known_texts() == {}


def test_credentials_in_base64_are_known_as_what_they_hold(tmp_path: Path) -> None:
    """A server may send the name and the password back; other values that happen to be base64 hold nothing."""
    value = base64.b64encode(b"user:pass~w*rd/\xc3\xbc").decode()
    forms = WorkflowSecrets({"KEY": secret(tmp_path, value=value)}).known_texts()
    assert {value, "user:pass~w*rd/ü", "pass~w*rd/ü", "pass~w*rd/\\u00fc", "pass~w*rd\\/ü"} <= forms.keys()
    assert "pass%7Ew*rd%2F%C3%BC" in forms
    forms = WorkflowSecrets({"KEY": secret(tmp_path, value="abcdefgh")}).known_texts()
    assert base64.b64decode("abcdefgh").hex() not in forms


@pytest.mark.parametrize("value", [VALUE, "eight-by", "p\u00e4ss/w\u00f6rd?>", "0123456789"])
@pytest.mark.parametrize("before", ["", "x", "user:", "Bearer "])
@pytest.mark.parametrize("after", ["", "y", "zz", "\n"])
def test_encoded_echoes_are_masked(tmp_path: Path, value: str, before: str, after: str) -> None:
    """Whatever stands around a secret that is sent back in base64, next to nothing of it is left; hexadecimal digits likewise."""
    known = WorkflowSecrets({"KEY": secret(tmp_path, value=value)}).known_texts()
    data = f"{before}{value}{after}".encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        shown = scrub(f"<{encode(data).decode()}>", known)
        assert "{{secrets.KEY}}" in shown
        left = shown.removeprefix("<").partition("{{secrets.KEY}}")
        # Of each end, less than a group of four digits; the rest is that of the texts around it.
        assert len(left[0]) <= len(base64.b64encode(before.encode())) + 4
        assert len(left[2]) <= len(base64.b64encode(after.encode())) + 5
    for digits in (data.hex(), data.hex().upper()):
        assert value.encode().hex() not in scrub(digits, known).lower()
    escaped = re.sub("%..", lambda match: match[0].lower(), quote(value, safe=""))
    assert scrub(escaped, known) == "{{secrets.KEY}}"


def test_what_is_inserted_beside_a_secret_cannot_name_it(tmp_path: Path) -> None:
    """Inputs get no secret by writing its placeholder, nor by halves of it."""
    opened = WorkflowSecrets({"KEY": secret(tmp_path)}).open(USES, "default")
    assert opened is not None
    assert opened.fill("a {{secrets.KEY}} {{secrets.OTHER}}", ["KEY"]) == f"a {VALUE} {{{{secrets.OTHER}}}}"
    with pytest.raises(NodeError, match="must not contain"):
        opened.fill("a {{secrets.KEY}} {{secrets.KEY}}", ["KEY"])
    with pytest.raises(NodeError, match="must not contain"):
        opened.fill("nothing", ["KEY"])


def test_a_value_is_not_looked_through_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And in JSON, a text that is a secret as a whole is escaped."""
    monkeypatch.setenv("OTHER_SECRET", '{{secrets.KEY}} "x"')
    sources = {"KEY": secret(tmp_path), "OTHER": SecretSource(hosts("a.example"), env="OTHER_SECRET")}
    opened = WorkflowSecrets(sources).open({"body.json": ("OTHER", "KEY", "OTHER")}, "default")
    assert opened is not None
    text = '{"a": "{{secrets.OTHER}}", "b": "{{secrets.KEY}}-{{secrets.OTHER}}"}'
    filled = opened.fill(text, ("OTHER", "KEY", "OTHER"), in_json=True)
    assert filled == f'{{"a": "{{{{secrets.KEY}}}} \\"x\\"", "b": "{VALUE}-{{{{secrets.KEY}}}} "x""}}'


def http_call(url: str, uses: dict[str, tuple[str, ...]], **more: Any) -> Call:
    inputs = {
        "method": "POST",
        "url": url,
        "headers": {},
        "params": {},
        "bodyType": "none",
        "body": "",
        "retryTimes": 0,
        "timeout": 20_000,
        **more,
    }
    return Call("http_0", Node("http_0", "http", "", {}, no_inputs, secrets=uses), inputs)


async def test_a_request_has_secrets_in_headers_params_and_body(tmp_path: Path) -> None:
    """In every form of body; the call's own inputs stay as they are."""
    mark, key = "{{secrets.KEY}}", ("KEY",)
    both: dict[str, Any] = {"headers": {"X": f"Bearer {mark}"}, "params": {"p": mark}}
    uses = {"headers.X": key, "params.p": key}
    async with (
        RawServer(response(b"ok")) as server,
        HTTPNode(secrets=WorkflowSecrets({"KEY": secret(tmp_path)})) as node,
    ):
        for body_type, field, body in (
            ("JSON", "body.json", f'{{"k": "{mark}"}}'),
            ("raw-text", "body.rawText", f"k {mark}"),
            ("binary", "body.binary", mark),
            ("x-www-form-urlencoded", "xWwwFormUrlencoded.k", f'{{"k": "{mark}", "other": "{mark}"}}'),
            ("form-data", "formData.k", f'{{"k": "{mark}"}}'),
        ):
            call = http_call(server.url, {**uses, field: key}, bodyType=body_type, body=body, **both)
            await node.execute(call, FakeContext())
            assert VALUE not in str(call)
            received = server.received[-1]
            assert received.headers["x"] == f"Bearer {VALUE}"
            assert received.target == f"/?p={VALUE}"
            assert VALUE.encode() in received.body
            assert (b"secrets.KEY" in received.body) == (body_type == "x-www-form-urlencoded")


async def test_a_call_has_the_secrets_of_its_namespace(tmp_path: Path) -> None:
    """For nodes of others, and for the keys of models, there is none."""
    secrets = WorkflowSecrets({"KEY": secret(tmp_path, namespaces=frozenset({"team-a"}))})
    async with RawServer(response(b"ok")) as server, HTTPNode(secrets=secrets) as node:
        call = http_call(server.url, USES, headers={"X": "{{secrets.KEY}}"})
        await node.execute(call, FakeContext(namespace="team-a"))
        with pytest.raises(NodeError, match='There is no secret "KEY" for this workflow'):
            await node.execute(call, FakeContext(namespace="team-b"))
        assert len(server.received) == 1
    async with FakeOpenAI(delay=0) as model, LLMNode(secrets=secrets) as node:
        for namespace, has in (("team-a", True), ("team-b", False)):
            await node.execute(llm_call(node, model.base_url, {}), FakeContext(namespace=namespace))
            assert ("authorization" in model.asked[-1].headers) is has


async def test_a_secret_is_sent_to_no_other_host(tmp_path: Path) -> None:
    """Not at once, and not behind a redirect, whatever would be left of the request there."""
    async with RawServer(response(b"stolen")) as other:
        away = response(status="303 See Other", Location=f"http://localhost:{other.port}/")
        async with RawServer(away) as server:
            secrets = WorkflowSecrets({"KEY": secret(tmp_path, f"127.0.0.1:{server.port}")})
            async with HTTPNode(secrets=secrets) as node:
                for url in (server.url, other.url):
                    call = http_call(url, USES, headers={"X": "{{secrets.KEY}}"})
                    with pytest.raises(NodeError, match=r'"KEY" is not sent to ".*", which it is not for'):
                        await node.execute(call, FakeContext())
            assert len(server.received) == 1
        assert other.received == []


async def test_a_host_header_leads_no_secret_elsewhere(tmp_path: Path) -> None:
    """Where several hosts share an address, the header says which of them gets a request: it must be one that the secret is for."""
    async with RawServer(response(b"ok")) as server:
        names = f"127.0.0.1:{server.port}", "api.example"
        secrets = WorkflowSecrets({"KEY": secret(tmp_path, *names)})
        async with HTTPNode(secrets=secrets) as node:
            for name in ("evil.example", "api.example.evil", "api.example@evil.example", "", " "):
                headers = {"X": "{{secrets.KEY}}", "HOST": name}
                with pytest.raises(NodeError):
                    await node.execute(http_call(server.url, USES, headers=headers), FakeContext())
            assert server.received == []
            headers = {"X": "{{secrets.KEY}}", "Host": f"127.0.0.1:{server.port}"}
            await node.execute(http_call(server.url, USES, headers=headers), FakeContext())
            # Without a secret, any name goes.
            await node.execute(http_call(server.url, {}, headers={"Host": "other.example"}), FakeContext())
        assert [each.headers["host"] for each in server.received] == [names[0], "other.example"]


def llm_call(node: LLMNode, api_host: str, uses: dict[str, tuple[str, ...]], **more: Any) -> Call:
    inputs = {"modelName": "m", "apiHost": api_host, "temperature": 0, "prompt": "hi", **more}
    call = prepare(node, {}, inputs)
    return call._replace(node=Node("llm_0", "llm", "", {}, no_inputs, secrets=uses))


async def test_a_model_gets_its_key(tmp_path: Path) -> None:
    """The one that the node names, or without one the one of its host; an own key counts more."""
    async with FakeOpenAI(delay=0) as model:
        sources = {"KEY": secret(tmp_path), "OTHER": SecretSource(hosts("a.example"), env="PATH")}
        async with LLMNode(secrets=WorkflowSecrets(sources)) as node:
            for uses, inputs, sent in (
                ({"apiKey": ("KEY",)}, {"apiKey": "{{secrets.KEY}}"}, VALUE),
                ({}, {}, VALUE),
                ({}, {"apiKey": "sk-own"}, "sk-own"),
                ({}, {"apiKey": "{{secrets.KEY}}"}, "{{secrets.KEY}}"),
            ):
                await node.execute(llm_call(node, model.base_url, uses, **inputs), FakeContext())
                assert model.asked[-1].headers["authorization"] == f"Bearer {sent}"
            await node.execute(llm_call(node, model.base_url, {"apiKey": ("KEY",)}), FakeContext())
            assert (
                "authorization" not in model.asked[-1].headers
            )  # it was left out, and is not taken all the same
        async with LLMNode(secrets=WorkflowSecrets({"OTHER": sources["OTHER"]})) as node:
            await node.execute(llm_call(node, model.base_url, {}), FakeContext())
            assert "authorization" not in model.asked[-1].headers


async def test_a_key_is_sent_to_no_other_api(tmp_path: Path) -> None:
    """Not at once, and not behind a redirect; the call is not made again."""
    async with RawServer(response(b"{}")) as other:

        async def away(received: Received) -> bytes:
            return response(
                status="307 Temporary", Location=f"http://localhost:{other.port}{received.target}"
            )

        async with RawServer(away) as server:
            secrets = WorkflowSecrets({"KEY": secret(tmp_path, f"127.0.0.1:{server.port}")})
            async with LLMNode(LLMSettings(max_retries=2), secrets=secrets) as node:
                for url, uses, inputs in (
                    (server.url, {}, {}),
                    (other.url, {"apiKey": ("KEY",)}, {"apiKey": "{{secrets.KEY}}"}),
                ):
                    with pytest.raises(NodeError, match=r'"KEY" is not sent to ".*", which it is not for'):
                        await node.execute(llm_call(node, url, uses, **inputs), FakeContext())
            assert len(server.received) == 1
        assert other.received == []


def test_the_host_in_full_counts_more_than_a_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among equals, the first of the settings."""
    for name in ("A", "B", "C"):
        monkeypatch.setenv(f"SECRET_{name}", f"value of {name}")
    secrets = WorkflowSecrets(
        {
            "A": SecretSource(hosts("*.example"), env="SECRET_A"),
            "B": SecretSource(hosts("x.other", "api.example"), env="SECRET_B"),
            "C": SecretSource(hosts("api.example"), env="SECRET_C"),
        }
    )
    for url, name in (("https://api.example/v1", "B"), ("https://b.example/v1", "A")):
        opened = secrets.for_host(httpx2.URL(url), "default")
        assert opened is not None
        assert opened.values == {name: f"value of {name}"}
