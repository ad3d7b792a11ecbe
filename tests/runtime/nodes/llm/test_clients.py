"""Clients of API hosts: how many are kept, and what they keep to themselves."""

import pytest
from support.llm_node import KEY, ask, inputs_of
from support.node_calls import FakeContext, prepare
from support.raw_http import RawServer, response

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.nodes.llm.clients import LLMClients
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.node_settings import LLMSettings

OWNER = Owner("default", "task")
COMPLETION = response(
    b'{"choices": [{"message": {"content": "x"}}]}', Content_Type="application/json", Set_Cookie="a=1"
)


async def test_clients_are_kept_for_the_hosts_used_last() -> None:
    """One for each host; the oldest goes, but never one that is in use."""
    clients = LLMClients(LLMSettings(max_clients=2))
    async with clients.client("http://a/", OWNER) as first:
        async with clients.client("http://b/", OWNER), clients.client("http://c/", OWNER):
            assert len(clients) == 3
        async with clients.client("http://a/", OWNER) as again:
            assert again is first
        assert len(clients) == 2
    for host in ("http://d/", "http://e/"):
        async with clients.client(host, OWNER):
            pass
    async with clients.client("http://a/", OWNER) as later:
        assert later is not first
    await clients.aclose()
    assert len(clients) == 0


async def test_cookies_are_not_kept() -> None:
    """What an API tells one key is nothing to the next, which may be another task's."""
    async with RawServer(COMPLETION) as server, LLMNode() as node:
        for key in (KEY, "sk-other"):
            await node.execute(prepare(node, {}, inputs_of(server.url, apiKey=key)), FakeContext())
    assert [received.headers["authorization"] for received in server.received] == [
        f"Bearer {KEY}",
        "Bearer sk-other",
    ]
    assert not any("cookie" in received.headers for received in server.received)


@pytest.mark.parametrize(
    "custom",
    ["X-Gateway: operator", "X-Gateway: operator\nAuthorization: Bearer operator\nuser-agent: operator"],
)
async def test_the_environment_of_the_server_does_not_leak(
    monkeypatch: pytest.MonkeyPatch, custom: str
) -> None:
    """Whatever the operator's own settings of OpenAI's library are, they are not for the hosts that users name."""
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", custom)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/operator")
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET", "API_TYPE", "API_VERSION"):
        monkeypatch.setenv(f"OPENAI_{name}", "operator")
    async with RawServer(COMPLETION) as server:
        await ask(server.url)
    (received,) = server.received
    assert "operator" not in f"{received}"
    assert received.headers["authorization"] == f"Bearer {KEY}"
