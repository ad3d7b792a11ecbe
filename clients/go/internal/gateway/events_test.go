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
	watchRequest   = runtimev1.WatchTaskRequest
	resultRequest  = runtimev1.TaskResultRequest
	resultResponse = runtimev1.TaskResultResponse
	stream         = scripted.Stream
)

// watched is a server with one task, in this status.
func watched(status runtimev1.Status, watch func(*watchRequest, stream) error) *scripted.Server {
	return &scripted.Server{
		OnWatch: watch,
		OnResult: func(context.Context, *resultRequest) (*resultResponse, error) {
			return &resultResponse{Status: scripted.Status(status)}, nil
		},
	}
}

func tellAll(r *watchRequest, s stream) error {
	return scripted.Send(s, scripted.History(3)[r.GetAfterSequence():]...)
}

func hang(s stream) error {
	<-s.Context().Done()
	return s.Context().Err()
}

// Events are the contract's messages with their sequence as id; documents are embedded with all their digits.
func TestEvents(t *testing.T) {
	withGateway(t, watched(runtimev1.Status_STATUS_SUCCEEDED, tellAll), gateway.Settings{}, func(t *testing.T, b *browser) {
		got := strings.Join(b.watch("/tasks/t1/events").rest(), "\n")
		want := `retry: 1000
id: 1
data: {"sequence":1,"time":"2023-11-14T22:13:20Z","task_status_changed":{"status":{"status":"STATUS_PROCESSING","terminated":false}}}
id: 2
data: {"sequence":2,"time":"2023-11-14T22:13:20.001Z","message":{"id":"","type":"TYPE_UNSPECIFIED","text":"step","node_id":""}}
id: 3
data: {"sequence":3,"time":"2023-11-14T22:13:20.002Z","task_status_changed":{"status":{"status":"STATUS_SUCCEEDED","terminated":true},"outputs":{"n":12345678901234567890}}}`
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// A browser that comes back gets what it has not seen; the header wins over the parameter.
func TestLastEventID(t *testing.T) {
	withGateway(t, watched(runtimev1.Status_STATUS_SUCCEEDED, tellAll), gateway.Settings{}, func(t *testing.T, b *browser) {
		for path, header := range map[string]string{"?after=2": "", "": "2", "?after=1": "2"} {
			if id := b.watch("/tasks/t1/events"+path, "Last-Event-ID", header).until("id:"); id != "id: 3" {
				t.Error(path, header, id)
			}
		}
	})
}

// A browser that has seen everything is told not to come back.
func TestNothingMoreToTell(t *testing.T) {
	withGateway(t, watched(runtimev1.Status_STATUS_SUCCEEDED, tellAll), gateway.Settings{}, func(t *testing.T, b *browser) {
		b.expect(http.StatusNoContent, "", "GET", "/tasks/t1/events", "", "Last-Event-ID", "3")
	})
}

// A task whose outputs are too large to be sent has ended, and can be watched.
func TestLargeOutputs(t *testing.T) {
	server := &scripted.Server{
		OnWatch: tellAll,
		OnResult: func(context.Context, *resultRequest) (*resultResponse, error) {
			return nil, scripted.Refusal(codes.ResourceExhausted, "MESSAGE_TOO_LARGE", 0)
		},
	}
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		if id := b.watch("/tasks/t1/events").until("id: 3"); id != "id: 3" {
			t.Error(id)
		}
		b.expect(http.StatusNoContent, "", "GET", "/tasks/t1/events", "", "Last-Event-ID", "3")
	})
}

// What is no sequence is refused before the server is asked.
func TestLastEventIDThatIsNone(t *testing.T) {
	withGateway(t, &scripted.Server{}, gateway.Settings{}, func(t *testing.T, b *browser) {
		for _, id := range []string{"x", "-1", "+1", "1.5", "0x1", "9223372036854775808"} {
			b.expect(http.StatusBadRequest,
				`{"code":"ARGUMENT_INVALID","message":"the request is not valid","errors":["Last-Event-ID must be the sequence of an event"]}`,
				"GET", "/tasks/t1/events", "", "Last-Event-ID", id)
		}
		b.expect(http.StatusBadRequest,
			`{"code":"ARGUMENT_INVALID","message":"the request is not valid","errors":["after must be the sequence of an event","deltas must be true or false","view must be full or basic","x is not known"]}`,
			"GET", "/tasks/t1/events?after=x&deltas=1&view=all&x=1", "")
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
		server := watched(runtimev1.Status_STATUS_PROCESSING, func(*watchRequest, stream) error {
			return scripted.Refusal(test.code, test.reason, 0)
		})
		withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
			b.expect(test.status, `{"code":"`+test.reason+`","message":"refused"}`, "GET", "/tasks/t1/events", "")
		})
	}
}

