package gateway_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
	"github.com/flowgram/flowgram-server/clients/go/internal/gateway"
	"github.com/flowgram/flowgram-server/clients/go/internal/scripted"
)

type (
	watchRequest = runtimev1.WatchTaskRequest
	stream       = scripted.Stream
)

// watched is a server with one task.
func watched(watch func(*watchRequest, stream) error) *scripted.Server {
	return &scripted.Server{OnWatch: watch, OnInfo: tellInfo}
}

func tellInfo(context.Context) (*runtimev1.ServerInfoResponse, error) {
	return &runtimev1.ServerInfoResponse{Name: "flowgram-server"}, nil
}

func tellAll(r *watchRequest, s stream) error {
	return scripted.Send(s, scripted.History(3)[r.GetAfterSequence():]...)
}

func hang(s stream) error {
	<-s.Context().Done()
	return s.Context().Err()
}

// Events have FlowGram's shapes, with their sequence as id; documents are embedded with all their digits.
func TestEvents(t *testing.T) {
	withGateway(t, watched(tellAll), gateway.Settings{}, func(t *testing.T, b *browser) {
		got := strings.Join(b.watch("/api/task/watch?taskID=t1").rest(), "\n")
		want := `retry: 1000
id: 1
data: {"type":"task_status_changed","sequence":1,"timestamp":1700000000000,"workflowStatus":{"status":"processing","terminated":false,"startTime":0,"timeCost":0}}
id: 2
data: {"type":"message","sequence":2,"timestamp":1700000000001,"message":{"id":"","type":"log","message":"step","timestamp":0}}
id: 3
data: {"type":"task_status_changed","sequence":3,"timestamp":1700000000002,"workflowStatus":{"status":"succeeded","terminated":true,"startTime":0,"timeCost":0},"outputs":{"n":12345678901234567890}}`
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// A browser that comes back gets what it has not seen; the header wins over the parameter.
func TestLastEventID(t *testing.T) {
	withGateway(t, watched(tellAll), gateway.Settings{}, func(t *testing.T, b *browser) {
		for path, header := range map[string]string{"&after=2": "", "": "2", "&after=1": "2"} {
			if id := b.watch("/api/task/watch?taskID=t1"+path, lastEventID(header)...).until("id:"); id != "id: 3" {
				t.Error(path, header, id)
			}
		}
	})
}

func lastEventID(value string) []string {
	if value == "" {
		return nil
	}
	return []string{"Last-Event-ID", value}
}

// A browser that has seen everything is asked not to come back.
func TestNothingMoreToTell(t *testing.T) {
	withGateway(t, watched(tellAll), gateway.Settings{}, func(t *testing.T, b *browser) {
		b.expect(http.StatusNoContent, "", "GET", "/api/task/watch?taskID=t1", "", "Last-Event-ID", "3")
	})
}

// What is no sequence is refused before the server is asked.
func TestLastEventIDThatIsNone(t *testing.T) {
	withGateway(t, &scripted.Server{}, gateway.Settings{}, func(t *testing.T, b *browser) {
		for _, id := range []string{"x", "-1", "+1", "1.5", "0x1", "9223372036854775808"} {
			b.refused(http.StatusBadRequest, "ARGUMENT_INVALID", []string{"Last-Event-ID: must be the sequence of an event"},
				"GET", "/api/task/watch?taskID=t1", "", "Last-Event-ID", id)
		}
		b.refused(http.StatusBadRequest, "ARGUMENT_INVALID",
			[]string{"after: must be the sequence of an event", "deltas: must be true or false", "taskID: is required"},
			"GET", "/api/task/watch?after=x&deltas=y", "")
	})
}

// What the server refuses has a status of HTTP's.
func TestRefusedStreams(t *testing.T) {
	for _, test := range []struct {
		status int
		code   codes.Code
		reason string
	}{
		{http.StatusNotFound, codes.NotFound, "TASK_NOT_FOUND"},
		{http.StatusRequestedRangeNotSatisfiable, codes.OutOfRange, "SEQUENCE_OUT_OF_RANGE"},
		{http.StatusTooManyRequests, codes.ResourceExhausted, "TOO_MANY_WATCHES"},
	} {
		server := watched(func(*watchRequest, stream) error {
			return scripted.Refusal(test.code, test.reason, 0)
		})
		withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
			b.refused(test.status, test.reason, nil, "GET", "/api/task/watch?taskID=t1", "")
		})
	}
}

// A server that is away at the beginning is reported soon.
func TestServerAwayAtTheBeginning(t *testing.T) {
	server := watched(tellAll)
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		server.Stop()
		began := time.Now()
		header := b.refused(http.StatusServiceUnavailable, "UNAVAILABLE", nil, "GET", "/api/task/watch?taskID=t1", "")
		if header.Get("Retry-After") != "1" || time.Since(began) > 5*time.Second {
			t.Error(header, time.Since(began))
		}
	})
}

