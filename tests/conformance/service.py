"""This project's service as a subject: a whole server in this process, called over gRPC."""

import json
from contextlib import AsyncExitStack
from typing import Any, Self

import grpc
from tests.conformance.observation import Case, NodeSeen, Observation, Snapshot

from flowgram.runtime.v1 import report_pb2, runtime_service_pb2
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import open_server
from flowgram_server.settings.server import Settings

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_LIMIT = 60.0
_NAMES = {1: "pending", 2: "processing", 3: "succeeded", 4: "failed", 5: "canceled"}


class Service:
    """A server with its own journal. An async context manager; `observe` may be called many times at once."""

    name = "service"

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._stub: Any = None

    async def __aenter__(self) -> Self:
        settings = Settings(listen="127.0.0.1:0", storage="memory", access_log=False, log_level="error")
        server = await self._stack.enter_async_context(open_server(settings))
        channel = grpc.aio.insecure_channel(server.address, options=_UNLIMITED)
        self._stub = WorkflowRuntimeServiceStub(await self._stack.enter_async_context(channel))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def observe(self, case: Case) -> Observation:
        """Runs a case, if it is valid, and reads its report. TaskRun must refuse what TaskValidate complains of."""
        texts: dict[str, Any] = {"schema": case.schema_text, "inputs": case.inputs_text}
        checked = await self._stub.TaskValidate(
            runtime_service_pb2.TaskValidateRequest(**texts), timeout=_LIMIT
        )
        try:
            run = await self._stub.TaskRun(
                runtime_service_pb2.TaskRunRequest(**texts, wait=True), timeout=_LIMIT
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            return Observation(
                problems=list(checked.errors) or ["TaskValidate finds nothing that TaskRun refuses"]
            )
        if not checked.valid:
            return Observation(
                status="runs, though TaskValidate complains", errors=[("", str(checked.errors))]
            )
        answer = await self._stub.TaskReport(
            runtime_service_pb2.TaskReportRequest(task_id=run.task_id), timeout=_LIMIT
        )
        return _observation(answer.report)


def _observation(report: report_pb2.Report) -> Observation:
    return Observation(
        status=_NAMES[report.status.status],
        outputs=_json(report.outputs),
        nodes={
            node.node_id: NodeSeen(
                _NAMES[node.status.status], [_snapshot(snapshot) for snapshot in node.snapshots]
            )
            for node in report.nodes
        },
        errors=[
            (message.node_id, message.text)
            for message in report.messages
            if message.type == report_pb2.Message.TYPE_ERROR
        ],
    )


def _snapshot(snapshot: Any) -> Snapshot:
    return Snapshot(
        inputs=_json(snapshot.inputs),
        outputs=_json(snapshot.outputs),
        branch=snapshot.branch,
        error=snapshot.error,
        iterations=tuple((around.loop_node_id, around.index) for around in snapshot.iterations),
    )


def _json(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text) if text else {}
    return found
