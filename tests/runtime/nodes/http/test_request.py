"""http: what the node makes of its data, before anything is sent."""

from typing import Any
from urllib.parse import parse_qsl

import pytest
from support.node_calls import prepare

from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling.errors import BindingError
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.http.request import build_request, encode_multipart
from flowgram_core.nodes.node_settings import HTTPSettings

VARIABLES = {"start_0.word": "é b", "start_0.n": 1.0, "start_0.o": {"k": [1]}, "start_0.none": None}


def template(content: str) -> dict[str, Any]:
    return {"type": "template", "content": content}


def object_of(**types: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in types.items()}}


def constants(**values: Any) -> dict[str, Any]:
    return {name: {"type": "constant", "content": value} for name, value in values.items()}


def data_of(url: Any = "http://h/", method: str = "GET", **more: Any) -> dict[str, Any]:
    return {
        "api": {"method": method, "url": template(url) if isinstance(url, str) else url},
        "body": {"bodyType": "none"},
        "timeout": {"timeout": 5000, "retryTimes": 1},
        **more,
    }


def inputs_of(data: dict[str, Any]) -> dict[str, Any]:
    return prepare(HTTPNode(), data, variables=VARIABLES).inputs


def test_the_inputs_are_the_request() -> None:
    """Templates rendered, headers and parameters resolved: this is what the snapshot shows, in this order."""
    inputs = inputs_of(
        data_of(
            "http://h/{{start_0.word}}?n={{start_0.n}}",
            "POST",
            headers=object_of(x="string", y="string"),
            headersValues=constants(x="1", z="undeclared")
            | {"y": {"type": "ref", "content": ["start_0", "n"]}},
            params=object_of(p="string"),
            paramsValues={"p": template("{{start_0.o}}")},
            body={"bodyType": "JSON", "json": template('{"w": "{{start_0.word}}"}')},
        )
    )
    assert list(inputs.items()) == [
        ("method", "POST"),
        ("url", "http://h/é b?n=1"),
        ("headers", {"x": "1"}),
        ("params", {"p": '{"k":[1]}'}),
        ("bodyType", "JSON"),
        ("body", '{"w": "é b"}'),
        ("retryTimes", 1),
        ("timeout", 5000),
    ]


def test_a_missing_time_out_is_that_of_the_settings() -> None:
    """Neither time-out nor retries need be given, singly or at all."""
    node = HTTPNode(HTTPSettings(timeout=2.5))
    for timeout in ({}, None, {"timeout": None, "retryTimes": None}):
        inputs = prepare(node, data_of(timeout=timeout)).inputs
        assert (inputs["timeout"], inputs["retryTimes"]) == (2500, 0)
    data = data_of()
    del data["timeout"]
    assert prepare(node, data).inputs["timeout"] == 2500


@pytest.mark.parametrize(
    ("body", "prepared"),
    [
        ({"bodyType": "none", "json": template("x")}, ""),
        ({"bodyType": "JSON", "json": template("{}")}, "{}"),
        (
            {"bodyType": "raw-text", "rawText": template("t {{start_0.none}}"), "json": template("no")},
            "t null",
        ),
        ({"bodyType": "binary", "binary": template("b")}, "b"),
        (
            {
                "bodyType": "form-data",
                "formData": object_of(a="string", n="number"),
                "formDataValues": constants(a="é", n=1),
            },
            '{"a":"é","n":1}',
        ),
        (
            {
                "bodyType": "x-www-form-urlencoded",
                "xWwwFormUrlencoded": object_of(a="string"),
                "xWwwFormUrlencodedValues": constants(a="b c"),
            },
            '{"a":"b c"}',
        ),
        (
            {
                "bodyType": "form-data",
                "formData": object_of(**{"b": "string", "10": "object", "9": "number"}),
                "formDataValues": constants(**{"b": "", "10": {"x": 1, "0": 2}, "9": 3}),
            },
            '{"9":3,"10":{"0":2,"x":1},"b":""}',
        ),
    ],
)
def test_every_body_type_has_its_text(body: dict[str, Any], prepared: str) -> None:
    """Templates are rendered; forms are their fields as JSON text, in JavaScript's order of keys."""
    inputs = inputs_of(data_of(body=body))
    assert (inputs["bodyType"], inputs["body"]) == (body["bodyType"], prepared)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "Invalid template value: undefined"),
        (data_of({"type": "constant", "content": "http://h/"}), "Invalid template value: [object Object]"),
        (data_of(""), "HTTP url is required"),
        (data_of(body={"bodyType": "JSON"}), "HTTP json body is required"),
        (data_of(body={"bodyType": "JSON", "json": template("")}), "HTTP json body is required"),
        (data_of(body={"bodyType": "raw-text", "json": template("x")}), "HTTP raw-text body is required"),
        (data_of(body={"bodyType": "binary"}), "HTTP binary body is required"),
        (data_of(body={"bodyType": "form-data", "formData": {}}), "HTTP form-data body is required"),
        (
            data_of(body={"bodyType": "x-www-form-urlencoded", "xWwwFormUrlencodedValues": {"a": 1}}),
            "HTTP x-www-form-urlencoded body is required",
        ),
        (data_of(body={"bodyType": "xml"}), 'HTTP invalid body type "xml"'),
        (data_of(body=None), 'HTTP invalid body type "undefined"'),
        (
            data_of(headers=object_of(x="string"), headersValues={"x": {"type": "wat"}}),
            "Unknown flow value type: wat",
        ),
    ],
)
def test_what_is_missing_fails_the_node(data: dict[str, Any], message: str) -> None:
    """With FlowGram's texts, where it has any."""
    with pytest.raises((NodeError, BindingError)) as caught:
        inputs_of(data)
    assert str(caught.value) == message


