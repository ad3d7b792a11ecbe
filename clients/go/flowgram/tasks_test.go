package flowgram_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
	"github.com/flowgram/flowgram-server/clients/go/internal/scripted"
)

type (
	runRequest     = runtimev1.TaskRunRequest
	runResponse    = runtimev1.TaskRunResponse
	resultRequest  = runtimev1.TaskResultRequest
	resultResponse = runtimev1.TaskResultResponse
)

var succeeded = scripted.Status(flowgram.StatusSucceeded)

// What is to run arrives as it was given, with the metadata of the client and of the call.
func TestRun(t *testing.T) {
	var asked *runRequest
	var received metadata.MD
	server := &scripted.Server{OnRun: func(ctx context.Context, r *runRequest) (*runResponse, error) {
		asked = r
		received, _ = metadata.FromIncomingContext(ctx)
		return &runResponse{TaskId: "t1"}, nil
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		ctx = metadata.AppendToOutgoingContext(ctx, "request", "7")
		taskID, err := client.Run(ctx, flowgram.RunRequest{
			Schema:      json.RawMessage(`{"nodes": []}`),
			Inputs:      json.RawMessage(`{"n": 12345678901234567890}`),
			TaskTimeout: time.Minute,
			Labels:      map[string]string{"team": "x"},
			DisplayName: "order 7",
		})
		if err != nil || taskID != "t1" {
			t.Fatal(taskID, err)
		}
		if asked.GetSchema() != `{"nodes": []}` || asked.GetInputs() != `{"n": 12345678901234567890}` ||
			asked.GetTimeout().AsDuration() != time.Minute || asked.GetLabels()["team"] != "x" ||
			asked.GetRequestId() == "" || asked.GetWait() ||
			asked.GetDisplayName() != "order 7" {
			t.Error(asked)
		}
		if !slices.Equal(received["tenant"], []string{"blue"}) || !slices.Equal(received["request"], []string{"7"}) {
			t.Error(received)
		}
	})
}

// A token is sent with every call; a refusal of it is an error of its own, and so is one for what it does not allow.
func TestToken(t *testing.T) {
	refusals := []error{
		scripted.Refusal(codes.Unauthenticated, "CREDENTIALS_INVALID", 0),
		scripted.Refusal(codes.PermissionDenied, "PERMISSION_DENIED", 0),
	}
	var received []string
	server := &scripted.Server{OnInfo: func(ctx context.Context) (*runtimev1.ServerInfoResponse, error) {
		given, _ := metadata.FromIncomingContext(ctx)
		received = append(received, given["authorization"]...)
		return nil, refusals[len(received)-1]
	}}
	synctest.Test(t, func(t *testing.T) {
		server.Start()
		defer server.Stop()
		client, err := flowgram.Dial("passthrough:///scripted", flowgram.WithDialOptions(server.Dialer()), flowgram.WithToken(" key "))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for _, want := range []error{flowgram.ErrUnauthenticated, flowgram.ErrPermissionDenied} {
			if _, err := client.Info(t.Context()); !errors.Is(err, want) {
				t.Error(err, "is not", want)
			}
		}
		if !slices.Equal(received, []string{"Bearer key", "Bearer key"}) {
			t.Error(received)
		}
	})
	_, err := flowgram.Dial("127.0.0.1:1", flowgram.WithMetadata("Authorization", "x"), flowgram.WithToken("key"))
	if err == nil || strings.Contains(err.Error(), "key") {
		t.Error(err)
	}
}

// A repetition carries the request id of the first attempt, and comes after at least the pause that was asked for.
func TestRunIsRepeated(t *testing.T) {
	var ids []string
	server := &scripted.Server{OnRun: func(_ context.Context, r *runRequest) (*runResponse, error) {
		ids = append(ids, r.GetRequestId())
		if len(ids) < 3 {
			return nil, scripted.Refusal(codes.Unavailable, "STORAGE_UNAVAILABLE", 3*time.Second)
		}
		return &runResponse{TaskId: "t1"}, nil
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		began := time.Now()
		if _, err := client.Run(ctx, flowgram.RunRequest{}); err != nil {
			t.Fatal(err)
		}
		if ids[0] == "" || ids[1] != ids[0] || ids[2] != ids[0] || time.Since(began) < 6*time.Second {
			t.Error(ids, time.Since(began))
		}
	})
}

