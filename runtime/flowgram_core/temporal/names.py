"""Names that are part of histories and of the cluster: after a change of one, what was written with it is not found any more."""

from typing import Final

WORKFLOW: Final = "flowgram.Task"
CALL: Final = "flowgram.call"
RECORD: Final = "flowgram.record"
PAUSE: Final = "flowgram.pause"

FAILED: Final = "FAILED"
"""The type of the failure with which a task ends that has failed; its details are the last record."""

LABELS_MEMO: Final = "labels"
NAME_MEMO: Final = "name"
REQUEST_MEMO: Final = "request"

LABELS_ATTRIBUTE: Final = "FlowgramLabels"
CREATED_ATTRIBUTE: Final = "FlowgramCreated"
NAMESPACE_ATTRIBUTE: Final = "FlowgramNamespace"
"""Missing where a task belongs to the default namespace."""
