package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

func (g *Gateway) run(w http.ResponseWriter, r *http.Request) error {
	var body runBody
	if err := g.readBody(w, r, &body); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	taskID, err := g.client.Run(ctx, flowgram.RunRequest{
		Schema:      json.RawMessage(*body.Schema),
		Inputs:      body.Inputs,
		RequestID:   body.RequestID,
		Labels:      body.Labels,
		DisplayName: body.DisplayName,
	})
	if errors.Is(err, flowgram.ErrInvalidWorkflow) {
		// the status of a call has room for the first problems only
		refusal := problemOf(err)
		if all, err := g.client.Validate(ctx, json.RawMessage(*body.Schema), body.Inputs); err == nil && !all.Valid() {
			refusal.errors = textsOf(all.Violations)
		}
		return refusal
	}
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"taskID": taskID})
}

func (g *Gateway) validate(w http.ResponseWriter, r *http.Request) error {
	var body validateBody
	if err := g.readBody(w, r, &body); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	validation, err := g.client.Validate(ctx, json.RawMessage(*body.Schema), body.Inputs)
	if err != nil {
		return err
	}
	return writeJSON(w, struct {
		Valid    bool          `json:"valid"`
		Errors   []string      `json:"errors,omitempty"`
		Problems []problemBody `json:"problems,omitempty"`
		Warnings []problemBody `json:"warnings,omitempty"`
	}{
		validation.Valid(), textsOf(validation.Violations),
		bodiesOf(validation.Violations), bodiesOf(validation.Warnings),
	})
}

// problemBody is a problem or a warning of a workflow, as JSON.
type problemBody struct {
	Field string `json:"field"`
	Text  string `json:"text"`
}

func bodiesOf(violations []flowgram.Violation) []problemBody {
	var bodies []problemBody
	for _, violation := range violations {
		bodies = append(bodies, problemBody{violation.Field, violation.Description})
	}
	return bodies
}

func textsOf(violations []flowgram.Violation) []string {
	var texts []string
	for _, violation := range violations {
		texts = append(texts, violation.Description)
	}
	return texts
}

func (g *Gateway) get(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r)
	taskID := parameters.taskID()
	if err := parameters.err(); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	task, err := g.client.Get(ctx, taskID)
	if err != nil {
		return err
	}
	return writeJSON(w, shapeTask(task))
}

func (g *Gateway) report(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r)
	taskID := parameters.taskID()
	if err := parameters.err(); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	report, err := g.client.Report(ctx, taskID, flowgram.ViewFull)
	if err != nil {
		return err
	}
	return writeJSON(w, shapeReport(report))
}

func (g *Gateway) result(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r)
	taskID := parameters.taskID()
	if err := parameters.err(); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	result, err := g.client.Result(ctx, taskID)
	if err != nil {
		return err
	}
	return writeJSON(w, object(string(result.Outputs)))
}

func (g *Gateway) cancel(w http.ResponseWriter, r *http.Request) error {
	var body cancelBody
	if err := g.readBody(w, r, &body); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	success, err := g.client.Cancel(ctx, *body.TaskID, "")
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]bool{"success": success})
}

func (g *Gateway) list(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r)
	request := flowgram.ListRequest{
		Statuses: parameters.statuses(), Labels: parameters.labels(), PageSize: parameters.pageSize(),
	}
	if err := parameters.err(); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	tasks, next, err := g.client.ListPage(ctx, request, parameters.values.Get("pageToken"))
	if err != nil {
		return err
	}
	return writeJSON(w, taskListShape{shapeTaskSummaries(tasks), next})
}

func (g *Gateway) info(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := g.bounded(r)
	defer cancel()
	info, err := g.client.Info(ctx)
	if err != nil {
		return err
	}
	return writeJSON(w, shapeInfo(info))
}

// watchTasks forwards the tasks of a filter as they change, as Server-Sent Events.
func (g *Gateway) watchTasks(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r)
	filter := flowgram.ListRequest{Statuses: parameters.statuses(), Labels: parameters.labels()}
	if err := parameters.err(); err != nil {
		return err
	}
	return forward(g, w, r, appendChange, func(ctx context.Context) iter.Seq2[*flowgram.TasksChange, error] {
		return g.client.WatchTasks(ctx, filter)
	})
}

func appendChange(b []byte, change *flowgram.TasksChange) ([]byte, error) {
	if change.Live {
		return appendData(b, map[string]string{"type": "live"})
	}
	return appendData(b, struct {
		Type           string             `json:"type"`
		Tasks          []taskSummaryShape `json:"tasks"`
		RemovedTaskIDs []string           `json:"removedTaskIDs"`
	}{"tasks_changed", shapeTaskSummaries(change.Tasks), append([]string{}, change.RemovedTaskIDs...)})
}