def request_inputs(**more: Any) -> dict[str, Any]:
    return {
        "method": "POST",
        "url": "http://h/?a=1",
        "headers": {},
        "params": {},
        "bodyType": "none",
        "body": "",
        "retryTimes": 0,
        "timeout": 1000,
        **more,
    }


def test_empty_and_null_parameters_are_left_out() -> None:
    """Others are set in the query as texts."""
    params = {"a": 2, "empty": "", "none": None, "zero": 0, "no": False, "list": [], "void": [None, ""]}
    assert str(build_request(request_inputs(params=params)).url) == "http://h/?a=2&zero=0&no=false"


def test_arrays_repeat_and_objects_are_json() -> None:
    """Also objects in arrays; the members of an array are left out as single values are."""
    params = {"tags": ["a", None, "b c", 1.0, True], "o": {"x": [1, "é"]}, "l": [{"y": 1}, [2]]}
    assert parse_qsl(build_request(request_inputs(params=params)).url.query.decode()) == [
        ("a", "1"),
        ("tags", "a"),
        ("tags", "b c"),
        ("tags", "1"),
        ("tags", "true"),
        ("o", '{"x":[1,"é"]}'),
        ("l", '{"y":1}'),
        ("l", "[2]"),
    ]


@pytest.mark.parametrize(
    ("given_type", "kind"),
    [
        (None, "multipart/form-data"),
        ("", "multipart/form-data"),
        ("multipart/form-data", "multipart/form-data"),
        ("Multipart/Form-Data; charset=utf-8", "Multipart/Form-Data"),
    ],
)
def test_a_form_has_the_boundary_of_its_header(given_type: str | None, kind: str) -> None:
    """Whether the node gives its type or none; another type than a form's is sent as it is."""
    headers = {} if given_type is None else {"Content-type": given_type}
    request = build_request(request_inputs(bodyType="form-data", body='{"a":"1"}', headers=headers))
    found, _, boundary = request.headers["content-type"].partition("; boundary=")
    assert found == kind
    assert request.body == encode_multipart([("a", "1")], boundary)
    other = request_inputs(bodyType="form-data", body='{"a":"1"}', headers={"content-type": "x/y"})
    assert build_request(other).headers["content-type"] == "x/y"


@pytest.mark.parametrize("boundary", ["mine", '"my own"'])
def test_a_boundary_that_is_given_is_used(boundary: str) -> None:
    """As it is, in the header and in the body."""
    given_type = f"multipart/form-data; x=y; BOUNDARY={boundary}; z=1"
    headers = {"content-type": given_type}
    request = build_request(request_inputs(bodyType="form-data", body='{"a":"1"}', headers=headers))
    assert request.headers["content-type"] == given_type
    assert request.body == encode_multipart([("a", "1")], boundary.strip('"'))


