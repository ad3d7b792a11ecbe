"""Request ids: one request is one task, on whatever servers and however often it comes in."""

import asyncio
from typing import Any

import pytest
from support.applications import call_schema, changed, echo_schema
from support.temporal_host import temporal_host
from support.temporal_server import TemporalServer

from flowgram_core.hosting.errors import InvalidWorkflow, RequestConflict
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.modeling.status import Status


async def test_one_request_is_one_task_on_all_servers(cluster: TemporalServer) -> None:
    """The same request id gives the same task wherever it comes in; with other content it is refused."""
    async with temporal_host(cluster.address) as host, host.worker():
        fronts = [host.front(), host.front()]
        request = TaskRequest(echo_schema(), '{"x": 1}', request_id="only once", labels={"a": "b"})
        records = await asyncio.gather(*(fronts[index % 2].run(request) for index in range(8)))
        assert len({record.task_id for record in records}) == 1
        for front in fronts:
            with pytest.raises(RequestConflict):
                await front.run(changed(request, inputs='{"x": 2}'))
        ended = await fronts[1].wait(records[0].task_id)
        assert ended.status == Status.SUCCEEDED
        assert (await fronts[0].run(request)).status == Status.SUCCEEDED


OTHER: list[dict[str, Any]] = [
    {"schema": call_schema("a")},
    {"inputs": '{"x": 2}'},
    {"inputs": '{"x":1}'},
    {"labels": {}},
    {"labels": {"a": "c"}},
    {"timeout": 1_000_000},
    {"display_name": "another"},
]
"""Each makes it another request."""


async def test_another_request_with_the_same_id(cluster: TemporalServer) -> None:
    """It is refused by all servers, whatever differs, while the task runs and after it has ended; the same one never is."""
    async with temporal_host(cluster.address) as host:
        fronts = [host.front(), host.front()]
        request = TaskRequest(
            echo_schema(), '{"x": 1}', request_id=host.temporal.task_queue, labels={"a": "b"}
        )
        task = await fronts[0].run(request)
        for changes in OTHER:
            with pytest.raises(RequestConflict):
                await fronts[1].run(changed(request, **changes))
        async with host.worker():
            await fronts[1].wait(task.task_id)
        for front in fronts:
            found = await front.run(request)
            assert (found.task_id, found.status) == (task.task_id, Status.SUCCEEDED)
            for changes in OTHER:
                with pytest.raises(RequestConflict):
                    await front.run(changed(request, **changes))


async def test_two_requests_race_for_an_id(cluster: TemporalServer) -> None:
    """Over two servers at once: one of them is accepted, however often it comes, and the other one never."""
    async with temporal_host(cluster.address) as host:
        fronts = [host.front(), host.front()]
        request = TaskRequest(echo_schema(), request_id=host.temporal.task_queue)
        sent = [f'{{"x": {index % 2}}}' for index in range(12)]
        outcomes = await asyncio.gather(
            *(
                fronts[index // 2 % 2].run(changed(request, inputs=inputs))
                for index, inputs in enumerate(sent)
            ),
            return_exceptions=True,
        )
        both = list(zip(sent, outcomes, strict=True))
        tasks = {outcome.task_id for outcome in outcomes if isinstance(outcome, TaskRecord)}
        accepted = {inputs for inputs, outcome in both if isinstance(outcome, TaskRecord)}
        refused = {inputs for inputs, outcome in both if isinstance(outcome, RequestConflict)}
        assert accepted | refused == set(sent)
        (task_id,), (inputs,), (_,) = tasks, accepted, refused
        assert (await fronts[0].task(task_id)).inputs == inputs


async def test_a_batch_that_is_sent_again(cluster: TemporalServer) -> None:
    """Runs that come in many at once, by both servers at the same time, are one task each."""
    async with temporal_host(cluster.address) as host, host.worker():
        fronts = [host.front(), host.front()]
        requests = [
            TaskRequest(
                echo_schema(), f'{{"x": {number}}}', request_id=f"{host.temporal.task_queue}/{number}"
            )
            for number in range(10)
        ]
        first, second = await asyncio.gather(*(front.run_many(requests) for front in fronts))
        ids = [outcome.task_id for outcome in first if not isinstance(outcome, Exception)]
        assert ids == [outcome.task_id for outcome in second if not isinstance(outcome, Exception)]
        assert len(set(ids)) == len(requests)
        bad = changed(requests[0], schema="{}", request_id="bad")
        ended, refused = await fronts[1].run_many([requests[3], bad])
        assert not isinstance(ended, Exception)
        assert ended.task_id == ids[3]
        assert isinstance(refused, InvalidWorkflow)
