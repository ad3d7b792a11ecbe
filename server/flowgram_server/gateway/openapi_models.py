"""The models of the REST API: they describe requests and answers in OpenAPI, and validate requests."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

StatusWord = Literal["pending", "processing", "succeeded", "failed", "canceled"]
ViewWord = Literal["basic", "full"]
MessageWord = Literal["log", "info", "debug", "error", "warning"]
JSONObject = dict[str, Any]

Text = Annotated[str, StringConstraints(min_length=0)]
"""A text that can be sent: with a constraint, halves of characters are refused, which JSON can say and UTF-8 cannot."""
NonEmpty = Annotated[str, StringConstraints(min_length=1)]


def _flowgram_name(name: str) -> str:
    """The name of a field in FlowGram's spelling: `task_id` is `taskID`."""
    camel = to_camel(name)
    return f"{camel[:-2]}ID" if camel.endswith("Id") else camel


def _without_defaults(schema: dict[str, Any]) -> None:
    """A field that need not be there has no value then: the defaults here are for Python only."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class _Shape(BaseModel):
    model_config = ConfigDict(
        alias_generator=_flowgram_name, frozen=True, json_schema_extra=_without_defaults
    )


class ValidateBody(_Shape):
    """A workflow and its inputs."""

    schema_text: NonEmpty = Field(
        alias="schema", description="The workflow: JSON text, as the editor saves it."
    )
    inputs: JSONObject = Field(description="The workflow's inputs.")


class RunBody(ValidateBody):
    """What to run."""

    labels: dict[Text, Text] = Field(default={}, description="Free labels to find the task by in the list.")
    request_id: str = Field(
        default="",
        max_length=256,
        description="Makes a retry safe: the same request again gives the first one's task.",
    )

    display_name: Text = Field(default="", max_length=256, description="A name for people, shown in lists.")


class BatchDefaultsBody(_Shape):
    """The first line of a batch: what its runs have in common."""

    schema_text: NonEmpty = Field(alias="schema", description="The workflow: JSON text.")
    labels: dict[Text, Text] = Field(default={}, description="Labels of all tasks.")
    display_name: Text = Field(default="", max_length=256, description="A name for people, of all tasks.")
    timeout: int = Field(
        default=0, ge=0, le=315_576_000_000_000, description="Milliseconds that a run may take."
    )
    max_in_flight: int = Field(default=0, ge=0, le=2**31 - 1, description="Runs that are under way at once.")


class BatchRunBody(_Shape):
    """A further line of a batch: one run."""

    key: Text = Field(
        default="", max_length=256, description="Comes back with the outcome; else the line's number."
    )
    inputs: JSONObject = Field(description="The workflow's inputs.")
    request_id: str = Field(default="", max_length=256, description="Makes it safe to send the run again.")
    labels: dict[Text, Text] = Field(default={}, description="Labels of its own, beside those of all.")
    display_name: Text = Field(default="", max_length=256, description="A name of its own.")


class CancelBody(_Shape):
    """What to stop."""

    task_id: NonEmpty


class TaskID(_Shape):
    """The task that was accepted."""

    task_id: str


class Problem(_Shape):
    """One thing that is wrong."""

    field: str = Field(
        description="The field, such as `schema.nodes[2].id`; empty if it is none in particular."
    )
    text: str


class Validation(_Shape):
    """Whether the workflow could run."""

    valid: bool
    errors: list[str] = Field(default=[], description="All problems, in order; only if it is not valid.")
    problems: list[Problem] = Field(default=[], description="The same, each with its field.")
    warnings: list[Problem] = Field(
        default=[],
        description="What does not keep it from running, and is probably not meant; only if there is any.",
    )


class Cancellation(_Shape):
    """What came of it."""

    success: bool = Field(description="Whether this call stopped the task; false: it had ended already.")


class Status(_Shape):
    """A status and its times, in milliseconds."""

    status: StatusWord
    terminated: bool = Field(description="Whether nothing more will happen.")
    start_time: int = Field(description="Since the epoch; 0: not started.")
    end_time: int = Field(default=0, description="Since the epoch; only once it has ended.")
    time_cost: int = Field(description="How long it took, or has taken so far.")


class Snapshot(_Shape):
    """One run of a node."""

    id: str
    node_id: str
    inputs: JSONObject
    outputs: JSONObject = Field(default={}, description="Only once there are any.")
    data: JSONObject = Field(description="The node's own data from the schema.")
    branch: str = Field(default="", description="The port that was taken; only of nodes that branch.")
    error: str = Field(default="", description="Only if the run failed.")


class NodeReport(Status):
    """All runs of a node. The status is that of the latest one."""

    id: str
    snapshots: list[Snapshot]


class Message(_Shape):
    """Something that a task has to say."""

    id: str
    type: MessageWord
    message: str
    node_id: str = Field(default="", description="Only if it is about one node.")
    timestamp: int


class Messages(_Shape):
    """All messages of a task, by type, in order."""

    log: list[Message]
    info: list[Message]
    debug: list[Message]
    error: list[Message]
    warning: list[Message]


class Report(_Shape):
    """Everything known about a task now."""

    id: str = Field(description="The task.")
    inputs: JSONObject
    outputs: JSONObject = Field(description="Empty unless the task has succeeded.")
    workflow_status: Status
    reports: dict[str, NodeReport] = Field(
        description="By node, those that have started, in the order in which they did."
    )
    messages: Messages


class TaskSummary(_Shape):
    """A task in a list."""

    task_id: str
    workflow_status: Status
    create_time: int
    labels: dict[str, str]
    last_sequence: int = Field(description="The sequence of its last event.")
    display_name: str = Field(default="", description="Its name for people; only if it has one.")
    namespace: str = Field(default="", description="Only if the server has namespaces.")


class Task(TaskSummary):
    """Everything known about a task but its events and outcome. Secrets are masked."""

    schema_text: str = Field(alias="schema", description="The workflow: JSON text.")
    inputs: JSONObject
    timeout: int = Field(
        default=0,
        description="The task fails when it has run for so long, in milliseconds; only if it is limited.",
    )


class TaskList(_Shape):
    """One page of tasks, newest first."""

    tasks: list[TaskSummary]
    next_page_token: str = Field(default="", description="Where the next page begins; only if there is one.")


class Limits(_Shape):
    """Bounds of what the server takes."""

    max_message_bytes: int
    max_schema_bytes: int
    max_inputs_bytes: int


class Caller(_Shape):
    """Who calls a server that asks for credentials."""

    name: str = Field(description="Its name in the server's logs, such as `key:ID`.")
    namespace: str
    role: str = Field(description="`reader`, `runner` or `admin`.")


class ServerInfo(_Shape):
    """What answers."""

    name: str
    title: str
    description: str
    runtime: str
    version: str
    time: str = Field(description="The server's clock, RFC 3339.")
    node_types: list[str] = Field(description="The node types that it can execute.")
    features: list[str] = Field(description="What it offers beyond this API: `auth`, `console`, `temporal` …")
    limits: Limits
    caller: Caller | None = Field(default=None, description="Only with credentials.")


class Error(_Shape):
    """What went wrong. No other answer has a `code` beside these fields."""

    code: str = Field(description="The reason, for programs to branch on.")
    message: str
    errors: list[str] = Field(description="All that is wrong, where it is more than the message says.")
