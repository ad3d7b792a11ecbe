package flowgram

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

// RunRequest is what to run.
type RunRequest struct {
	// Schema is the workflow, a JSON object with `nodes` and `edges`.
	Schema json.RawMessage
	// Inputs is a JSON object; empty means {}.
	Inputs json.RawMessage
	// RequestID makes it safe to repeat the request, also from another process: the same id with the same content
	// gives the first one's task. Empty: one is made up, which covers the repetitions that the client makes itself.
	RequestID string
	// TaskTimeout is how long the task may run; 0: the server's default.
	TaskTimeout time.Duration
	// Labels are free labels to find the task by in [Client.List].
	Labels map[string]string
	// DisplayName is a name for people, of at most 256 characters.
	DisplayName string
}

func (r RunRequest) message(wait bool) *runtimev1.TaskRunRequest {
	request := &runtimev1.TaskRunRequest{
		Schema:      string(r.Schema),
		Inputs:      string(r.Inputs),
		RequestId:   r.RequestID,
		Labels:      r.Labels,
		Wait:        wait,
		DisplayName: r.DisplayName,
	}
	if r.RequestID == "" {
		request.RequestId = rand.Text()
	}
	if r.TaskTimeout != 0 {
		request.Timeout = durationpb.New(r.TaskTimeout)
	}
	return request
}

// Run starts a task, and returns its id once the server has accepted it durably: from then on it goes on, whatever
// becomes of this client.
//
// Errors: [ErrInvalidWorkflow], [ErrAlreadyExists], [ErrResourceExhausted], and those of any call.
func (c *Client) Run(ctx context.Context, request RunRequest) (string, error) {
	response, err := call(ctx, c, c.settings.retry, c.service.TaskRun, request.message(false))
	if err != nil {
		return "", err
	}
	return response.GetTaskId(), nil
}

// RunAndWait starts a task, and waits until it has ended. A task that failed is no error of the call: see
// [Result.Err]. Shortly before the deadline of ctx it returns a result that is not terminated, with the id of the
// task, which goes on. If waiting fails after the task was accepted, such a result comes beside the error.
//
// Errors: those of [Client.Run].
func (c *Client) RunAndWait(ctx context.Context, request RunRequest) (*Result, error) {
	response, err := call(ctx, c, c.settings.reconnect, c.service.TaskRun, request.message(true))
	if err != nil {
		return nil, err
	}
	accepted := &Result{
		TaskID:  response.GetTaskId(),
		Status:  response.GetStatus(),
		Outputs: raw(response.GetOutputs()),
		Errors:  response.GetErrors(),
	}
	tooLarge := accepted.Status.GetStatus() == StatusSucceeded && len(accepted.Outputs) == 0
	if !tooLarge && (accepted.Status.GetTerminated() || nearDeadline(ctx)) {
		return accepted, nil
	}
	// the server is shutting down, and the task goes on when it is back; or the answer had no room for the outputs
	result, err := c.Wait(ctx, accepted.TaskID)
	if err != nil {
		return accepted, err
	}
	return result, nil
}

// Result is the outcome of a task as it is now.
//
// Errors: [ErrTaskNotFound], and those of any call.
func (c *Client) Result(ctx context.Context, taskID string) (*Result, error) {
	return c.result(ctx, c.settings.retry, &runtimev1.TaskResultRequest{TaskId: taskID})
}

// Wait is the outcome of a task once it has ended, or, shortly before the deadline of ctx, as it is then.
//
// Errors: [ErrTaskNotFound], and those of any call.
func (c *Client) Wait(ctx context.Context, taskID string) (*Result, error) {
	for {
		result, err := c.result(ctx, c.settings.reconnect, &runtimev1.TaskResultRequest{TaskId: taskID, Wait: true})
		if err != nil || result.Status.GetTerminated() || nearDeadline(ctx) {
			return result, err
		}
		// only a limit of the server's own ends the wait so early
		if err := sleep(ctx, c.settings.reconnect.Initial); err != nil {
			return nil, err
		}
	}
}