// A stream without events yet is answered soon, and shows signs of life.
func TestHeartbeats(t *testing.T) {
	server := watched(func(_ *watchRequest, s stream) error { return hang(s) })
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		began := time.Now()
		stream := b.watch("/api/task/watch?taskID=t1")
		defer stream.close()
		if time.Since(began) != time.Second {
			t.Error(time.Since(began))
		}
		stream.until(": heartbeat")
		stream.until(": heartbeat")
		if time.Since(began) != 30*time.Second {
			t.Error(time.Since(began))
		}
	})
}

// The stream stays open while the server is away, and goes on without gap or repeat.
func TestRestartOfTheServer(t *testing.T) {
	watching := make(chan struct{}, 1)
	server := watched(func(r *watchRequest, s stream) error {
		if r.GetAfterSequence() > 0 {
			return tellAll(r, s)
		}
		_ = scripted.Send(s, scripted.History(3)[:2]...)
		watching <- struct{}{}
		return hang(s)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		stream := b.watch("/api/task/watch?taskID=t1")
		stream.until("id: 2")
		<-watching
		server.Stop()
		time.AfterFunc(16*time.Second, server.Start)
		stream.until(": heartbeat")
		stream.until("id: 3")
		stream.rest()
	})
}

// What ends an open stream early is reported in it.
func TestFailureInTheMiddle(t *testing.T) {
	server := watched(func(r *watchRequest, s stream) error {
		if err := scripted.Send(s, scripted.History(3)[0]); err != nil {
			return err
		}
		return scripted.Refusal(codes.NotFound, "TASK_NOT_FOUND", 0)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		rest := b.watch("/api/task/watch?taskID=t1").rest()
		want := []string{"event: failure", `data: {"code":"TASK_NOT_FOUND","message":"refused","errors":[]}`}
		if got := rest[len(rest)-2:]; !slices.Equal(got, want) {
			t.Error(rest)
		}
	})
}

// A client that leaves ends its watch on the server.
func TestDisconnect(t *testing.T) {
	left := make(chan struct{})
	server := watched(func(_ *watchRequest, s stream) error {
		defer close(left)
		_ = scripted.Send(s, scripted.History(3)[0])
		return hang(s)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		stream := b.watch("/api/task/watch?taskID=t1")
		stream.until("id: 1")
		if err := stream.close(); err != nil {
			t.Fatal(err)
		}
		<-left
	})
}

// A client that does not read holds back the server, and misses nothing.
func TestSlowClient(t *testing.T) {
	const count, size = 300, 64 * 1024
	sent := 0
	server := watched(func(_ *watchRequest, s stream) error {
		events := scripted.History(count)
		for _, event := range events[1 : count-1] {
			event.GetMessage().Text = strings.Repeat("x", size)
		}
		for _, event := range events {
			if err := scripted.Send(s, event); err != nil {
				return err
			}
			sent++
		}
		return nil
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		stream := b.watch("/api/task/watch?taskID=t1")
		stream.until("id: 1")
		synctest.Wait()
		if sent > count/2 {
			t.Errorf("%d events were sent", sent)
		}
		ids := 0
		for _, line := range stream.rest() {
			if strings.HasPrefix(line, "id: ") {
				ids++
			}
		}
		if ids != count-1 || sent != count {
			t.Error(ids, sent)
		}
	})
}

