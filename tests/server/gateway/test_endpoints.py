"""The API of the editor, against the real server."""

import json
from typing import Any

import pytest
from support.gateway import GatewayUnderTest
from support.workflows import ECHO, END, ENDLESS, START, chain, node

STATUS_FIELDS = {"status": str, "terminated": bool, "startTime": int, "timeCost": int}
FAILS = chain(
    START,
    node(
        "code_0",
        "code",
        script={"language": "javascript", "content": "function main() { throw Error('no'); }"},
    ),
    END,
)
BIG = 2**70


def has_status_shape(value: dict[str, Any]) -> bool:
    """Whether a value has the fields of a status, of the right types."""
    types = STATUS_FIELDS | ({"endTime": int} if "endTime" in value else {})
    return all(type(value[name]) is kind for name, kind in types.items())


def has_report_shape(report: dict[str, Any]) -> bool:
    """Whether a report is what FlowGram's own schema demands, and nothing beside."""
    assert report.keys() == {"id", "inputs", "outputs", "workflowStatus", "reports", "messages"}
    assert isinstance(report["id"], str)
    assert isinstance(report["inputs"], dict)
    assert isinstance(report["outputs"], dict)
    assert has_status_shape(report["workflowStatus"])
    for node_id, node_report in report["reports"].items():
        assert node_report["id"] == node_id
        assert has_status_shape(node_report)
        for snapshot in node_report["snapshots"]:
            assert {"id", "nodeID", "inputs", "data"} <= snapshot.keys()
            assert snapshot.keys() <= {"id", "nodeID", "inputs", "outputs", "data", "branch", "error"}
            assert isinstance(snapshot["inputs"], dict)
            assert isinstance(snapshot.get("outputs", {}), dict)
            assert isinstance(snapshot["data"], dict)
    assert report["messages"].keys() == {"log", "info", "debug", "error", "warning"}
    for kind, messages in report["messages"].items():
        for message in messages:
            assert message["type"] == kind
            assert isinstance(message["message"], str)
            assert type(message["timestamp"]) is int
            assert message.keys() <= {"id", "type", "message", "nodeID", "timestamp"}
    return True


async def ended(gateway: GatewayUnderTest, task_id: str) -> dict[str, Any]:
    """The report of a task that has ended."""
    async with gateway.watch(task_id) as events:
        await events.rest()
    answer = await gateway.http.get("/api/task/report", params={"taskID": task_id})
    assert answer.status_code == 200
    report: dict[str, Any] = answer.json()
    return report


async def test_the_editor_runs_a_workflow(gateway: GatewayUnderTest) -> None:
    """It validates, runs, polls the report until the task has ended, and shows inputs, outputs and statuses."""
    body = {"schema": ECHO, "inputs": {"text": "hi"}}
    answer = await gateway.http.post("/api/task/validate", json=body)
    assert (answer.status_code, answer.json()) == (200, {"valid": True})
    answer = await gateway.http.post("/api/task/run", json=body)
    assert answer.status_code == 200
    assert answer.json().keys() == {"taskID"}
    report = await ended(gateway, answer.json()["taskID"])
    assert has_report_shape(report)
    assert report["id"] == answer.json()["taskID"]
    assert (report["inputs"], report["outputs"]) == ({"text": "hi"}, {"text": "hi"})
    status = report["workflowStatus"]
    assert (status["status"], status["terminated"]) == ("succeeded", True)
    assert status["timeCost"] == status["endTime"] - status["startTime"]
    assert list(report["reports"]) == ["start_0", "end_0"]
    assert report["reports"]["end_0"]["snapshots"][0]["outputs"] == {"text": "hi"}
    result = await gateway.http.get("/api/task/result", params={"taskID": report["id"]})
    assert (result.status_code, result.json()) == (200, {"text": "hi"})


async def test_a_failure_is_in_the_report(gateway: GatewayUnderTest) -> None:
    """The editor shows the texts of `messages.error` where there are no outputs."""
    report = await ended(gateway, await gateway.run(FAILS))
    assert has_report_shape(report)
    assert (report["workflowStatus"]["status"], report["outputs"]) == ("failed", {})
    (message,) = report["messages"]["error"]
    assert (message["message"], message["nodeID"]) == ("Code execution failed: no", "code_0")
    snapshot = report["reports"]["code_0"]["snapshots"][0]
    assert snapshot["error"] == "Code execution failed: no"
    assert "outputs" not in snapshot
    assert snapshot["data"]["script"]["language"] == "javascript"
    answer = await gateway.http.get("/api/task/result", params={"taskID": report["id"]})
    assert (answer.status_code, answer.json()) == (200, {})