// A server that is away at the beginning is told soon.
func TestServerAwayAtTheBeginning(t *testing.T) {
	server := watched(runtimev1.Status_STATUS_PROCESSING, tellAll)
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		server.Stop()
		began := time.Now()
		header := b.expect(http.StatusServiceUnavailable,
			`{"code":"UNAVAILABLE","message":"the runtime cannot be reached at the moment"}`, "GET", "/tasks/t1/events", "")
		if header.Get("Retry-After") != "1" || time.Since(began) > 5*time.Second {
			t.Error(header, time.Since(began))
		}
	})
}

// A stream without events yet is answered soon, and shows signs of life.
func TestHeartbeats(t *testing.T) {
	server := watched(runtimev1.Status_STATUS_PROCESSING, func(_ *watchRequest, s stream) error { return hang(s) })
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		began := time.Now()
		stream := b.watch("/tasks/t1/events")
		defer stream.close()
		if time.Since(began) > time.Second {
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
	server := watched(runtimev1.Status_STATUS_PROCESSING, func(r *watchRequest, s stream) error {
		if r.GetAfterSequence() > 0 {
			return tellAll(r, s)
		}
		_ = scripted.Send(s, scripted.History(3)[:2]...)
		watching <- struct{}{}
		return hang(s)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		stream := b.watch("/tasks/t1/events")
		stream.until("id: 2")
		<-watching
		server.Stop()
		time.AfterFunc(16*time.Second, server.Start)
		stream.until(": heartbeat")
		stream.until("id: 3")
		stream.rest()
	})
}

// What ends an open stream early is told in it.
func TestFailureInTheMiddle(t *testing.T) {
	server := watched(runtimev1.Status_STATUS_PROCESSING, func(r *watchRequest, s stream) error {
		if err := scripted.Send(s, scripted.History(3)[0]); err != nil {
			return err
		}
		return scripted.Refusal(codes.NotFound, "TASK_NOT_FOUND", 0)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		rest := b.watch("/tasks/t1/events").rest()
		want := []string{"event: failure", `data: {"code":"TASK_NOT_FOUND","message":"refused"}`}
		if got := rest[len(rest)-2:]; !slices.Equal(got, want) {
			t.Error(rest)
		}
	})
}

// A client that leaves ends its watch on the server.
func TestDisconnect(t *testing.T) {
	left := make(chan struct{})
	server := watched(runtimev1.Status_STATUS_PROCESSING, func(_ *watchRequest, s stream) error {
		defer close(left)
		_ = scripted.Send(s, scripted.History(3)[0])
		return hang(s)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		stream := b.watch("/tasks/t1/events")
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
	server := watched(runtimev1.Status_STATUS_PROCESSING, func(_ *watchRequest, s stream) error {
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
		stream := b.watch("/tasks/t1/events")
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
	server := watched(runtimev1.Status_STATUS_PROCESSING, func(_ *watchRequest, s stream) error {
		_ = scripted.Send(s, scripted.History(3)[0])
		return hang(s)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		stream := b.watch("/tasks/t1/events")
		stream.until("id: 1")
		b.gateway.Stop()
		if rest := stream.rest(); len(rest) != 1 || !strings.HasPrefix(rest[0], "data: ") {
			t.Error(rest)
		}
		b.expect(http.StatusServiceUnavailable, `{"code":"SHUTTING_DOWN","message":"the gateway is shutting down"}`,
			"GET", "/tasks/t1/events", "")
	})
}

// Deltas have no id, so that a browser comes back after the last event that is kept.
func TestDeltas(t *testing.T) {
	server := watched(runtimev1.Status_STATUS_PROCESSING, func(r *watchRequest, s stream) error {
		if !r.GetIncludeDeltas() || r.GetView() != runtimev1.View_VIEW_BASIC {
			t.Error(r)
		}
		delta := &runtimev1.TaskEvent{Event: &runtimev1.TaskEvent_OutputDelta{
			OutputDelta: &runtimev1.OutputDelta{NodeId: "llm_0", SnapshotId: "llm_0", Text: "<hi>\n"},
		}}
		return scripted.Send(s, append([]*runtimev1.TaskEvent{delta}, scripted.History(2)...)...)
	})
	withGateway(t, server, gateway.Settings{}, func(t *testing.T, b *browser) {
		rest := b.watch("/tasks/t1/events?deltas=true&view=basic").rest()
		want := `data: {"sequence":0,"output_delta":{"node_id":"llm_0","snapshot_id":"llm_0","text":"<hi>\n"}}`
		if rest[1] != want {
			t.Error(rest[1])
		}
	})
}
