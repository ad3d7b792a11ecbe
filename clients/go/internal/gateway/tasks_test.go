package gateway_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
	"github.com/flowgram/flowgram-server/clients/go/internal/gateway"
	"github.com/flowgram/flowgram-server/clients/go/internal/scripted"
)

type (
	runRequest  = runtimev1.TaskRunRequest
	runResponse = runtimev1.TaskRunResponse
)

// Schema and inputs are sent on as they came, or as the text that a string holds; headers become metadata.
func TestRun(t *testing.T) {
	var asked *runRequest
	var told metadata.MD
	server := &scripted.Server{OnRun: func(ctx context.Context, r *runRequest) (*runResponse, error) {
		asked = r
		told, _ = metadata.FromIncomingContext(ctx)
		return &runResponse{TaskId: "t/1"}, nil
	}}
	settings := gateway.Settings{Forward: []string{"Authorization", "traceparent"}}
	withGateway(t, server, settings, func(t *testing.T, b *browser) {
		header := b.expect(http.StatusCreated, `{"task_id":"t/1"}`, "POST", "/tasks",
			`{"schema": {"nodes" : [1.0]}, "inputs": "{\"n\":1e400}", "request_id": "r", "timeout": "1.5s", "labels": {"k":"v"}}`,
			"Authorization", "Bearer x", "traceparent", "ümlaut", "Other", "y")
		if header.Get("Location") != "/tasks/t%2F1" {
			t.Error(header)
		}
		if asked.GetSchema() != `{"nodes" : [1.0]}` || asked.GetInputs() != `{"n":1e400}` || asked.GetRequestId() != "r" ||
			asked.GetTimeout().AsDuration() != 1500*time.Millisecond || asked.GetLabels()["k"] != "v" {
			t.Error(asked)
		}
		if !slices.Equal(told["authorization"], []string{"Bearer x"}) || told["traceparent"] != nil || told["other"] != nil {
			t.Error(told)
		}
	})
}

// With `wait` the answer is the outcome.
func TestRunAndWait(t *testing.T) {
	server := &scripted.Server{OnRun: func(_ context.Context, r *runRequest) (*runResponse, error) {
		return &runResponse{
			TaskId:  "t1",
			Status:  scripted.Status(runtimev1.Status_STATUS_FAILED),
			Outputs: "",
			Errors:  []*runtimev1.Message{{Id: "m", Type: runtimev1.Message_TYPE_ERROR, Text: "no"}},
		}, nil
	}}
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		b.expect(http.StatusOK, `{"task_id":"t1","status":{"status":"STATUS_FAILED","terminated":true},`+
			`"errors":[{"id":"m","type":"TYPE_ERROR","text":"no","node_id":""}]}`,
			"POST", "/tasks", `{"schema": {}, "wait": true}`)
	})
}

// Bodies that are not as they should be are refused, with what is wrong.
func TestBadBodies(t *testing.T) {
	withGateway(t, &scripted.Server{}, gateway.Settings{MaxBodyBytes: 100}, func(t *testing.T, b *browser) {
		for body, problem := range map[string]string{
			`{"schema": `:      "the body is no JSON: it ends too early",
			`{"schema": x}`:    "the body cannot be read: invalid character 'x' looking for beginning of value",
			`[]`:               "the body must be a JSON object, not array",
			`{"schema": 1}`:    "schema and inputs must be JSON objects, or strings that hold one",
			`{"inputs": [1]}`:  "schema and inputs must be JSON objects, or strings that hold one",
			`{"labels": 1}`:    "labels must not be number",
			`{"wait": "yes"}`:  "wait must not be string",
			`{"timeout": "x"}`: `timeout must be a duration such as \"1.5s\"`,
			`{"schemas": {}}`:  "schemas is not known",
			`{} {}`:            "the body is more than one JSON value",
		} {
			b.expect(http.StatusBadRequest,
				`{"code":"ARGUMENT_INVALID","message":"the request is not valid","errors":["`+problem+`"]}`, "POST", "/tasks", body)
		}
		b.expect(http.StatusRequestEntityTooLarge,
			`{"code":"BODY_TOO_LARGE","message":"the body of the request has more than 100 bytes"}`,
			"POST", "/tasks", strings.Repeat("x", 101))
		for _, kind := range []string{"text/plain", "", "application/"} {
			b.expect(http.StatusUnsupportedMediaType,
				`{"code":"CONTENT_TYPE_UNSUPPORTED","message":"the Content-Type of the body must be application/json"}`,
				"POST", "/tasks", "{}", "Content-Type", kind)
		}
	})
}