async def test_a_running_task_is_canceled(gateway: GatewayUnderTest) -> None:
    """Its report says processing and its result is empty; then it and its running node are canceled."""
    task_id = await gateway.run(ENDLESS)
    async with gateway.watch(task_id) as events:
        await events.until("node_status_changed", nodeID="code_0")
        report = (await gateway.http.get("/api/task/report", params={"taskID": task_id})).json()
        assert has_report_shape(report)
        assert (report["workflowStatus"]["status"], report["workflowStatus"]["terminated"]) == (
            "processing",
            False,
        )
        assert "endTime" not in report["workflowStatus"]
        assert report["reports"]["code_0"]["status"] == "processing"
        assert (await gateway.http.get("/api/task/result", params={"taskID": task_id})).json() == {}
        answer = await gateway.http.put("/api/task/cancel", json={"taskID": task_id})
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        last = (await events.rest())[-1].value
    assert (last["type"], last["workflowStatus"]["status"]) == ("task_status_changed", "canceled")
    report = await ended(gateway, task_id)
    assert report["reports"]["code_0"]["status"] == "canceled"
    answer = await gateway.http.put("/api/task/cancel", json={"taskID": task_id})
    assert answer.json() == {"success": False}


async def test_numbers_keep_their_form(gateway: GatewayUnderTest) -> None:
    """Integers beyond 64 bits pass through unchanged, and the inputs are reported as they were written."""
    properties = {"n": {"type": "integer"}, "x": {"type": "number"}}
    schema = chain(
        node("start_0", "start", outputs={"type": "object", "properties": properties}),
        node(
            "end_0",
            "end",
            inputs={"type": "object", "properties": properties},
            inputsValues={name: {"type": "ref", "content": ["start_0", name]} for name in properties},
        ),
    )
    body = f'{{"inputs": {{"n": {BIG}, "x": 1.10}}, "schema": {json.dumps(schema)}}}'
    headers = {"Content-Type": "application/json"}
    answer = await gateway.http.post("/api/task/run", content=body, headers=headers)
    task_id = answer.json()["taskID"]
    report = await ended(gateway, task_id)
    assert report["outputs"] == {"n": BIG, "x": 1.1}
    answer = await gateway.http.get("/api/task/report", params={"taskID": task_id})
    assert f'"inputs":{{"n": {BIG}, "x": 1.10}}' in answer.text


async def test_all_problems_of_a_workflow(gateway: GatewayUnderTest) -> None:
    """Validation lists them as its answer; a run is refused with the same list, however long."""
    nodes = [node(f"n{number}", "end") for number in range(200)]
    body = {"schema": json.dumps({"nodes": nodes, "edges": []}), "inputs": {}}
    invalid = await gateway.http.post("/api/task/validate", json=body)
    assert invalid.status_code == 200
    assert invalid.json()["valid"] is False
    assert [each["text"] for each in invalid.json()["problems"]] == invalid.json()["errors"]
    assert {each["field"] for each in invalid.json()["problems"]} == {"schema.nodes"}
    refused = await gateway.http.post("/api/task/run", json=body)
    assert refused.status_code == 400
    assert refused.json().keys() == {"code", "message", "errors"}
    assert refused.json()["code"] == "SCHEMA_INVALID"
    assert refused.json()["errors"] == invalid.json()["errors"]


async def test_warnings_of_a_workflow(gateway: GatewayUnderTest) -> None:
    """A valid workflow may have oddities; the run is accepted all the same."""
    body = {"schema": ECHO, "inputs": {"text": "hi", "txt": "?"}}
    answer = (await gateway.http.post("/api/task/validate", json=body)).json()
    text = 'Input "txt" is not declared by the start node: no node can use it'
    assert answer == {"valid": True, "warnings": [{"field": "inputs.txt", "text": text}]}
    assert (await gateway.http.post("/api/task/run", json=body)).status_code == 200


async def test_inputs_that_do_not_fit(gateway: GatewayUnderTest) -> None:
    """The texts are those of FlowGram; of more than one problem, all are reported."""
    answer = await gateway.http.post("/api/task/run", json={"schema": ECHO, "inputs": {"text": 1}})
    assert (answer.status_code, answer.json()["code"]) == (400, "INPUTS_INVALID")
    assert answer.json()["errors"] == [
        "JSON Schema validation failed: Expected string at text, but got: number"
    ]
    outputs = {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["a"]}
    body = {"schema": chain(node("start_0", "start", outputs=outputs), END), "inputs": {"b": 1}}
    for path in ("/api/task/run", "/api/task/validate"):
        answer = await gateway.http.post(path, json=body)
        assert answer.json()["errors"] == [
            'JSON Schema validation failed: Missing required property "a" at root',
            "JSON Schema validation failed: Expected string at b, but got: number",
        ]


