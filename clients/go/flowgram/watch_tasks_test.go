package flowgram_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
	"github.com/flowgram/flowgram-server/clients/go/internal/scripted"
)

type (
	tasksRequest  = runtimev1.WatchTasksRequest
	tasksResponse = runtimev1.WatchTasksResponse
)

// A watch of tasks says whenever nothing is missed from then on: first, and after each connection that was lost.
func TestWatchTasks(t *testing.T) {
	streams := 0
	server := &scripted.Server{OnTasks: func(r *tasksRequest, s scripted.TasksStream) error {
		if !slices.Equal(r.GetStatuses(), []flowgram.Status{flowgram.StatusFailed}) || r.GetLabels()["a"] != "b" {
			t.Error(r)
		}
		streams++
		changed := &tasksResponse{Tasks: []*flowgram.TaskSummary{{TaskId: "t1"}}, RemovedTaskIds: []string{"t0"}}
		if err := errors.Join(s.Send(&tasksResponse{}), s.Send(&tasksResponse{}), s.Send(changed)); err != nil {
			return err
		}
		switch streams {
		case 1:
			return nil // it never ends well
		case 2:
			return scripted.Refusal(codes.ResourceExhausted, "WATCH_BEHIND", 0)
		case 3:
			return scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", 0)
		default:
			return scripted.Refusal(codes.InvalidArgument, "ARGUMENT_INVALID", 0)
		}
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		filter := flowgram.ListRequest{
			Statuses: []flowgram.Status{flowgram.StatusFailed}, Labels: map[string]string{"a": "b"},
		}
		var received []string
		var failure error
		for change, err := range client.WatchTasks(ctx, filter) {
			switch {
			case err != nil:
				failure = err
			case change.Live:
				received = append(received, "live")
			default:
				received = append(received, change.Tasks[0].GetTaskId()+change.RemovedTaskIDs[0])
			}
		}
		if want := slices.Repeat([]string{"live", "t1t0"}, 4); !slices.Equal(received, want) {
			t.Error(received)
		}
		if !errors.Is(failure, flowgram.ErrInvalidArgument) {
			t.Error(failure)
		}
	})
}

// Leaving the loop ends the watch on the server.
func TestLeavingAWatchOfTasks(t *testing.T) {
	var left chan struct{}
	server := &scripted.Server{OnTasks: func(_ *tasksRequest, s scripted.TasksStream) error {
		defer close(left)
		_ = s.Send(&tasksResponse{})
		<-s.Context().Done()
		return s.Context().Err()
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		left = make(chan struct{})
		for change, err := range client.WatchTasks(ctx, flowgram.ListRequest{}) {
			if err != nil || !change.Live {
				t.Error(change, err)
			}
			break
		}
		<-left
	})
}

// A server that is silent for too long counts as dead, and the watch gives up with its policy.
func TestWatchTasksNoticesSilence(t *testing.T) {
	server := &scripted.Server{OnTasks: func(_ *tasksRequest, s scripted.TasksStream) error {
		<-s.Context().Done()
		return s.Context().Err()
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		for _, err := range client.WatchTasks(ctx, flowgram.ListRequest{}) {
			if !errors.Is(err, flowgram.ErrUnavailable) {
				t.Error(err)
			}
		}
	})
}
