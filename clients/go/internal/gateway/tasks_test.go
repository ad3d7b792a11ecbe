package gateway_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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

const runBody = `{"schema":"{}","inputs":{}}`

// What is to run arrives as it was sent, with the headers that are forwarded; the digits of numbers stay.
func TestRun(t *testing.T) {
	var asked *runRequest
	var received metadata.MD
	server := &scripted.Server{OnRun: func(ctx context.Context, r *runRequest) (*runResponse, error) {
		asked = r
		received, _ = metadata.FromIncomingContext(ctx)
		return &runResponse{TaskId: "t1"}, nil
	}}
	settings := gateway.Settings{Forward: []string{"Authorization"}}
	withGateway(t, server, settings, func(t *testing.T, b *browser) {
		b.expect(http.StatusOK, `{"taskID":"t1"}`, "POST", "/api/task/run",
			"\xef\xbb\xbf"+`{"schema": "{\"nodes\": []}", "inputs": {"n": 12345678901234567890}, "labels": {"a": "b"},
			"requestID": "r", "displayName": "d", "unknown": 1}`, "Authorization", "Bearer x", "Cookie", "secret")
		if asked.GetSchema() != `{"nodes": []}` || asked.GetInputs() != `{"n": 12345678901234567890}` ||
			asked.GetLabels()["a"] != "b" || asked.GetRequestId() != "r" || asked.GetDisplayName() != "d" || asked.GetWait() {
			t.Error(asked)
		}
		if !slices.Equal(received["authorization"], []string{"Bearer x"}) || received["cookie"] != nil {
			t.Error(received)
		}
		b.refused(http.StatusRequestHeaderFieldsTooLarge, "HEADERS_TOO_LARGE", nil, "GET", "/api/task?taskID=t1", "",
			"Authorization", "Bearer "+strings.Repeat("a", 16_000))
	})
}

// All that is wrong with a workflow is reported, and not only what the status of a call has room for.
func TestRunOfAnInvalidWorkflow(t *testing.T) {
	server := &scripted.Server{
		OnRun: func(context.Context, *runRequest) (*runResponse, error) {
			return nil, scripted.Refusal(codes.InvalidArgument, "SCHEMA_INVALID", 0,
				&errdetails.BadRequest_FieldViolation{Field: "schema", Description: "a"})
		},
		OnValidate: func(*runtimev1.TaskValidateRequest) (*runtimev1.TaskValidateResponse, error) {
			return &runtimev1.TaskValidateResponse{
				Errors:   []string{"a", "b"},
				Problems: []*runtimev1.Problem{{Field: "schema.nodes", Text: "a"}, {Text: "b"}},
			}, nil
		},
	}
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		b.refused(http.StatusBadRequest, "SCHEMA_INVALID", []string{"a", "b"}, "POST", "/api/task/run", runBody)
		b.expect(http.StatusOK, `{"valid":false,"errors":["a","b"],`+
			`"problems":[{"field":"schema.nodes","text":"a"},{"field":"","text":"b"}]}`,
			"POST", "/api/task/validate", runBody)
	})
}