@pytest.mark.parametrize(
    ("given_type", "body", "sent_type"),
    [
        ("multipart/form-data", "--zz\r\nX: y\r\n\r\n1\r\n--zz--\r\n", 'multipart/form-data; boundary="zz"'),
        ("Multipart/mixed; x=y", "--a b\nX: y\n\n1\n--a b--\n", 'Multipart/mixed; boundary="a b"'),
        ("multipart/form-data; boundary=q", "--zz\r\n", "multipart/form-data; boundary=q"),
        ("multipart/form-data", "no parts", "multipart/form-data"),
        ("multipart/form-data", "--é\r\n", "multipart/form-data"),
        ("multipart/form-data", "-- \r\n", "multipart/form-data"),
        ("text/markdown", "--zz\r\n", "text/markdown"),
    ],
)
@pytest.mark.parametrize("body_type", ["raw-text", "binary"])
def test_a_form_that_was_written_by_hand_gets_its_own_boundary(
    body_type: str, given_type: str, body: str, sent_type: str
) -> None:
    """Its first line says which that is; a type that names one, or a body that has none, stays as it is."""
    inputs = request_inputs(bodyType=body_type, body=body, headers={"Content-Type": given_type})
    request = build_request(inputs)
    assert (request.headers["content-type"], request.body) == (sent_type, body.encode())


@pytest.mark.parametrize(
    ("body_type", "content_type"),
    [
        ("none", None),
        ("JSON", "application/json"),
        ("raw-text", "text/plain"),
        ("binary", "application/octet-stream"),
        ("x-www-form-urlencoded", "application/x-www-form-urlencoded"),
    ],
)
def test_the_content_type_follows_from_the_body_type(body_type: str, content_type: str | None) -> None:
    """Unless a header gives one, in whatever letters; also where no body is sent."""
    body = '{"a":"b"}' if body_type != "none" else ""
    for method in ("POST", "GET"):
        inputs = request_inputs(bodyType=body_type, body=body, method=method)
        assert build_request(inputs).headers.get("content-type") == content_type
        for name in ("Content-Type", "CONTENT-TYPE", "content-type"):
            assert build_request({**inputs, "headers": {name: "x/y"}}).headers["content-type"] == "x/y"


@pytest.mark.parametrize("method", ["GET", "HEAD", "get"])
def test_get_and_head_send_no_body(method: str) -> None:
    """Whatever the node says of one."""
    assert build_request(request_inputs(method=method, bodyType="JSON", body="{}")).body is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"method": "TRACE"}, 'Unsupported HTTP method "TRACE"'),
        ({"method": None}, 'Unsupported HTTP method "NULL"'),
        ({"url": "nowhere"}, "Invalid URL"),
        ({"headers": {"a b": "1"}}, 'Invalid HTTP header name "a b"'),
        ({"headers": {"x": "secret\r\nInjected: 1"}}, 'Invalid value of the HTTP header "x"'),
        ({"headers": {"x": "€"}}, 'Invalid value of the HTTP header "x"'),
        ({"headers": {"x": "a" * 600_000}}, "The headers of the HTTP request have more than 524288 bytes"),
        (
            {"headers": {f"x{i}": "" for i in range(80_000)}},
            "The headers of the HTTP request have more than 524288 bytes",
        ),
        ({"url": "http://h/" + "/." * 40_000}, "The URL has more than 65536 characters"),
        ({"params": {"x": ["1"] * 40_000}}, "The URL has more than 65536 characters"),
        ({"params": {"x": "é" * 20_000}}, "The URL has more than 65536 characters"),
    ],
)
def test_requests_that_cannot_be_are_refused(more: dict[str, Any], message: str) -> None:
    """With a text that names the place and keeps what may be a secret."""
    with pytest.raises(NodeError) as caught:
        build_request(request_inputs(**more))
    assert str(caught.value) == message


def test_headers_are_texts() -> None:
    """Trimmed, joined where names differ in case only, and without those that the message itself decides."""
    headers = {"X": " 1 ", "x": 2, "Content-Length": "99", "Transfer-Encoding": "chunked", "Host": "other"}
    assert build_request(request_inputs(headers=headers)).headers == {"x": "1, 2", "host": "other"}


def test_multipart_forms_are_those_of_browsers() -> None:
    """Quotes and line breaks in names are escaped, line breaks in values are CR LF."""
    encoded = encode_multipart([('a"\n', "é\n1\r2\r\n"), ("b", "")], "X")
    assert encoded == (
        b'--X\r\nContent-Disposition: form-data; name="a%22%0D%0A"\r\n\r\n\xc3\xa9\r\n1\r\n2\r\n\r\n'
        b'--X\r\nContent-Disposition: form-data; name="b"\r\n\r\n\r\n'
        b"--X--\r\n"
    )
    assert encode_multipart([], "X") == b"--X--\r\n"