// nearDeadline reports whether the server had reason to answer before the task has ended: it leaves the answer some
// time to arrive.
func nearDeadline(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	return bounded && time.Until(deadline) <= time.Second
}

func (c *Client) result(
	ctx context.Context, policy RetryPolicy, request *runtimev1.TaskResultRequest,
) (*Result, error) {
	response, err := call(ctx, c, policy, c.service.TaskResult, request)
	if err != nil {
		return nil, err
	}
	return &Result{
		TaskID:  request.GetTaskId(),
		Status:  response.GetStatus(),
		Outputs: raw(response.GetOutputs()),
		Errors:  response.GetErrors(),
	}, nil
}

// Get is what a task is: its schema and inputs with secrets masked, its labels, name, times and status. It is cheap, where
// [Client.Report] gathers all events.
//
// Errors: [ErrTaskNotFound], and those of any call.
func (c *Client) Get(ctx context.Context, taskID string) (*Task, error) {
	response, err := call(ctx, c, c.settings.retry, c.service.TaskGet, &runtimev1.TaskGetRequest{TaskId: taskID})
	if err != nil {
		return nil, err
	}
	return response.GetTask(), nil
}

// Report is everything known about a task now: the runs of every node that has started, and all messages. The view
// is [ViewFull] or [ViewBasic].
//
// Errors: [ErrTaskNotFound], [ErrResourceExhausted] if it is too large, and those of any call.
func (c *Client) Report(ctx context.Context, taskID string, view View) (*Report, error) {
	request := &runtimev1.TaskReportRequest{TaskId: taskID, View: view}
	response, err := call(ctx, c, c.settings.retry, c.service.TaskReport, request)
	if err != nil {
		return nil, err
	}
	return response.GetReport(), nil
}

// Cancel stops a task, and reports whether this call did; if not, it had ended already. The reason, which may be
// empty, is kept as a message of the task.
//
// Errors: [ErrTaskNotFound], and those of any call.
func (c *Client) Cancel(ctx context.Context, taskID, reason string) (bool, error) {
	request := &runtimev1.TaskCancelRequest{TaskId: taskID, Reason: reason}
	response, err := call(ctx, c, c.settings.retry, c.service.TaskCancel, request)
	if err != nil {
		return false, err
	}
	return response.GetSuccess(), nil
}

// Validation is what a check of a workflow and its inputs found.
type Validation struct {
	// Violations is all that is wrong with the schema, or, if nothing is, with the inputs.
	Violations []Violation
	// Warnings is what does not keep the workflow from running, and is probably not meant.
	Warnings []Violation
}

// Valid says whether [Client.Run] would accept the workflow.
func (v Validation) Valid() bool {
	return len(v.Violations) == 0
}

// Validate checks a schema and inputs without running them. Violations are no error of the call.
func (c *Client) Validate(ctx context.Context, schema, inputs json.RawMessage) (Validation, error) {
	request := &runtimev1.TaskValidateRequest{Schema: string(schema), Inputs: string(inputs)}
	response, err := call(ctx, c, c.settings.retry, c.service.TaskValidate, request)
	if err != nil {
		return Validation{}, err
	}
	validation := Validation{violationsOf(response.GetProblems()), violationsOf(response.GetWarnings())}
	if response.GetValid() || len(validation.Violations) > 0 {
		return validation, nil
	}
	for _, text := range response.GetErrors() { // of a server that does not send their fields
		validation.Violations = append(validation.Violations, Violation{Description: text})
	}
	if validation.Valid() {
		validation.Violations = []Violation{{Description: "not valid"}}
	}
	return validation, nil
}

func violationsOf(problems []*runtimev1.Problem) []Violation {
	var violations []Violation
	for _, problem := range problems {
		violations = append(violations, Violation{problem.GetField(), problem.GetText()})
	}
	return violations
}

// Info is the name, the version and the capabilities of the server.
func (c *Client) Info(ctx context.Context) (*ServerInfo, error) {
	return call(ctx, c, c.settings.retry, c.service.ServerInfo, &runtimev1.ServerInfoRequest{})
}