// Bodies that are not as they should be are refused, with what is wrong.
func TestBadBodies(t *testing.T) {
	withGateway(t, &scripted.Server{}, gateway.Settings{MaxBodyBytes: 400}, func(t *testing.T, b *browser) {
		for body, problem := range map[string]string{
			`{"schema": `:                    "the body is no JSON: it ends too early",
			`{"schema": x}`:                  "the body is no JSON: invalid character 'x' looking for beginning of value",
			`[]`:                             "the body must be a JSON object",
			`{"schema": 1, "inputs": {}}`:    "schema: must not be number",
			`{"schema": "", "inputs": {}}`:   "schema: must not be empty",
			`{"schema": "{}"}`:               "inputs: is required",
			`{"schema": "{}", "inputs": []}`: "inputs: must be an object",
			`{"schema": "{}", "inputs": {}, "labels": 1}`:           "labels: must not be number",
			`{"schema": "{}", "inputs": {}, "labels": null}`:        "labels: must not be null",
			`{"schema": "{}", "inputs": {}, "labels": {"a": [1]}}`:  "labels.a: must not be an array",
			`{"schema": "{}", "inputs": {}, "labels": {"a": null}}`: "labels.a: must not be null",
			`{"schema": null, "inputs": {}}`:                        "schema: must not be null",
			`{"schema": "{}", "inputs": null}`:                      "inputs: must be an object",
			`{"SCHEMA": "{}", "schema": "{}", "inputs": true}`:      "inputs: must be an object",
			`null`:                              "the body must be a JSON object",
			`{"schema": "{}", "inputs": {}} {}`: "the body is no JSON: it is more than one value",
			`{"schema": "` + "\xff" + `", "inputs": {}}`: "the body is no JSON: it is not UTF-8",
		} {
			b.refused(http.StatusBadRequest, "ARGUMENT_INVALID", []string{problem}, "POST", "/api/task/run", body)
		}
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID", []string{"inputs: is required", "schema: is required"},
			"POST", "/api/task/validate", "{}")
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID",
			[]string{"displayName: must not be number", "labels: must not be string", "requestID: must not be an array", "schema: is required"},
			"POST", "/api/task/run", `{"inputs": {}, "displayName": 5, "labels": "x", "requestID": []}`)
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID",
			[]string{"maxInFlight: must be a whole number", "schema: must not be number", "timeout: must be a whole number"},
			"POST", "/api/tasks/batch", `{"schema": 5, "maxInFlight": "x", "timeout": 1.5}`)
		b.refused(http.StatusNotFound, "NOT_FOUND", nil, "POST", "//api/task/run", "{}")
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID",
			[]string{"displayName: must have at most 256 characters"}, "POST", "/api/task/run",
			`{"schema": "{}", "inputs": {}, "displayName": "`+strings.Repeat("x", 257)+`"}`)
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID", []string{"taskID: is required"}, "PUT", "/api/task/cancel", "{}")
		b.refused(http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE", nil, "POST", "/api/task/run", strings.Repeat("x", 401))
		for _, kind := range []string{"text/plain", "", "application/"} {
			b.refused(http.StatusUnsupportedMediaType, "CONTENT_TYPE_UNSUPPORTED", nil,
				"POST", "/api/task/run", "{}", "Content-Type", kind)
		}
	})
}

// Bodies must come in time, and all together fit into the memory that they may hold.
func TestSlowAndManyBodies(t *testing.T) {
	settings := gateway.Settings{MaxBodiesBytes: 100}
	server := &scripted.Server{OnRun: func(context.Context, *runRequest) (*runResponse, error) {
		return &runResponse{TaskId: "t1"}, nil
	}}
	withGateway(t, server, settings, func(t *testing.T, b *browser) {
		reading, writing := io.Pipe()
		defer writing.Close()
		request, err := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/api/task/run", reading)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		answers := make(chan *http.Response, 1)
		go func() {
			response, err := b.client.Do(request)
			if err != nil {
				t.Error(err)
			}
			answers <- response
		}()
		_, _ = writing.Write([]byte(strings.Repeat(" ", 90)))
		synctest.Wait()
		b.refused(http.StatusServiceUnavailable, "OVERLOADED", nil, "POST", "/api/task/run", runBody)
		began := time.Now()
		response := <-answers
		if got := text(t, response); response.StatusCode != http.StatusRequestTimeout || !strings.Contains(got, "BODY_TIMED_OUT") {
			t.Error(response.StatusCode, got)
		}
		if passed := time.Since(began); passed < 9*time.Second || passed > 11*time.Second {
			t.Error(passed)
		}
		b.expect(http.StatusOK, `{"taskID":"t1"}`, "POST", "/api/task/run", runBody) // what it held is given back
	})
}

