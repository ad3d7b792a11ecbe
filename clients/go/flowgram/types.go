package flowgram

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

// The messages of the contract, under short names.
type (
	// Event is something that happened in a task; exactly one of its Get… methods gives more than nil.
	Event = runtimev1.TaskEvent
	// TaskStatusChanged is the start or the end of a task.
	TaskStatusChanged = runtimev1.TaskStatusChanged
	// NodeStatusChanged is the start or the end of one run of a node.
	NodeStatusChanged = runtimev1.NodeStatusChanged
	// Message is something that was said about a task for people to read.
	Message = runtimev1.Message
	// OutputDelta is text of a language model as it arrives.
	OutputDelta = runtimev1.OutputDelta
	// Snapshot is what one run of one node saw and did.
	Snapshot = runtimev1.Snapshot
	// Report is everything known about a task at one moment.
	Report = runtimev1.Report
	// NodeReport is all runs of one node.
	NodeReport = runtimev1.NodeReport
	// TaskSummary is a task in a list.
	TaskSummary = runtimev1.TaskSummary
	// Task is what a task is: what was run, without its events and outcome. Secrets are masked.
	Task = runtimev1.Task
	// ServerInfo is what a server says of itself.
	ServerInfo = runtimev1.ServerInfoResponse
	// StatusInfo is a status, and the times that go with it.
	StatusInfo = runtimev1.StatusInfo
	// Status is what a task, or one run of a node, is doing.
	Status = runtimev1.Status
	// View is how much an answer holds.
	View = runtimev1.View
)

// The statuses of tasks and of runs of nodes.
const (
	StatusPending    = runtimev1.Status_STATUS_PENDING
	StatusProcessing = runtimev1.Status_STATUS_PROCESSING
	StatusSucceeded  = runtimev1.Status_STATUS_SUCCEEDED
	StatusFailed     = runtimev1.Status_STATUS_FAILED
	StatusCanceled   = runtimev1.Status_STATUS_CANCELED
)

const (
	// ViewFull is everything.
	ViewFull = runtimev1.View_VIEW_FULL
	// ViewBasic leaves the JSON of inputs, outputs and data out.
	ViewBasic = runtimev1.View_VIEW_BASIC
)

// Result is the outcome of a task, or that it has none yet.
type Result struct {
	TaskID string
	// Status is never nil; its other companions count once it is terminated.
	Status *StatusInfo
	// Outputs is a JSON object, nil unless the task succeeded.
	Outputs json.RawMessage
	// Errors says why the task failed: its error messages, in order.
	Errors []*Message
}

// Err is nil if the task succeeded, and an [*OutcomeError] otherwise.
func (r *Result) Err() error {
	switch r.Status.GetStatus() {
	case StatusSucceeded:
		return nil
	case StatusFailed:
		return &OutcomeError{TaskID: r.TaskID, Errors: r.Errors, kind: ErrTaskFailed}
	case StatusCanceled:
		return &OutcomeError{TaskID: r.TaskID, Errors: r.Errors, kind: ErrTaskCanceled}
	default:
		return &OutcomeError{TaskID: r.TaskID, kind: ErrTaskUnfinished}
	}
}

// Decode reads the outputs into v, as [Decode] does, if the task succeeded; otherwise it returns what [Result.Err] does.
func (r *Result) Decode(v any) error {
	if err := r.Err(); err != nil {
		return err
	}
	return Decode(r.Outputs, v)
}

// Decode reads a JSON document, such as the outputs of a [Result] or of a [Snapshot], into v, as [json.Unmarshal] does,
// except that numbers become [json.Number] where v leaves their type open: a float64 has no room for large integers.
func Decode[T ~string | ~[]byte](document T, v any) error {
	decoder := json.NewDecoder(bytes.NewReader([]byte(document)))
	decoder.UseNumber()
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("flowgram: cannot decode the document: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("flowgram: cannot decode the document: there is more than one value in it")
	}
	return nil
}

// raw is a document of the contract as a JSON value; nil if it is empty.
func raw(document string) json.RawMessage {
	if document == "" {
		return nil
	}
	return json.RawMessage(document)
}

func texts(messages []*Message) string {
	all := make([]string, len(messages))
	for i, message := range messages {
		all[i] = message.GetText()
	}
	return strings.Join(all, "; ")
}