// A gateway that stops ends its streams, so that browsers come back to another one.
func TestStopEndsStreams(t *testing.T) {
	server := watched(func(_ *watchRequest, s stream) error {
		_ = scripted.Send(s, scripted.History(3)[0])
		return hang(s)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		stream := b.watch("/api/task/watch?taskID=t1")
		stream.until("id: 1")
		b.gateway.Stop()
		if rest := stream.rest(); len(rest) != 1 || !strings.HasPrefix(rest[0], "data: ") {
			t.Error(rest)
		}
		// to any refusal a browser would not come back
		if rest := b.watch("/api/task/watch?taskID=t1").rest(); !slices.Equal(rest, []string{"retry: 1000"}) {
			t.Error(rest)
		}
	})
}

// Deltas have no id, so that a browser comes back after the last event that is kept.
func TestDeltas(t *testing.T) {
	server := watched(func(r *watchRequest, s stream) error {
		if !r.GetIncludeDeltas() {
			t.Error(r)
		}
		delta := &runtimev1.TaskEvent{Event: &runtimev1.TaskEvent_OutputDelta{
			OutputDelta: &runtimev1.OutputDelta{NodeId: "llm_0", SnapshotId: "llm_0", Text: "<hi>\n", FromStart: true},
		}}
		return scripted.Send(s, append([]*runtimev1.TaskEvent{delta}, scripted.History(2)...)...)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		rest := b.watch("/api/task/watch?taskID=t1&deltas=true").rest()
		want := `data: {"type":"output_delta","timestamp":0,"nodeID":"llm_0","snapshotID":"llm_0","text":"<hi>\n","fromStart":true}`
		if rest[1] != want {
			t.Error(rest[1])
		}
	})
}

// The tasks of a filter come as they change, with a word whenever nothing is missed from then on.
func TestWatchTasks(t *testing.T) {
	changed := make(chan struct{})
	server := &scripted.Server{OnInfo: tellInfo, OnTasks: func(r *runtimev1.WatchTasksRequest, s scripted.TasksStream) error {
		if !slices.Equal(r.GetStatuses(), []runtimev1.Status{2}) || r.GetLabels()["k"] != "v" {
			t.Error(r)
		}
		_ = s.Send(&runtimev1.WatchTasksResponse{})
		<-changed
		_ = s.Send(&runtimev1.WatchTasksResponse{})
		_ = s.Send(&runtimev1.WatchTasksResponse{
			Tasks:          []*runtimev1.TaskSummary{{TaskId: "a", Status: scripted.Status(2), LastSequence: 3, DisplayName: "A"}},
			RemovedTaskIds: []string{"b"},
		})
		<-s.Context().Done()
		return s.Context().Err()
	}}
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		stream := b.watch("/api/tasks/watch?status=processing&label=k=v")
		defer stream.close()
		if got := stream.until("data: "); got != `data: {"type":"live"}` {
			t.Error(got)
		}
		close(changed)
		want := `data: {"type":"tasks_changed","tasks":[{"taskID":"a","workflowStatus":{"status":"processing","terminated":false,` +
			`"startTime":0,"timeCost":0},"createTime":0,"labels":{},"lastSequence":3,"displayName":"A"}],"removedTaskIDs":["b"]}`
		if got := stream.until("data: "); got != want {
			t.Error(got)
		}
	})
}

// A client that reads nothing for too long loses its connection, and its watch ends.
func TestClientThatReadsNothing(t *testing.T) {
	var left chan struct{}
	server := watched(func(_ *watchRequest, s stream) error {
		defer close(left)
		event := scripted.History(3)[0]
		delta := &runtimev1.TaskEvent{Event: &runtimev1.TaskEvent_OutputDelta{
			OutputDelta: &runtimev1.OutputDelta{Text: strings.Repeat("x", 64<<10)},
		}}
		for err := scripted.Send(s, event); ; err = scripted.Send(s, delta) {
			if err != nil {
				return err
			}
		}
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		left = make(chan struct{}) // made here, time passes while it is waited for
		began := time.Now()
		stream := b.watch("/api/task/watch?taskID=t1&deltas=true")
		defer stream.close()
		<-left
		if passed := time.Since(began); passed < time.Minute || passed > 2*time.Minute {
			t.Error(passed)
		}
	})
}