// Statuses of gRPC's are statuses of HTTP's; what the transport says stays here, and names are those of this API.
func TestProblems(t *testing.T) {
	for _, test := range []struct {
		status int
		err    error
		code   string
		errors []string
	}{
		{
			400,
			scripted.Refusal(codes.InvalidArgument, "ARGUMENT_INVALID", 0,
				&errdetails.BadRequest_FieldViolation{Field: "request_id", Description: "must be short"}),
			"ARGUMENT_INVALID",
			[]string{"requestID must be short"},
		},
		{401, scripted.Refusal(codes.Unauthenticated, "CREDENTIALS_MISSING", 0), "CREDENTIALS_MISSING", nil},
		{403, scripted.Refusal(codes.PermissionDenied, "PERMISSION_DENIED", 0), "PERMISSION_DENIED", nil},
		{429, scripted.Refusal(codes.ResourceExhausted, "QUOTA_EXCEEDED", 1500*time.Millisecond), "QUOTA_EXCEEDED", nil},
		{507, scripted.Refusal(codes.ResourceExhausted, "STORAGE_FULL", 0), "STORAGE_FULL", nil},
		{409, scripted.Refusal(codes.AlreadyExists, "REQUEST_ID_REUSED", 0), "REQUEST_ID_REUSED", nil},
		{429, scripted.Refusal(codes.ResourceExhausted, "TOO_MANY_TASKS", 1500*time.Millisecond), "TOO_MANY_TASKS", nil},
		{413, scripted.Refusal(codes.ResourceExhausted, "", 0), "RESOURCE_EXHAUSTED", nil},
		{413, scripted.RequestTooLarge(), "MESSAGE_TOO_LARGE", nil},
		{500, scripted.Refusal(codes.Internal, "INTERNAL", 0), "INTERNAL", nil},
		{500, scripted.Refusal(codes.ResourceExhausted, "MESSAGE_TOO_LARGE", 0), "MESSAGE_TOO_LARGE", nil},
		{502, scripted.Refusal(codes.DataLoss, "", 0), "DATA_LOSS", nil},
		{503, scripted.Refusal(codes.Unavailable, "", 0), "UNAVAILABLE", nil},
		{504, scripted.Refusal(codes.DeadlineExceeded, "", 0), "DEADLINE_EXCEEDED", nil},
	} {
		server := &scripted.Server{OnRun: func(context.Context, *runRequest) (*runResponse, error) { return nil, test.err }}
		withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
			header := b.refused(test.status, test.code, test.errors, "POST", "/api/task/run", runBody)
			if want := map[int]string{429: "2", 503: "1", 507: "1"}[test.status]; header.Get("Retry-After") != want {
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
		b.refused(http.StatusGatewayTimeout, "DEADLINE_EXCEEDED", nil, "GET", "/api/info", "")
		if time.Since(began) != 30*time.Second {
			t.Error(time.Since(began))
		}
	})
}

