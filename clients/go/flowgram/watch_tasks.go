package flowgram

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

// TasksChange is what a watch of tasks gives.
type TasksChange struct {
	// Live: from now on nothing is missed. List the tasks now; those that are given later replace those of the list
	// unless their LastSequence is lower. It comes first, and again after every lost connection.
	Live bool
	// Tasks have changed. One that no longer fits the filter is given once more.
	Tasks []*TaskSummary
	// RemovedTaskIDs are tasks whose retention has passed.
	RemovedTaskIDs []string
}

// WatchTasks gives the tasks of a filter as they change, from now on; the page size of the filter does not matter. It
// never ends by itself: see [TasksChange.Live] for how a list stays true through reconnections. It gives up with an error,
// after which nothing more comes, as [Client.Watch] does.
//
// Errors: [ErrUnavailable], [ErrResourceExhausted], and those of any call.
func (c *Client) WatchTasks(ctx context.Context, filter ListRequest) iter.Seq2[*TasksChange, error] {
	return func(yield func(*TasksChange, error) bool) {
		request := &runtimev1.WatchTasksRequest{
			Statuses:  filter.Statuses,
			Labels:    filter.Labels,
			Heartbeat: durationpb.New(defaultHeartbeat),
		}
		watch := &tasksWatch{
			client: c, request: request, yield: func(change *TasksChange) bool { return yield(change, nil) },
		}
		if err := watch.run(c.outgoing(ctx), c.settings.reconnect); err != nil {
			yield(nil, err)
		}
	}
}

const tasksSilence = silentHeartbeats * defaultHeartbeat

// tasksWatch is one watch of tasks through any number of streams.
type tasksWatch struct {
	client  *Client
	request *runtimev1.WatchTasksRequest
	yield   func(*TasksChange) bool

	connected bool // something has come, once
	failures  int  // in a row
}

func (w *tasksWatch) run(ctx context.Context, policy RetryPolicy) error {
	if err := checkText(w.request); err != nil {
		return err
	}
	for {
		err := w.stream(ctx)
		if errors.Is(err, errLeft) {
			return nil
		}
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		failure := streamFailure(ctx, err, tasksSilence)
		if !w.client.mayResume(ctx, failure, w.connected, w.failures) {
			return failure
		}
		w.failures++
		if err := policy.pause(ctx, w.failures, failure); err != nil {
			return err
		}
	}
}

// stream gives what one stream tells, until it fails or is left.
func (w *tasksWatch) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := w.client.service.WatchTasks(ctx, w.request)
	if err != nil {
		return err
	}
	for live := false; ; {
		response, err := receive(stream, cancel, tasksSilence)
		switch {
		case errors.Is(err, io.EOF):
			return &Error{Code: codes.Unavailable, Message: "the watch of tasks has ended"}
		case err != nil && errors.Is(context.Cause(ctx), errSilent):
			return errSilent
		case err != nil:
			return err
		}
		w.connected, w.failures = true, 0
		if !live {
			live = true
			if !w.yield(&TasksChange{Live: true}) {
				return errLeft
			}
		}
		if len(response.GetTasks()) == 0 && len(response.GetRemovedTaskIds()) == 0 {
			continue // a heartbeat
		}
		if !w.yield(&TasksChange{Tasks: response.GetTasks(), RemovedTaskIDs: response.GetRemovedTaskIds()}) {
			return errLeft
		}
	}
}