async def test_a_request_id_makes_a_retry_safe(gateway: GatewayUnderTest) -> None:
    """The same request gives the same task; another one under the same id is a conflict."""
    task_id = await gateway.run(ECHO, {"text": "a"}, requestID="r1")
    assert await gateway.run(ECHO, {"text": "a"}, requestID="r1") == task_id
    answer = await gateway.http.post(
        "/api/task/run", json={"schema": ECHO, "inputs": {"text": "b"}, "requestID": "r1"}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "REQUEST_ID_REUSED")


async def test_tasks_are_listed(gateway: GatewayUnderTest) -> None:
    """Newest first, page by page, by status and by label."""
    tasks = [await gateway.run(ECHO, {"text": str(n)}, labels={"n": str(n % 2)}) for n in range(3)]
    for task_id in tasks:
        await ended(gateway, task_id)
    failed = await gateway.run(FAILS)
    await ended(gateway, failed)

    async def listed(**query: Any) -> dict[str, Any]:
        answer = await gateway.http.get("/api/tasks", params=query)
        assert answer.status_code == 200
        page: dict[str, Any] = answer.json()
        return page

    first = await listed(pageSize=3)
    assert [task["taskID"] for task in first["tasks"]] == [failed, *tasks[:0:-1]]
    second = await listed(pageSize=3, pageToken=first["nextPageToken"])
    assert [task["taskID"] for task in second["tasks"]] == tasks[:1]
    assert "nextPageToken" not in second
    (task,) = (await listed(status="failed"))["tasks"]
    assert task.keys() == {"taskID", "workflowStatus", "createTime", "labels", "lastSequence", "namespace"}
    assert (task["taskID"], task["workflowStatus"]["status"]) == (failed, "failed")
    assert len((await listed(status=["failed", "succeeded"]))["tasks"]) == 4
    assert [task["taskID"] for task in (await listed(label="n=0"))["tasks"]] == [tasks[2], tasks[0]]


async def test_the_server_says_what_it_is(gateway: GatewayUnderTest) -> None:
    """In FlowGram's shape, with the node types beside."""
    info = (await gateway.http.get("/api/info")).json()
    assert {"name", "title", "description", "runtime", "version", "time"} < info.keys()
    assert all(
        isinstance(value, str)
        for name, value in info.items()
        if name not in {"nodeTypes", "features", "limits"}
    )
    assert "condition" in info["nodeTypes"]
    assert info["limits"]["maxInputsBytes"] == 12 * 1024 * 1024