// The other requests hand over what they are given, and answer in FlowGram's shapes.
func TestOtherRequests(t *testing.T) {
	processing := &runtimev1.StatusInfo{
		Status: 2, StartTime: &timestamppb.Timestamp{Seconds: 1_700_000_000}, TimeCost: &durationpb.Duration{Nanos: 12_900_000},
	}
	summary := &runtimev1.TaskSummary{
		TaskId: "t", Status: processing, Labels: map[string]string{"b": "2", "a": "1"}, LastSequence: 7,
		CreateTime: &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: 1_999_999},
	}
	server := &scripted.Server{
		OnReport: func(r *runtimev1.TaskReportRequest) (*runtimev1.TaskReportResponse, error) {
			return &runtimev1.TaskReportResponse{Report: &runtimev1.Report{
				TaskId: r.GetTaskId(), Status: processing, Inputs: `{"a": [1, 2.50]}`,
				Nodes: []*runtimev1.NodeReport{{NodeId: "z", Status: processing, Snapshots: []*runtimev1.Snapshot{{
					Id: "s", NodeId: "z", Data: "{}", Outputs: "{\"é\":\n1.0}", Branch: "if",
					Iterations: []*runtimev1.Iteration{{LoopNodeId: "l", Index: 3}},
				}}}, {NodeId: "a", Status: processing}},
				Messages: []*runtimev1.Message{{Id: "m", Type: runtimev1.Message_TYPE_ERROR, Text: "no", NodeId: "z"}},
			}}, nil
		},
		OnResult: func(context.Context, *runtimev1.TaskResultRequest) (*runtimev1.TaskResultResponse, error) {
			return &runtimev1.TaskResultResponse{Outputs: `{"n": 12345678901234567890}`}, nil
		},
		OnCancel: func(r *runtimev1.TaskCancelRequest) (*runtimev1.TaskCancelResponse, error) {
			return &runtimev1.TaskCancelResponse{Success: r.GetTaskId() == "t1"}, nil
		},
		OnValidate: func(*runtimev1.TaskValidateRequest) (*runtimev1.TaskValidateResponse, error) {
			return &runtimev1.TaskValidateResponse{Valid: true}, nil
		},
		OnGet: func(*runtimev1.TaskGetRequest) (*runtimev1.TaskGetResponse, error) {
			return &runtimev1.TaskGetResponse{Task: &runtimev1.Task{
				Summary: summary, Schema: `{"nodes":[]}`, Inputs: `{"n":1.0}`, Timeout: &durationpb.Duration{Seconds: 2},
			}}, nil
		},
		OnList: func(r *runtimev1.TaskListRequest) (*runtimev1.TaskListResponse, error) {
			if !slices.Equal(r.GetStatuses(), []runtimev1.Status{4, 5}) || r.GetLabels()["k"] != "v=w" ||
				r.GetPageSize() != 2 || r.GetPageToken() != "x" {
				t.Error(r)
			}
			return &runtimev1.TaskListResponse{Tasks: []*runtimev1.TaskSummary{summary}, NextPageToken: "y"}, nil
		},
		OnInfo: func(context.Context) (*runtimev1.ServerInfoResponse, error) {
			return &runtimev1.ServerInfoResponse{
				NodeTypes: []string{"a", "b"}, Time: &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: 1_999_999},
				Limits: &runtimev1.ServerLimits{MaxMessageBytes: 1, MaxSchemaBytes: 2, MaxInputsBytes: 3},
			}, nil
		},
	}
	const status = `"status":"processing","terminated":false,"startTime":1700000000000,"timeCost":12`
	const listed = `"taskID":"t","workflowStatus":{` + status + `},"createTime":1700000000001,"labels":{"a":"1","b":"2"},"lastSequence":7`
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		b.expect(http.StatusOK, `{"id":"t 1","inputs":{"a":[1,2.50]},"outputs":{},"workflowStatus":{`+status+`},"reports":`+
			`{"z":{"id":"z",`+status+`,"snapshots":[{"id":"s","nodeID":"z","inputs":{},"data":{},"outputs":{"é":1.0},"branch":"if"}]},`+
			`"a":{"id":"a",`+status+`,"snapshots":[]}},"messages":{"debug":[],"error":`+
			`[{"id":"m","type":"error","message":"no","nodeID":"z","timestamp":0}],"info":[],"log":[],"warning":[]}}`,
			"GET", "/api/task/report?taskID=t%201", "")
		b.expect(http.StatusOK, `{"n":12345678901234567890}`, "GET", "/api/task/result?taskID=t1", "")
		b.expect(http.StatusOK, `{"success":true}`, "PUT", "/api/task/cancel", `{"taskID":"t1"}`)
		b.expect(http.StatusOK, `{"success":false}`, "PUT", "/api/task/cancel", `{"taskID":"t2"}`)
		b.expect(http.StatusOK, `{"valid":true}`, "POST", "/api/task/validate", runBody)
		b.expect(http.StatusOK, `{`+listed+`,"schema":"{\"nodes\":[]}","inputs":{"n":1.0},"timeout":2000}`,
			"GET", "/api/task?taskID=t", "")
		b.expect(http.StatusOK, `{"tasks":[{`+listed+`}],"nextPageToken":"y"}`,
			"GET", "/api/tasks?status=failed&status=canceled&label=k=v%3Dw&pageSize=2&pageToken=x", "")
		b.expect(http.StatusOK, `{"name":"","title":"","description":"","runtime":"","version":"","time":"2023-11-14T22:13:20.001Z",`+
			`"nodeTypes":["a","b"],"features":[],"limits":{"maxMessageBytes":1,"maxSchemaBytes":2,"maxInputsBytes":3}}`,
			"GET", "/api/info", "")
		b.expect(http.StatusOK, `{"status":"ok"}`, "GET", "/healthz", "")
		b.refused(http.StatusNotFound, "NOT_FOUND", nil, "GET", "/nowhere", "")
		header := b.refused(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", nil, "DELETE", "/api/tasks", "")
		if header.Get("Allow") != "GET" {
			t.Error(header)
		}
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID", []string{
			"label: must be KEY=VALUE", "pageSize: must be a number from 1 to 1000",
			"status: must be pending, processing, succeeded, failed or canceled",
		}, "GET", "/api/tasks?status=x&label=y&pageSize=0", "")
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID", []string{"taskID: is required"}, "GET", "/api/task/result", "")
	})
}