// A server that is away is given up after five attempts, or when the deadline leaves no room for another.
func TestRunGivesUp(t *testing.T) {
	calls := 0
	server := &scripted.Server{OnRun: func(context.Context, *runRequest) (*runResponse, error) {
		calls++
		return nil, scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", 0)
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		if _, err := client.Run(ctx, flowgram.RunRequest{}); !errors.Is(err, flowgram.ErrUnavailable) || calls != 5 {
			t.Error(err, calls)
		}
		calls = 0
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if _, err := client.Run(ctx, flowgram.RunRequest{}); !errors.Is(err, flowgram.ErrUnavailable) || calls != 1 {
			t.Error(err, calls)
		}
	})
}

// An error carries everything that the server said.
func TestErrors(t *testing.T) {
	server := &scripted.Server{OnRun: func(context.Context, *runRequest) (*runResponse, error) {
		return nil, scripted.Refusal(codes.InvalidArgument, "SCHEMA_INVALID", 2*time.Second,
			&errdetails.BadRequest_FieldViolation{Field: "schema.nodes", Description: "is missing"},
			&errdetails.BadRequest_FieldViolation{Description: "and more"})
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		_, err := client.Run(ctx, flowgram.RunRequest{})
		var failure *flowgram.Error
		ok := errors.As(err, &failure)
		if !ok {
			t.Fatal(err)
		}
		if failure.Code != codes.InvalidArgument || failure.Reason != "SCHEMA_INVALID" ||
			failure.RetryAfter != 2*time.Second || failure.Metadata["task_id"] != "t1" ||
			!slices.Equal(failure.Violations, []flowgram.Violation{{"schema.nodes", "is missing"}, {"", "and more"}}) {
			t.Errorf("%#v", failure)
		}
		if want := "flowgram: refused\n  schema.nodes: is missing\n  and more"; err.Error() != want {
			t.Error(err)
		}
		if !errors.Is(err, flowgram.ErrInvalidWorkflow) || !errors.Is(err, flowgram.ErrInvalidArgument) ||
			errors.Is(err, flowgram.ErrTaskNotFound) || status.Code(err) != codes.InvalidArgument {
			t.Error("the error is not what it should be")
		}
	})
}

// Text that is not UTF-8 never leaves the process.
func TestTextMustBeUTF8(t *testing.T) {
	withServer(t, &scripted.Server{}, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		_, err := client.Run(ctx, flowgram.RunRequest{Schema: json.RawMessage("\xff"), Labels: map[string]string{"k": "\xff"}})
		var failure *flowgram.Error
		ok := errors.As(err, &failure)
		if !ok || !errors.Is(err, flowgram.ErrInvalidArgument) || failure.Reason != "ARGUMENT_INVALID" ||
			len(failure.Violations) != 2 {
			t.Error(err)
		}
		if _, err := collect(client.Watch(ctx, "\xff")); !errors.Is(err, flowgram.ErrInvalidArgument) {
			t.Error(err)
		}
	})
}

