package main

import (
	"context"
	"errors"
	"strings"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

// kinds are the errors of the package, by the names that the scenarios have for them; the first one that fits counts.
var kinds = []struct {
	err  error
	name string
}{
	{context.Canceled, "canceled"},
	{context.DeadlineExceeded, "deadline_exceeded"},
	{flowgram.ErrInvalidWorkflow, "invalid_workflow"},
	{flowgram.ErrInvalidArgument, "invalid_argument"},
	{flowgram.ErrTaskNotFound, "task_not_found"},
	{flowgram.ErrAlreadyExists, "already_exists"},
	{flowgram.ErrSequenceOutOfRange, "sequence_out_of_range"},
	{flowgram.ErrResourceExhausted, "resource_exhausted"},
	{flowgram.ErrUnavailable, "unavailable"},
}

func shapeError(err error) map[string]any {
	shape := map[string]any{"kind": "other", "message": err.Error(), "reason": "", "violations": [][2]string{}}
	for _, kind := range kinds {
		if errors.Is(err, kind.err) {
			shape["kind"] = kind.name
			break
		}
	}
	var failure *flowgram.Error
	if errors.As(err, &failure) {
		shape["reason"], shape["violations"] = failure.Reason, shapeViolations(failure.Violations)
	}
	return shape
}

func shapeViolations(violations []flowgram.Violation) [][2]string {
	shapes := make([][2]string, len(violations))
	for i, violation := range violations {
		shapes[i] = [2]string{violation.Field, violation.Description}
	}
	return shapes
}

func shapeTask(task *flowgram.Task, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	summary := task.GetSummary()
	return map[string]any{
		"task_id": summary.GetTaskId(),
		"status":  statusName(summary.GetStatus()),
		"name":    summary.GetDisplayName(),
		"labels":  summary.GetLabels(),
		"schema":  task.GetSchema(),
		"inputs":  task.GetInputs(),
	}, nil
}

func shapeResult(result *flowgram.Result, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"task_id": result.TaskID,
		"status":  statusName(result.Status),
		"outputs": string(result.Outputs),
		"errors":  textsOf(result.Errors),
	}, nil
}

func shapeReport(report *flowgram.Report, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	nodes := make([]string, len(report.GetNodes()))
	for i, node := range report.GetNodes() {
		nodes[i] = node.GetNodeId()
	}
	return map[string]any{
		"task_id":       report.GetTaskId(),
		"status":        statusName(report.GetStatus()),
		"inputs":        report.GetInputs(),
		"outputs":       report.GetOutputs(),
		"nodes":         nodes,
		"messages":      textsOf(report.GetMessages()),
		"last_sequence": report.GetLastSequence(),
	}, nil
}

func shapeEvent(event *flowgram.Event) map[string]any {
	shape := map[string]any{"sequence": event.GetSequence()}
	switch {
	case event.GetTaskStatusChanged() != nil:
		received := event.GetTaskStatusChanged()
		shape["kind"], shape["status"], shape["outputs"] = "task", statusName(received.GetStatus()), received.GetOutputs()
	case event.GetNodeStatusChanged() != nil:
		received := event.GetNodeStatusChanged()
		shape["kind"], shape["status"], shape["node_id"] = "node", statusName(received.GetStatus()), received.GetNodeId()
		shape["inputs"], shape["outputs"] = received.GetSnapshot().GetInputs(), received.GetSnapshot().GetOutputs()
	case event.GetMessage() != nil:
		shape["kind"], shape["text"], shape["node_id"] = "message", event.GetMessage().GetText(), event.GetMessage().GetNodeId()
	case event.GetOutputDelta() != nil:
		received := event.GetOutputDelta()
		shape["kind"], shape["text"], shape["node_id"] = "delta", received.GetText(), received.GetNodeId()
	}
	return shape
}

func statusName(status *flowgram.StatusInfo) string {
	return strings.TrimPrefix(status.GetStatus().String(), "STATUS_")
}

func textsOf(messages []*flowgram.Message) []string {
	all := make([]string, len(messages))
	for i, message := range messages {
		all[i] = message.GetText()
	}
	return all
}
