"""The tags that begin fields on the wire, taken from the descriptors of the contract."""

from typing import Final

from flowgram.runtime.v1 import event_pb2, report_pb2
from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_server.rpc.wire import tag

RESPONSE_EVENTS: Final = tag(service.WatchTaskResponse, "events")

EVENT_SEQUENCE: Final = tag(event_pb2.TaskEvent, "sequence")
EVENT_TIME: Final = tag(event_pb2.TaskEvent, "time")
EVENT_TASK_STATUS_CHANGED: Final = tag(event_pb2.TaskEvent, "task_status_changed")
EVENT_NODE_STATUS_CHANGED: Final = tag(event_pb2.TaskEvent, "node_status_changed")
EVENT_MESSAGE: Final = tag(event_pb2.TaskEvent, "message")
EVENT_OUTPUT_DELTA: Final = tag(event_pb2.TaskEvent, "output_delta")

TASK_STATUS: Final = tag(event_pb2.TaskStatusChanged, "status")
TASK_OUTPUTS: Final = tag(event_pb2.TaskStatusChanged, "outputs")

NODE_ID: Final = tag(event_pb2.NodeStatusChanged, "node_id")
NODE_STATUS: Final = tag(event_pb2.NodeStatusChanged, "status")
NODE_SNAPSHOT: Final = tag(event_pb2.NodeStatusChanged, "snapshot")

DELTA_NODE_ID: Final = tag(event_pb2.OutputDelta, "node_id")
DELTA_SNAPSHOT_ID: Final = tag(event_pb2.OutputDelta, "snapshot_id")
DELTA_TEXT: Final = tag(event_pb2.OutputDelta, "text")
DELTA_FROM_START: Final = tag(event_pb2.OutputDelta, "from_start")

SNAPSHOT_ID: Final = tag(report_pb2.Snapshot, "id")
SNAPSHOT_NODE_ID: Final = tag(report_pb2.Snapshot, "node_id")
SNAPSHOT_ITERATIONS: Final = tag(report_pb2.Snapshot, "iterations")
SNAPSHOT_INPUTS: Final = tag(report_pb2.Snapshot, "inputs")
SNAPSHOT_OUTPUTS: Final = tag(report_pb2.Snapshot, "outputs")
SNAPSHOT_BRANCH: Final = tag(report_pb2.Snapshot, "branch")
SNAPSHOT_ERROR: Final = tag(report_pb2.Snapshot, "error")

ITERATION_LOOP_NODE_ID: Final = tag(report_pb2.Iteration, "loop_node_id")
ITERATION_INDEX: Final = tag(report_pb2.Iteration, "index")

STATUS_STATUS: Final = tag(report_pb2.StatusInfo, "status")
STATUS_TERMINATED: Final = tag(report_pb2.StatusInfo, "terminated")
STATUS_START_TIME: Final = tag(report_pb2.StatusInfo, "start_time")
STATUS_END_TIME: Final = tag(report_pb2.StatusInfo, "end_time")
STATUS_TIME_COST: Final = tag(report_pb2.StatusInfo, "time_cost")

MESSAGE_ID: Final = tag(report_pb2.Message, "id")
MESSAGE_TYPE: Final = tag(report_pb2.Message, "type")
MESSAGE_TEXT: Final = tag(report_pb2.Message, "text")
MESSAGE_NODE_ID: Final = tag(report_pb2.Message, "node_id")
MESSAGE_TIME: Final = tag(report_pb2.Message, "time")

RESULT_STATUS: Final = tag(service.TaskResultResponse, "status")
RESULT_OUTPUTS: Final = tag(service.TaskResultResponse, "outputs")
RESULT_ERRORS: Final = tag(service.TaskResultResponse, "errors")

RUN_TASK_ID: Final = tag(service.TaskRunResponse, "task_id")

REPORT_RESPONSE_REPORT: Final = tag(service.TaskReportResponse, "report")
REPORT_NODES: Final = tag(report_pb2.Report, "nodes")
NODE_REPORT_SNAPSHOTS: Final = tag(report_pb2.NodeReport, "snapshots")

BATCH_OUTCOMES: Final = tag(service.TaskRunBatchResponse, "outcomes")
OUTCOME_KEY: Final = tag(service.BatchOutcome, "key")
OUTCOME_OUTCOME: Final = tag(service.BatchOutcome, "outcome")
OUTCOME_REJECTED: Final = tag(service.BatchOutcome, "rejected")