// Statuses of gRPC's are statuses of HTTP's; what the transport says stays here.
func TestProblems(t *testing.T) {
	for _, test := range []struct {
		status int
		err    error
		body   string
	}{
		{
			400,
			scripted.Refusal(codes.InvalidArgument, "SCHEMA_INVALID", 0,
				&errdetails.BadRequest_FieldViolation{Field: "schema", Description: "a"}),
			`{"code":"SCHEMA_INVALID","message":"refused","errors":["a"]}`,
		},
		{
			400,
			scripted.Refusal(codes.InvalidArgument, "ARGUMENT_INVALID", 0,
				&errdetails.BadRequest_FieldViolation{Field: "labels", Description: "must be few"}),
			`{"code":"ARGUMENT_INVALID","message":"refused","errors":["labels must be few"]}`,
		},
		{409, scripted.Refusal(codes.AlreadyExists, "REQUEST_ID_REUSED", 0), `{"code":"REQUEST_ID_REUSED","message":"refused"}`},
		{
			429, scripted.Refusal(codes.ResourceExhausted, "TOO_MANY_TASKS", 1500*time.Millisecond),
			`{"code":"TOO_MANY_TASKS","message":"refused"}`,
		},
		{
			413, scripted.Refusal(codes.ResourceExhausted, "", 0),
			`{"code":"RESOURCE_EXHAUSTED","message":"the request is larger than the runtime takes"}`,
		},
		{413, scripted.RequestTooLarge(), `{"code":"MESSAGE_TOO_LARGE","message":"refused"}`},
		{500, scripted.Refusal(codes.Internal, "INTERNAL", 0), `{"code":"INTERNAL","message":"refused"}`},
		{
			500, scripted.Refusal(codes.ResourceExhausted, "MESSAGE_TOO_LARGE", 0),
			`{"code":"MESSAGE_TOO_LARGE","message":"refused"}`,
		},
		{
			502, scripted.Refusal(codes.PermissionDenied, "", 0),
			`{"code":"PERMISSION_DENIED","message":"the runtime gave no proper answer"}`,
		},
		{
			503, scripted.Refusal(codes.Unavailable, "", 0),
			`{"code":"UNAVAILABLE","message":"the runtime cannot be reached at the moment"}`,
		},
		{
			504, scripted.Refusal(codes.DeadlineExceeded, "", 0),
			`{"code":"DEADLINE_EXCEEDED","message":"the runtime did not answer in time"}`,
		},
	} {
		server := &scripted.Server{OnRun: func(context.Context, *runRequest) (*runResponse, error) { return nil, test.err }}
		withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
			header := b.expect(test.status, test.body, "POST", "/tasks", `{"schema": {}}`)
			if want := map[int]string{429: "2", 503: "1"}[test.status]; header.Get("Retry-After") != want {
				t.Error(test.status, header)
			}
		})
	}
}

// A server that does not answer is given up at the gateway's own limit.
func TestTimeout(t *testing.T) {
	server := &scripted.Server{OnInfo: func(ctx context.Context) (*runtimev1.ServerInfoResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		began := time.Now()
		b.expect(http.StatusGatewayTimeout, `{"code":"DEADLINE_EXCEEDED","message":"the runtime did not answer in time"}`,
			"GET", "/info", "")
		if time.Since(began) != 30*time.Second {
			t.Error(time.Since(began))
		}
	})
}

// The outcome is as it is now, or as it is once the task has ended.
func TestResult(t *testing.T) {
	server := &scripted.Server{OnResult: func(_ context.Context, r *resultRequest) (*resultResponse, error) {
		if !r.GetWait() {
			return &resultResponse{Status: &runtimev1.StatusInfo{
				Status:    runtimev1.Status_STATUS_PROCESSING,
				StartTime: &timestamppb.Timestamp{Seconds: 1_700_000_000},
				TimeCost:  &durationpb.Duration{Nanos: 12_000_000},
			}}, nil
		}
		return &resultResponse{Status: scripted.Status(runtimev1.Status_STATUS_SUCCEEDED), Outputs: "{\"é\":\n 1.0}"}, nil
	}}
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		b.expect(http.StatusOK, `{"status":{"status":"STATUS_PROCESSING","terminated":false,`+
			`"start_time":"2023-11-14T22:13:20Z","time_cost":"0.012s"},"errors":[]}`, "GET", "/tasks/t1", "")
		b.expect(http.StatusOK, `{"status":{"status":"STATUS_SUCCEEDED","terminated":true},"outputs":{"é":1.0},"errors":[]}`,
			"GET", "/tasks/t1?wait=true", "")
	})
}

// A gateway that stops does not wait for tasks.
func TestStopEndsWaits(t *testing.T) {
	waiting := make(chan struct{})
	server := &scripted.Server{OnResult: func(ctx context.Context, r *resultRequest) (*resultResponse, error) {
		close(waiting)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		go func() {
			<-waiting
			b.gateway.Stop()
		}()
		b.expect(http.StatusServiceUnavailable, `{"code":"SHUTTING_DOWN","message":"the gateway is shutting down"}`,
			"GET", "/tasks/t1?wait=true", "")
	})
}