// The end of the context ends a call at once, with the context's error.
func TestCallsEndWithTheirContext(t *testing.T) {
	server := &scripted.Server{OnResult: func(ctx context.Context, _ *resultRequest) (*resultResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		bounded, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := client.Wait(bounded, "t1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		canceled, cancel := context.WithCancel(ctx)
		time.AfterFunc(time.Second, cancel)
		if _, err := client.Wait(canceled, "t1"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// One call runs a workflow; its outputs keep all digits.
func TestRunAndWait(t *testing.T) {
	server := &scripted.Server{OnRun: func(_ context.Context, r *runRequest) (*runResponse, error) {
		if !r.GetWait() {
			t.Error("it does not wait")
		}
		return &runResponse{TaskId: "t1", Status: succeeded, Outputs: `{"n": 12345678901234567890}`}, nil
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		result, err := client.RunAndWait(ctx, flowgram.RunRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var outputs map[string]any
		if err := result.Decode(&outputs); err != nil || outputs["n"] != json.Number("12345678901234567890") {
			t.Error(outputs, err)
		}
	})
}

// An answer that came too early is asked for again, unless a deadline was near.
func TestWaitingGoesOn(t *testing.T) {
	calls := 0
	processing := scripted.Status(flowgram.StatusProcessing)
	server := &scripted.Server{
		OnRun: func(context.Context, *runRequest) (*runResponse, error) {
			return &runResponse{TaskId: "t1", Status: processing}, nil
		},
		OnResult: func(context.Context, *resultRequest) (*resultResponse, error) {
			if calls++; calls < 3 {
				return &resultResponse{Status: processing}, nil
			}
			return &resultResponse{Status: succeeded}, nil
		},
	}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		result, err := client.RunAndWait(ctx, flowgram.RunRequest{})
		if err != nil || result.Err() != nil || result.TaskID != "t1" || calls != 3 {
			t.Error(result, err, calls)
		}
		calls = 0
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		result, err = client.RunAndWait(ctx, flowgram.RunRequest{})
		if err != nil || !errors.Is(result.Err(), flowgram.ErrTaskUnfinished) {
			t.Error(result, err)
		}
		result, err = client.Wait(ctx, "t1")
		if err != nil || !errors.Is(result.Err(), flowgram.ErrTaskUnfinished) || calls != 1 {
			t.Error(result, err, calls)
		}
	})
}

// The id of a task that was accepted is never lost, even if nobody can tell what became of it.
func TestRunAndWaitTellsTheTask(t *testing.T) {
	server := &scripted.Server{
		OnRun: func(context.Context, *runRequest) (*runResponse, error) {
			return &runResponse{TaskId: "t1", Status: scripted.Status(flowgram.StatusPending)}, nil
		},
		OnResult: func(context.Context, *resultRequest) (*resultResponse, error) {
			return nil, scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", 0)
		},
	}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		result, err := client.RunAndWait(ctx, flowgram.RunRequest{})
		if !errors.Is(err, flowgram.ErrUnavailable) || result.TaskID != "t1" {
			t.Error(result, err)
		}
	})
}

// Outputs that the answer had no room for are asked for, and the error names the task where they cannot be had.
func TestRunAndWaitWithLargeOutputs(t *testing.T) {
	outcome := &resultResponse{Status: succeeded, Outputs: `{"n": 1}`}
	server := &scripted.Server{
		OnRun: func(context.Context, *runRequest) (*runResponse, error) {
			return &runResponse{TaskId: "t1", Status: succeeded}, nil
		},
		OnResult: func(context.Context, *resultRequest) (*resultResponse, error) {
			if outcome == nil {
				return nil, scripted.Refusal(codes.ResourceExhausted, "MESSAGE_TOO_LARGE", 0)
			}
			return outcome, nil
		},
	}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		result, err := client.RunAndWait(ctx, flowgram.RunRequest{})
		if err != nil || string(result.Outputs) != `{"n": 1}` {
			t.Error(result, err)
		}
		outcome = nil
		result, err = client.RunAndWait(ctx, flowgram.RunRequest{})
		if !errors.Is(err, flowgram.ErrResourceExhausted) || result.TaskID != "t1" {
			t.Error(result, err)
		}
	})
}

// What a result means is an error of its own kind, with what the task said.
func TestOutcomes(t *testing.T) {
	failed := flowgram.Result{
		TaskID: "t1",
		Status: scripted.Status(flowgram.StatusFailed),
		Errors: []*flowgram.Message{{Text: "first"}, {Text: "second"}},
	}
	err := failed.Decode(nil)
	if !errors.Is(err, flowgram.ErrTaskFailed) || err.Error() != "flowgram: task failed (t1): first; second" {
		t.Error(err)
	}
	var outcome *flowgram.OutcomeError
	if !errors.As(err, &outcome) || len(outcome.Errors) != 2 {
		t.Error(err)
	}
	canceled := flowgram.Result{TaskID: "t1", Status: scripted.Status(flowgram.StatusCanceled)}
	if err := canceled.Err(); !errors.Is(err, flowgram.ErrTaskCanceled) {
		t.Error(err)
	}
}