// A batch has a line for each run, and for each line that is wrong; what is wrong with the first line refuses it.
func TestBatch(t *testing.T) {
	server := &scripted.Server{OnBatch: func(s scripted.BatchStream) error {
		for {
			request, err := s.Recv()
			if err != nil {
				return nil
			}
			if defaults := request.GetDefaults(); defaults != nil && (defaults.GetSchema() != "{}" ||
				defaults.GetTimeout().GetSeconds() != 2 || request.GetMaxInFlight() != 3) {
				t.Error(request)
			}
			for _, run := range request.GetRuns() {
				_ = s.Send(&runtimev1.TaskRunBatchResponse{Outcomes: []*runtimev1.BatchOutcome{{
					Key: run.GetKey(), Result: &runtimev1.BatchOutcome_Outcome{Outcome: &runResponse{
						TaskId: run.GetRequest().GetRequestId(), Status: scripted.Status(3), Outputs: run.GetRequest().GetInputs(),
					}},
				}}})
			}
		}
	}}
	withGateway(t, server, gateway.Settings{MaxBodyBytes: 200}, func(t *testing.T, b *browser) {
		const kind = "application/x-ndjson"
		first := `{"schema":"{}","timeout":2000,"maxInFlight":3}`
		response := b.ask("POST", "/api/tasks/batch", first+"\n\n"+`{"inputs":{"n":1.0},"requestID":"a"}`+"\n"+
			`{"inputs":1}`+"\r\n"+`{"key":"k","inputs":{},"requestID":"b"}`, "Content-Type", kind)
		got := strings.Split(strings.TrimSuffix(text(t, response), "\n"), "\n")
		slices.Sort(got)
		const status = `"workflowStatus":{"status":"succeeded","terminated":true,"startTime":0,"timeCost":0}`
		want := []string{
			`{"key":"2","taskID":"a",` + status + `,"outputs":{"n":1.0}}`,
			`{"key":"k","taskID":"b",` + status + `,"outputs":{}}`,
			`{"line":3,"error":{"code":"ARGUMENT_INVALID","message":"inputs: must be an object","errors":["inputs: must be an object"]}}`,
		}
		if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != kind || !slices.Equal(got, want) {
			t.Error(response.StatusCode, strings.Join(got, "\n"))
		}
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID", []string{"schema: is required"},
			"POST", "/api/tasks/batch", "{}", "Content-Type", kind)
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID", []string{"the first line must have the defaults of the batch"},
			"POST", "/api/tasks/batch", " ", "Content-Type", kind)
		b.refused(http.StatusUnsupportedMediaType, "CONTENT_TYPE_UNSUPPORTED", nil,
			"POST", "/api/tasks/batch", first, "Content-Type", "text/plain")
		b.refused(http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE", nil,
			"POST", "/api/tasks/batch", first+"\n"+strings.Repeat("x", 201), "Content-Type", kind)
	})
}