// The other requests hand over what they are given, and answer with what they get.
func TestOtherRequests(t *testing.T) {
	server := &scripted.Server{
		OnReport: func(r *runtimev1.TaskReportRequest) (*runtimev1.TaskReportResponse, error) {
			if r.GetView() != runtimev1.View_VIEW_BASIC || r.GetTaskId() != "t 1" {
				t.Error(r)
			}
			return &runtimev1.TaskReportResponse{Report: &runtimev1.Report{
				TaskId: "t 1",
				Inputs: `{"a": [1, 2.50]}`,
				Nodes: []*runtimev1.NodeReport{{NodeId: "n", Snapshots: []*runtimev1.Snapshot{{
					Id: "s", Data: "{}", Iterations: []*runtimev1.Iteration{{LoopNodeId: "l", Index: 3}},
				}}}},
				LastSequence: 1 << 60,
			}}, nil
		},
		OnCancel: func(r *runtimev1.TaskCancelRequest) (*runtimev1.TaskCancelResponse, error) {
			return &runtimev1.TaskCancelResponse{Success: r.GetReason() == "why"}, nil
		},
		OnValidate: func(*runtimev1.TaskValidateRequest) (*runtimev1.TaskValidateResponse, error) {
			return &runtimev1.TaskValidateResponse{Errors: []string{"a"}}, nil
		},
		OnList: func(r *runtimev1.TaskListRequest) (*runtimev1.TaskListResponse, error) {
			if !slices.Equal(r.GetStatuses(), []runtimev1.Status{4, 5}) || r.GetLabels()["k"] != "v=w" ||
				r.GetPageSize() != 2 || r.GetPageToken() != "x" {
				t.Error(r)
			}
			labels := map[string]string{"b": "2", "a": "1"}
			return &runtimev1.TaskListResponse{Tasks: []*runtimev1.TaskSummary{{TaskId: "t", Labels: labels}}, NextPageToken: "y"}, nil
		},
		OnInfo: func(context.Context) (*runtimev1.ServerInfoResponse, error) {
			return &runtimev1.ServerInfoResponse{NodeTypes: []string{"a", "b"}}, nil
		},
	}
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		b.expect(http.StatusOK, `{"report":{"task_id":"t 1","inputs":{"a":[1,2.50]},"nodes":[{"node_id":"n","snapshots":`+
			`[{"id":"s","node_id":"","iterations":[{"loop_node_id":"l","index":3}],"data":{},"branch":"","error":""}]}],`+
			`"messages":[],"last_sequence":1152921504606846976}}`, "GET", "/tasks/t%201/report?view=basic", "")
		b.expect(http.StatusOK, `{"success":true}`, "POST", "/tasks/t1/cancel", `{"reason":"why"}`)
		b.expect(http.StatusOK, `{"success":false}`, "POST", "/tasks/t1/cancel", "")
		b.expect(http.StatusOK, `{"valid":false,"errors":["a"]}`, "POST", "/validate", `{"schema":{}}`)
		b.expect(http.StatusOK, `{"tasks":[{"task_id":"t","labels":{"a":"1","b":"2"}}],"next_page_token":"y"}`,
			"GET", "/tasks?status=FAILED&status=CANCELED&label=k=v%3Dw&page_size=2&page_token=x", "")
		b.expect(http.StatusOK, `{"name":"","title":"","description":"","runtime":"","version":"","node_types":["a","b"]}`,
			"GET", "/info", "")
		b.expect(http.StatusOK, `{"status":"ok"}`, "GET", "/healthz", "")
		b.expect(http.StatusNotFound, `{"code":"NOT_FOUND","message":"there is nothing here"}`, "GET", "/nowhere", "")
		header := b.expect(http.StatusMethodNotAllowed,
			`{"code":"METHOD_NOT_ALLOWED","message":"the path has no such method"}`, "DELETE", "/tasks/t1", "")
		if header.Get("Allow") != "GET" {
			t.Error(header)
		}
		b.expect(http.StatusBadRequest, `{"code":"ARGUMENT_INVALID","message":"the request is not valid","errors":`+
			`["label must be key=value","page_size must be a number",`+
			`"status must be PENDING, PROCESSING, SUCCEEDED, FAILED or CANCELED"]}`,
			"GET", "/tasks?status=x&label=y&page_size=z", "")
		b.expect(http.StatusBadRequest,
			`{"code":"ARGUMENT_INVALID","message":"the request is not valid","errors":["wait must be true or false"]}`,
			"GET", "/tasks/t1?wait=1", "")
	})
}

// Pages of the origins that are named may use the gateway, and no others.
func TestOrigins(t *testing.T) {
	preflight := []string{"Access-Control-Request-Method", "POST", "Origin"}
	for _, test := range []struct {
		origins []string
		origin  string
		allowed string
	}{
		{nil, "http://a", ""},
		{[]string{"http://a"}, "http://a", "http://a"},
		{[]string{"http://a"}, "http://b", ""},
		{[]string{"*"}, "http://b", "*"},
	} {
		withGateway(t, &scripted.Server{}, gateway.Settings{Origins: test.origins}, func(t *testing.T, b *browser) {
			header := b.ask("GET", "/healthz", "", "Origin", test.origin).Header
			if got := header.Get("Access-Control-Allow-Origin"); got != test.allowed {
				t.Error(test, got)
			}
			response := b.ask("OPTIONS", "/tasks", "", append(slices.Clone(preflight), test.origin)...)
			if allowed := response.StatusCode == http.StatusNoContent; allowed != (test.allowed != "") {
				t.Error(test, response.StatusCode)
			}
		})
	}
}