// The other calls hand over what they are given, and give what they get.
func TestOtherCalls(t *testing.T) {
	server := &scripted.Server{
		OnReport: func(r *runtimev1.TaskReportRequest) (*runtimev1.TaskReportResponse, error) {
			if r.GetView() != flowgram.ViewBasic {
				t.Error(r)
			}
			return &runtimev1.TaskReportResponse{Report: &flowgram.Report{TaskId: r.GetTaskId()}}, nil
		},
		OnResult: func(_ context.Context, r *resultRequest) (*resultResponse, error) {
			if r.GetWait() {
				t.Error(r)
			}
			return &resultResponse{Status: succeeded, Outputs: "{}"}, nil
		},
		OnCancel: func(r *runtimev1.TaskCancelRequest) (*runtimev1.TaskCancelResponse, error) {
			return &runtimev1.TaskCancelResponse{Success: r.GetReason() == "why"}, nil
		},
		OnValidate: func(r *runtimev1.TaskValidateRequest) (*runtimev1.TaskValidateResponse, error) {
			switch r.GetInputs() {
			case "{}":
				return &runtimev1.TaskValidateResponse{
					Valid: true, Warnings: []*runtimev1.Problem{{Field: "inputs.x", Text: "is not declared"}},
				}, nil
			case "[]":
				return &runtimev1.TaskValidateResponse{
					Errors: []string{"a"}, Problems: []*runtimev1.Problem{{Field: "inputs", Text: "a"}},
				}, nil
			case "1": // a server that sends no fields
				return &runtimev1.TaskValidateResponse{Errors: []string{"a", "b"}}, nil
			}
			return &runtimev1.TaskValidateResponse{}, nil
		},
		OnInfo: func(context.Context) (*runtimev1.ServerInfoResponse, error) {
			return &runtimev1.ServerInfoResponse{Name: "flowgram-server"}, nil
		},
	}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		if report, err := client.Report(ctx, "t1", flowgram.ViewBasic); err != nil || report.GetTaskId() != "t1" {
			t.Error(report, err)
		}
		if result, err := client.Result(ctx, "t1"); err != nil || result.TaskID != "t1" || string(result.Outputs) != "{}" {
			t.Error(result, err)
		}
		if success, err := client.Cancel(ctx, "t1", "why"); err != nil || !success {
			t.Error(success, err)
		}
		warned := []flowgram.Violation{{Field: "inputs.x", Description: "is not declared"}}
		received, err := client.Validate(ctx, nil, json.RawMessage("{}"))
		if err != nil || !received.Valid() || !slices.Equal(received.Warnings, warned) {
			t.Error(received, err)
		}
		for inputs, wanted := range map[string][]flowgram.Violation{
			"[]": {{Field: "inputs", Description: "a"}},
			"1":  {{Description: "a"}, {Description: "b"}},
			"":   {{Description: "not valid"}},
		} {
			received, err := client.Validate(ctx, nil, json.RawMessage(inputs))
			if err != nil || received.Valid() || !slices.Equal(received.Violations, wanted) {
				t.Error(inputs, received, err)
			}
		}
		if info, err := client.Info(ctx); err != nil || info.GetName() != "flowgram-server" {
			t.Error(info, err)
		}
		if _, err := client.Run(ctx, flowgram.RunRequest{}); status.Code(err) != codes.Unimplemented {
			t.Error(err)
		}
	})
}

// A list goes through all pages, and asks for none that is not wanted.
func TestList(t *testing.T) {
	pages := 0
	server := &scripted.Server{OnList: func(r *runtimev1.TaskListRequest) (*runtimev1.TaskListResponse, error) {
		pages++
		if !slices.Equal(r.GetStatuses(), []flowgram.Status{flowgram.StatusFailed}) || r.GetPageSize() != 2 {
			t.Error(r)
		}
		switch r.GetPageToken() {
		case "":
			return &runtimev1.TaskListResponse{Tasks: []*flowgram.TaskSummary{{TaskId: "a"}, {TaskId: "b"}}, NextPageToken: "x"}, nil
		case "x":
			return &runtimev1.TaskListResponse{Tasks: []*flowgram.TaskSummary{{TaskId: "c"}}}, nil
		default:
			return nil, scripted.Refusal(codes.InvalidArgument, "PAGE_TOKEN_INVALID", 0)
		}
	}}
	request := flowgram.ListRequest{Statuses: []flowgram.Status{flowgram.StatusFailed}, PageSize: 2}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		var ids []string
		for task, err := range client.List(ctx, request) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, task.GetTaskId())
		}
		if !slices.Equal(ids, []string{"a", "b", "c"}) || pages != 2 {
			t.Error(ids, pages)
		}
		for range client.List(ctx, request) {
			break
		}
		if pages != 3 {
			t.Error(pages)
		}
		if _, _, err := client.ListPage(ctx, request, "y"); !errors.Is(err, flowgram.ErrInvalidArgument) {
			t.Error(err)
		}
	})
}

