package flowgram

import (
	"context"
	"iter"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

// ListRequest says which tasks. The zero value stands for all.
type ListRequest struct {
	// Statuses: only tasks in one of these; empty means all.
	Statuses []Status
	// Labels: only tasks that carry all of these.
	Labels map[string]string
	// PageSize is how many are asked for at once, at most 1000; 0 means 100.
	PageSize int32
}

// List gives tasks, newest first. A page is asked for when it is wanted. After an error nothing more comes.
//
// Errors: those of any call.
func (c *Client) List(ctx context.Context, request ListRequest) iter.Seq2[*TaskSummary, error] {
	return func(yield func(*TaskSummary, error) bool) {
		for token := ""; ; {
			tasks, next, err := c.ListPage(ctx, request, token)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, task := range tasks {
				if !yield(task, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

// ListPage gives one page of tasks, and the token of the next one, which is empty after the last. The first page has
// the empty token. For programs that hand pages on; [Client.List] goes through all of them.
//
// Errors: [ErrInvalidArgument] if the token is not of a list with these filters, and those of any call.
func (c *Client) ListPage(ctx context.Context, request ListRequest, token string) ([]*TaskSummary, string, error) {
	message := &runtimev1.TaskListRequest{
		PageSize:  request.PageSize,
		PageToken: token,
		Statuses:  request.Statuses,
		Labels:    request.Labels,
	}
	response, err := call(ctx, c, c.settings.retry, c.service.TaskList, message)
	if err != nil {
		return nil, "", err
	}
	return response.GetTasks(), response.GetNextPageToken(), nil
}