// Pages of the origins that are named may use the gateway; others can change nothing, and read nothing.
func TestOrigins(t *testing.T) {
	for _, test := range []struct {
		origins []string
		origin  string
		allowed string
	}{
		{nil, "http://a", ""},
		{[]string{"http://a"}, "http://a", "http://a"},
		{[]string{"http://a"}, "http://b", ""},
		{[]string{"*"}, "http://b", "*"},
		{[]string{gateway.Loopback}, "http://localhost:3000", "http://localhost:3000"},
		{[]string{gateway.Loopback}, "https://[::1]:3000", "https://[::1]:3000"},
		{[]string{gateway.Loopback}, "http://127.9.9.9", "http://127.9.9.9"},
		{[]string{gateway.Loopback}, "http://localhost.evil.example", ""},
		{[]string{gateway.Loopback}, "null", ""},
	} {
		withGateway(t, &scripted.Server{}, gateway.Settings{Origins: test.origins}, func(t *testing.T, b *browser) {
			header := b.ask("GET", "/healthz", "", "Origin", test.origin).Header
			if got := header.Get("Access-Control-Allow-Origin"); got != test.allowed {
				t.Error(test, got)
			}
			asking := []string{"Access-Control-Request-Method", "PUT", "Origin", test.origin}
			if test.allowed != "" {
				if response := b.ask("OPTIONS", "/api/task/cancel", "", asking...); response.StatusCode != http.StatusNoContent {
					t.Error(test, response.StatusCode)
				}
				return
			}
			b.refused(http.StatusForbidden, "ORIGIN_NOT_ALLOWED", nil, "OPTIONS", "/api/task/cancel", "", asking...)
			b.refused(http.StatusForbidden, "ORIGIN_NOT_ALLOWED", nil, "POST", "/api/task/run", runBody, "Origin", test.origin)
		})
	}
}

// A page whose own name was made to lead to this machine is refused for the name.
func TestHosts(t *testing.T) {
	settings := gateway.Settings{Hosts: []string{"flows.example"}, Listen: "10.0.0.1"}
	withGateway(t, &scripted.Server{}, settings, func(t *testing.T, b *browser) {
		for _, host := range []string{"localhost", "LOCALHOST:80", "a.localhost", "127.0.0.1:8", "[::1]:8", "flows.example", "10.0.0.1:80"} {
			b.expect(http.StatusOK, `{"status":"ok"}`, "GET", "/healthz", "", "Host", host)
		}
		for _, host := range []string{"evil.example", "10.0.0.2", "localhost.evil.example"} {
			b.refused(http.StatusForbidden, "HOST_NOT_ALLOWED", nil, "GET", "/healthz", "", "Host", host)
		}
	})
	withGateway(t, &scripted.Server{}, gateway.Settings{Listen: "0.0.0.0"}, func(t *testing.T, b *browser) {
		b.expect(http.StatusOK, `{"status":"ok"}`, "GET", "/healthz", "", "Host", "10.0.0.2:80")
		b.refused(http.StatusForbidden, "HOST_NOT_ALLOWED", nil, "GET", "/healthz", "", "Host", "evil.example")
	})
}
