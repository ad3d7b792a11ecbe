"""Whether a cluster is fit for tasks: each thing that is missing is named, with what to do about it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.applications import echo_schema
from support.ports import lasting_port
from support.temporal_host import KEYS, TemporalHost, temporal_host
from support.temporal_server import TemporalServer, temporal_server
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
    ListSearchAttributesResponse,
)
from temporalio.service import RPCError, RPCStatusCode

from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.temporal.connection import connect
from flowgram_core.temporal.payload_codec import data_converter
from flowgram_core.temporal.readiness import check, ensure_attributes
from flowgram_core.temporal.settings import TemporalSettings, within_temporal
from flowgram_server.cli.exits import ExitStatus
from flowgram_server.cli.root import run


async def problems(address: str, *, settings: RuntimeSettings | None = None, **temporal: Any) -> list[str]:
    """What a check says is not as it should be, each with what to do about it."""
    wanted = TemporalSettings(**({"address": address, "encryption_keys": KEYS} | temporal))
    client = await connect(wanted, data_converter(wanted.encryption_keys, unencrypted=True))
    findings = await check(client, within_temporal(settings or RuntimeSettings()), wanted)
    return [f"{found.text} | {found.remedy}" for found in findings if not found.ok]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    """A cluster that is fit for nothing: without attributes but for a wrong one, and with small values."""
    settings = {"limit.blobSize.error": 1_000_000, "limit.memoSize.error": 1000}
    with temporal_server(
        tmp_path_factory.mktemp("bare"), settings, attributes=["FlowgramLabels=Keyword"]
    ) as server:
        yield server


async def test_a_cluster_that_is_fit(cluster: TemporalServer) -> None:
    """Nothing is wrong with it once there is a worker; a queue without one is named."""
    async with temporal_host(cluster.address) as host:
        queue = host.temporal.task_queue
        assert await problems(cluster.address, task_queue=queue) == [
            f"no worker on the queue {queue} | start one: flowgram worker"
        ]
        async with host.worker():
            task = await host.front().run(TaskRequest(echo_schema(), '{"x": 1}'))
            await host.front().wait(task.task_id)  # it polls
            assert await problems(cluster.address, task_queue=queue) == []


async def test_a_bare_cluster(bare: TemporalServer) -> None:
    """All that is missing is named at once, what can be made is made, and until it is there tasks are refused."""
    fitting = TemporalSettings(address=bare.address, encryption_keys=KEYS)
    client = await connect(fitting, data_converter(KEYS, unencrypted=False), lazy=False)
    host = TemporalHost(client, fitting, within_temporal(RuntimeSettings()), ())
    with pytest.raises(JournalUnavailable, match="FlowgramCreated"):
        await host.front().run(TaskRequest(echo_schema(), '{"x": 1}'))
    found = await problems(
        bare.address, settings=RuntimeSettings(default_timeout=30 * 24 * 3600.0), unencrypted=True
    )
    assert [text.partition(" | ")[0] for text in found] == [
        "search attribute FlowgramLabels has another type than KeywordList",
        "retention of 1 day, 0:00:00, less than tasks may run (default_timeout = 30 days, 0:00:00)",
        "blobs of up to 1000000 bytes",
        "memos of up to 1000 bytes",
        "no worker on the queue flowgram",
        "histories are not encrypted",
    ]
    assert all(text.partition(" | ")[2] for text in found)
    assert {finding.text for finding in await ensure_attributes(client) if finding.ok} == {
        "search attribute FlowgramCreated",
        "search attribute FlowgramNamespace",
    }


async def test_tasks_without_an_end(cluster: TemporalServer) -> None:
    """No retention is long enough for them."""
    found = await problems(cluster.address, settings=RuntimeSettings(default_timeout=0))
    assert any("tasks may run without limit (default_timeout = 0) | " in text for text in found)


async def test_workers_that_new_tasks_do_not_go_to(cluster: TemporalServer) -> None:
    """A version that nobody has made the current one gets none; nor do workers without a version once there is one."""
    async with temporal_host(cluster.address, deployment="idle") as host, host.worker(build_id="v1"):
        queue = host.temporal.task_queue
        while not (found := await problems(cluster.address, task_queue=queue)) or "no worker" in found[0]:
            pass  # until it polls
        text, _, remedy = found[0].partition(" | ")
        assert text == (
            f"1 worker on the queue {queue}, but new tasks wait for one without a version: there are v1"
        )
        assert "--make-current" in remedy


class Forbidding:
    """A client of a cluster that has no search attributes, and lets nobody make them, or list them."""

    def __init__(self, *, lists: bool) -> None:
        self.namespace = "workflows"
        self.operator_service = self
        self._lists = lists

    async def list_search_attributes(
        self, request: ListSearchAttributesRequest, **_: Any
    ) -> ListSearchAttributesResponse:
        assert request.namespace == self.namespace
        if not self._lists:
            raise RPCError("not you", RPCStatusCode.PERMISSION_DENIED, b"")
        return ListSearchAttributesResponse()

    async def add_search_attributes(self, _: AddSearchAttributesRequest, **__: Any) -> None:
        raise RPCError("not you", RPCStatusCode.PERMISSION_DENIED, b"")


async def test_attributes_that_may_not_be_made() -> None:
    """The command is printed for somebody who may; where they cannot even be listed, all commands are."""
    client: Any = Forbidding(lists=True)
    found = await ensure_attributes(client)
    commands = [
        f"temporal operator search-attribute create --namespace workflows --name {name} --type {kind}"
        for name, kind in (
            ("FlowgramLabels", "KeywordList"),
            ("FlowgramCreated", "Datetime"),
            ("FlowgramNamespace", "Keyword"),
        )
    ]
    assert [(finding.ok, finding.remedy) for finding in found] == [(False, text) for text in commands]
    assert all("not you" in finding.text for finding in found)
    client = Forbidding(lists=False)
    (finding,) = await ensure_attributes(client)
    assert not finding.ok
    assert "not you" in finding.text
    assert all(text in finding.remedy for text in commands)


async def test_no_cluster_and_no_namespace(cluster: TemporalServer) -> None:
    """Either is the one thing that is said, with where to look."""
    for address, changes in (
        (f"127.0.0.1:{lasting_port()}", {}),
        (cluster.address, {"namespace": "nowhere"}),
    ):
        (found,) = await problems(address, **changes)
        assert found.startswith("the cluster does not answer: ")
        assert found.endswith(" | check address, namespace, TLS and API key")
    assert "nowhere" in found


def test_the_command(
    cluster: TemporalServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints all findings, and fails where one of them is no good; settings that cannot be used are another failure."""
    monkeypatch.setenv("FLOWGRAM_TEMPORAL__ENCRYPTION_KEYS", json.dumps(KEYS))
    assert run(["temporal", "check", "--address", cluster.address]) == ExitStatus.FAILED
    shown = capsys.readouterr().out
    assert "ok   search attribute FlowgramLabels\n" in shown
    assert "NOT  no worker on the queue flowgram\n     start one: flowgram worker\n" in shown
    monkeypatch.delenv("FLOWGRAM_TEMPORAL__ENCRYPTION_KEYS")
    assert run(["temporal", "check", "--address", cluster.address]) == ExitStatus.INVALID
    assert "unencrypted" in capsys.readouterr().err