// Decode takes one value, and nothing beside it.
func TestDecode(t *testing.T) {
	var value any
	if err := flowgram.Decode(`{"a": 1} `, &value); err != nil {
		t.Error(err)
	}
	for _, document := range []string{"", "{", "{} {}", `{"a": NaN}`} {
		if err := flowgram.Decode(document, &value); err == nil {
			t.Errorf("%q was decoded", document)
		}
	}
}

// What cannot work is refused when the client is made, not at its first call.
func TestDialRefusesNonsense(t *testing.T) {
	for _, target := range []string{"", "127.0.0.1:1\x00"} {
		if client, err := flowgram.Dial(target); err == nil {
			client.Close()
			t.Errorf("%q is taken for a target", target)
		}
	}
	negative := flowgram.DefaultRetry()
	negative.Attempts = -1
	shrinking := flowgram.DefaultReconnect()
	shrinking.Multiplier = 0.5
	for name, option := range map[string]flowgram.Option{
		"odd":          flowgram.WithMetadata("odd"),
		"no key":       flowgram.WithMetadata("", "x"),
		"bad key":      flowgram.WithMetadata("a b", "x"),
		"reserved key": flowgram.WithMetadata("grpc-timeout", "1S"),
		"no token":     flowgram.WithToken(" "),
		"odd token":    flowgram.WithToken("a\nb"),
		"bad value":    flowgram.WithMetadata("name", "Zoë"),
		"negative":     flowgram.WithRetry(negative),
		"shrinking":    flowgram.WithReconnect(shrinking),
	} {
		t.Run(name, func(t *testing.T) {
			if client, err := flowgram.Dial("127.0.0.1:1", option); err == nil {
				client.Close()
				t.Error("Dial takes it")
			}
			if _, err := flowgram.NewFromConn(nil, option); err == nil {
				t.Error("NewFromConn takes it")
			}
		})
	}
	client, err := flowgram.Dial("127.0.0.1:1", flowgram.WithMetadata("Name", "x"), flowgram.WithMetadata("b-bin", "\xff"))
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
}

// A connection of the caller's is used as it is, and stays open.
func TestNewFromConn(t *testing.T) {
	server := &scripted.Server{OnInfo: func(context.Context) (*runtimev1.ServerInfoResponse, error) {
		return &runtimev1.ServerInfoResponse{Name: "x"}, nil
	}}
	synctest.Test(t, func(t *testing.T) {
		server.Start()
		defer server.Stop()
		connection, err := grpc.NewClient("passthrough:///scripted", server.Dialer(),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		for range 2 {
			client, err := flowgram.NewFromConn(connection)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := client.Info(t.Context()); err != nil || info.GetName() != "x" {
				t.Error(info, err)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, option := range []flowgram.Option{flowgram.WithTLS(nil), flowgram.WithDialOptions(server.Dialer())} {
			if _, err := flowgram.NewFromConn(connection, option); err == nil {
				t.Error("an option that is for new connections is taken")
			}
		}
	})
}

// A task can be asked for by its id.
func TestGet(t *testing.T) {
	server := &scripted.Server{OnGet: func(r *runtimev1.TaskGetRequest) (*runtimev1.TaskGetResponse, error) {
		if r.GetTaskId() != "t1" {
			return nil, scripted.Refusal(codes.NotFound, "TASK_NOT_FOUND", 0)
		}
		return &runtimev1.TaskGetResponse{Task: &flowgram.Task{Schema: "{}", LastSequence: 3}}, nil
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		if task, err := client.Get(ctx, "t1"); err != nil || task.GetSchema() != "{}" || task.GetLastSequence() != 3 {
			t.Error(task, err)
		}
		if _, err := client.Get(ctx, "t2"); !errors.Is(err, flowgram.ErrTaskNotFound) {
			t.Error(err)
		}
	})
}