async def test_a_task_is_shown_without_its_events(gateway: GatewayUnderTest) -> None:
    """What was run, under its name, with secrets masked: the schema as JSON text, the inputs as an object."""
    schema = chain(START, node("x", "variable", apiKey={"type": "constant", "content": "sk-secret"}), END)
    inputs = {"text": "hi", "apiKey": "sk-secret"}
    task_id = await gateway.run(schema, inputs, displayName="order 7", labels={"team": "blue"})
    last = (await ended(gateway, task_id))["workflowStatus"]
    answer = await gateway.http.get("/api/task", params={"taskID": task_id})
    assert answer.status_code == 200
    assert "sk-secret" not in answer.text
    task = answer.json()
    assert (task["taskID"], task["displayName"], task["labels"]) == (task_id, "order 7", {"team": "blue"})
    assert task["workflowStatus"] == last
    assert task["inputs"] == {"text": "hi", "apiKey": "…"}
    assert [each["id"] for each in json.loads(task["schema"])["nodes"]] == ["start_0", "x", "end_0"]
    assert task["timeout"] == 24 * 3600 * 1000
    assert task["lastSequence"] > 0
    listed = (await gateway.http.get("/api/tasks")).json()["tasks"]
    assert [each["displayName"] for each in listed] == ["order 7"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/task?taskID=nobody", 404, "TASK_NOT_FOUND"),
        ("GET", "/api/task/report?taskID=nobody", 404, "TASK_NOT_FOUND"),
        ("GET", "/api/task/result?taskID=nobody", 404, "TASK_NOT_FOUND"),
        ("GET", "/api/task/watch?taskID=nobody", 404, "TASK_NOT_FOUND"),
        ("GET", "/api/task/report", 400, "ARGUMENT_INVALID"),
        ("GET", "/api/task/report?taskID=", 400, "ARGUMENT_INVALID"),
        ("GET", "/api/task/watch?taskID=x&after=-1", 400, "ARGUMENT_INVALID"),
        ("GET", "/api/task/watch?taskID=x&after=NaN", 400, "ARGUMENT_INVALID"),
        ("GET", "/api/tasks?status=tired", 400, "ARGUMENT_INVALID"),
        ("GET", "/api/tasks?label=green", 400, "ARGUMENT_INVALID"),
        ("GET", "/api/tasks?pageSize=0", 400, "ARGUMENT_INVALID"),
        ("GET", "/api/tasks?pageToken=mine", 400, "PAGE_TOKEN_INVALID"),
        ("GET", "/api/nothing", 404, "NOT_FOUND"),
        ("GET", "/api/task/run/", 404, "NOT_FOUND"),
        ("DELETE", "/api/task/run", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_bad_requests(
    gateway: GatewayUnderTest, method: str, path: str, status: int, code: str
) -> None:
    """Every error is JSON with a code, a message and all that is wrong."""
    answer = await gateway.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()
    assert error.keys() == {"code", "message", "errors"}
    assert error["code"] == code
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("path", "headers", "errors"),
    [
        ("/api/task/watch?taskID=x", {"Last-Event-ID": "x"}, ["Last-Event-ID: must be the sequence of an event"]),
        ("/api/task/watch?until=-1&view=all&deltas=2&after=1.0", {}, [
            "after: must be the sequence of an event",
            "deltas: must be true or false",
            "taskID: is required",
            "until: must be the sequence of an event",
            "view: must be basic or full",
        ]),
        ("/api/tasks?status=x&status=y&label=b&label=%3D&pageSize=1.0", {}, [
            "label: must be KEY=VALUE",
            "pageSize: must be a number from 1 to 1000",
            "status: must be pending, processing, succeeded, failed or canceled",
        ]),
        ("/api/task/report?taskID=", {}, ["taskID: is required"]),
        ("/api/task/report?taskID=" + "x" * 300, {}, ["taskID must have at most 256 characters, not 300"]),
        ("/api/tasks?pageToken=mine", {}, [
            "pageToken is not the nextPageToken of a list with the same statuses and labels"
        ]),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_reported_in_the_names_of_the_api(
    gateway: GatewayUnderTest, path: str, headers: dict[str, str], errors: list[str]
) -> None:
    """One text for one problem, also where it is the service that finds it, whose names are others."""
    received = (await gateway.http.get(path, headers=headers)).json()
    assert received["errors"] == errors
    assert received["message"] == "; ".join(errors)


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ("{", ["the body is no JSON: Expecting property name enclosed in double quotes (line 1, column 2)"]),
        ("[]", ["the body must be a JSON object"]),
        ("{}", ["inputs: is required", "schema: is required"]),
        ('{"schema": {}, "inputs": []}', ["inputs: must be an object", "schema: must not be object"]),
        ('{"schema": "", "inputs": null, "labels": null, "displayName": null}', [
            "displayName: must not be null", "inputs: must be an object", "labels: must not be null", "schema: must not be empty"
        ]),
        ('{"schema": "{}", "inputs": {"a": 1e400}}', [
            "the body cannot be read: a number is larger than 1.7976931348623157e308, the largest that is read (line 1, column 34)"
        ]),
        ('{"schema": "{}", "inputs": {"a": NaN}}', ["the body is no JSON: NaN is no JSON value (line 1, column 34)"]),
        ('{"schema": "\\ud800", "inputs": {}}', ["schema: is no valid Unicode"]),
        ('{"schema": "{}", "inputs": {}, "labels": {"a": "\\ud800"}}', ["labels.a: is no valid Unicode"]),
        ('{"schema": "{}", "inputs": {}, "labels": {"\\ud800": "a"}}', ["labels.\ufffd\ufffd\ufffd.[key]: is no valid Unicode"]),
        ('{"schema": "{}", "inputs": {}, "labels": {"a": 1}}', ["labels.a: must not be number"]),
    ],
)  # fmt: skip
async def test_bad_bodies(gateway: GatewayUnderTest, body: str, errors: list[str]) -> None:
    """What is wrong with a body is said completely, with the place."""
    answer = await gateway.http.post(
        "/api/task/run", content=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "ARGUMENT_INVALID")
    assert answer.json()["errors"] == errors
