package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

func (g *Gateway) run(w http.ResponseWriter, r *http.Request) error {
	var body runBody
	if err := readBody(r, &body, false); err != nil {
		return err
	}
	request := flowgram.RunRequest{
		Schema:      json.RawMessage(body.Schema),
		Inputs:      json.RawMessage(body.Inputs),
		RequestID:   body.RequestID,
		TaskTimeout: time.Duration(body.Timeout),
		Labels:      body.Labels,
	}
	if body.Wait {
		return g.runAndWait(w, r, request)
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	taskID, err := g.client.Run(ctx, request)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/tasks/"+url.PathEscape(taskID))
	return writeJSON(w, http.StatusCreated, map[string]string{"task_id": taskID})
}

func (g *Gateway) runAndWait(w http.ResponseWriter, r *http.Request, request flowgram.RunRequest) error {
	ctx, cancel := g.unbounded(r)
	defer cancel()
	result, err := g.client.RunAndWait(ctx, request)
	if err != nil {
		return stopped(ctx, err)
	}
	return writeMessage(w, http.StatusOK, &runtimev1.TaskRunResponse{
		TaskId: result.TaskID, Status: result.Status, Outputs: string(result.Outputs), Errors: result.Errors,
	})
}

func (g *Gateway) result(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r, "wait")
	wait := parameters.flag("wait")
	if err := parameters.err(); err != nil {
		return err
	}
	ask, bounds := g.client.Result, g.bounded
	if wait {
		ask, bounds = g.client.Wait, g.unbounded
	}
	ctx, cancel := bounds(r)
	defer cancel()
	result, err := ask(ctx, r.PathValue("id"))
	if err != nil {
		return stopped(ctx, err)
	}
	return writeMessage(w, http.StatusOK, &runtimev1.TaskResultResponse{
		Status: result.Status, Outputs: string(result.Outputs), Errors: result.Errors,
	})
}

func (g *Gateway) report(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r, "view")
	view := parameters.view()
	if err := parameters.err(); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	report, err := g.client.Report(ctx, r.PathValue("id"), view)
	if err != nil {
		return err
	}
	return writeMessage(w, http.StatusOK, &runtimev1.TaskReportResponse{Report: report})
}

func (g *Gateway) cancel(w http.ResponseWriter, r *http.Request) error {
	var body cancelBody
	if err := readBody(r, &body, true); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	success, err := g.client.Cancel(ctx, r.PathValue("id"), body.Reason)
	if err != nil {
		return err
	}
	return writeMessage(w, http.StatusOK, &runtimev1.TaskCancelResponse{Success: success})
}

func (g *Gateway) list(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r, "status", "label", "page_size", "page_token")
	request := flowgram.ListRequest{
		Statuses: parameters.statuses(), Labels: parameters.labels(), PageSize: parameters.pageSize(),
	}
	if err := parameters.err(); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	tasks, next, err := g.client.ListPage(ctx, request, parameters.values.Get("page_token"))
	if err != nil {
		return err
	}
	return writeMessage(w, http.StatusOK, &runtimev1.TaskListResponse{Tasks: tasks, NextPageToken: next})
}

func (g *Gateway) validate(w http.ResponseWriter, r *http.Request) error {
	var body validateBody
	if err := readBody(r, &body, false); err != nil {
		return err
	}
	ctx, cancel := g.bounded(r)
	defer cancel()
	problems, err := g.client.Validate(ctx, json.RawMessage(body.Schema), json.RawMessage(body.Inputs))
	if err != nil {
		return err
	}
	return writeMessage(w, http.StatusOK, &runtimev1.TaskValidateResponse{Valid: problems == nil, Errors: problems})
}

func (g *Gateway) info(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := g.bounded(r)
	defer cancel()
	info, err := g.client.Info(ctx)
	if err != nil {
		return err
	}
	return writeMessage(w, http.StatusOK, info)
}

// stopped is the error of a call that the gateway's own end may have ended.
func stopped(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStopping) {
		return errStopping
	}
	return err
}
