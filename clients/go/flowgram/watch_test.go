package flowgram_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
	"github.com/flowgram/flowgram-server/clients/go/internal/scripted"
)

type (
	watchRequest = runtimev1.WatchTaskRequest
	stream       = scripted.Stream
)

// Events come in order, whatever the size of the responses they come in.
func TestWatchGivesAllEvents(t *testing.T) {
	var asked *watchRequest
	server := &scripted.Server{OnWatch: func(r *watchRequest, s stream) error {
		asked = r
		events := scripted.History(6)
		return errors.Join(scripted.Send(s, events[:1]...), scripted.Send(s), scripted.Send(s, events[1:]...))
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		events, err := collect(client.Watch(ctx, "t1"))
		if got := sequences(events); err != nil || !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6}) {
			t.Fatal(got, err)
		}
		if asked.GetHeartbeat().AsDuration() != 10*time.Second || asked.GetView() != flowgram.ViewFull {
			t.Error(asked)
		}
	})
}

// The options are what is asked for.
func TestWatchOptions(t *testing.T) {
	var asked *watchRequest
	server := &scripted.Server{OnWatch: func(r *watchRequest, _ stream) error {
		asked = r
		return nil
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		_, err := collect(client.Watch(ctx, "t1", flowgram.WithAfterSequence(7), flowgram.WithDeltas(),
			flowgram.WithView(flowgram.ViewBasic), flowgram.WithHeartbeat(0)))
		if err != nil {
			t.Fatal(err)
		}
		if asked.GetAfterSequence() != 7 || !asked.GetIncludeDeltas() || asked.GetView() != flowgram.ViewBasic ||
			asked.GetHeartbeat() != nil {
			t.Error(asked)
		}
	})
}

// A watch goes on after the last event, whatever ended its stream, and gives no event twice.
func TestWatchResumes(t *testing.T) {
	for name, failure := range map[string]error{
		"shutting down":       scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", 0),
		"connection reset":    scripted.Refusal(codes.Unavailable, "", 0),
		"response cut":        scripted.Refusal(codes.Internal, "", 0),
		"unknown":             scripted.Refusal(codes.Unknown, "", 0),
		"reset by a proxy":    scripted.Refusal(codes.Canceled, "", 0),
		"too many came back":  scripted.Refusal(codes.ResourceExhausted, "TOO_MANY_WATCHES", 5*time.Second),
		"token has expired":   scripted.Refusal(codes.Unauthenticated, "CREDENTIALS_INVALID", 0),
		"ended without a gap": nil, // the second stream repeats what was given
	} {
		t.Run(name, func(t *testing.T) {
			var asked []int64
			server := &scripted.Server{OnWatch: func(r *watchRequest, s stream) error {
				asked = append(asked, r.GetAfterSequence())
				events := scripted.History(5)
				if len(asked) > 1 {
					return scripted.Send(s, events[1:]...) // one too many
				}
				if err := scripted.Send(s, events[:2]...); err != nil || failure != nil {
					return cmp.Or(err, failure)
				}
				return scripted.Send(s, events[3:]...) // one too few
			}}
			withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
				events, err := collect(client.Watch(ctx, "t1"))
				if got := sequences(events); err != nil || !slices.Equal(got, []int64{1, 2, 3, 4, 5}) {
					t.Fatal(got, err)
				}
				if !slices.Equal(asked, []int64{0, 2}) {
					t.Error(asked)
				}
			})
		})
	}
}

// A token that is not valid any more, and is not renewed, ends a watch.
func TestWatchEndsWithItsToken(t *testing.T) {
	streams := 0
	server := &scripted.Server{OnWatch: func(_ *watchRequest, s stream) error {
		if streams++; streams == 1 {
			if err := scripted.Send(s, scripted.History(5)[:2]...); err != nil {
				return err
			}
		}
		return scripted.Refusal(codes.Unauthenticated, "CREDENTIALS_INVALID", 0)
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		events, err := collect(client.Watch(ctx, "t1"))
		if len(events) != 2 || !errors.Is(err, flowgram.ErrUnauthenticated) || streams != 2 {
			t.Error(len(events), err, streams)
		}
	})
}

// A server that is restarted is found again.
func TestWatchSurvivesARestart(t *testing.T) {
	watching := make(chan struct{}, 1)
	server := &scripted.Server{OnWatch: func(r *watchRequest, s stream) error {
		events := scripted.History(5)
		if r.GetAfterSequence() > 0 {
			return scripted.Send(s, events[r.GetAfterSequence():]...)
		}
		_ = scripted.Send(s, events[:3]...)
		watching <- struct{}{}
		<-s.Context().Done()
		return s.Context().Err()
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		go func() {
			<-watching
			server.Stop()
			time.Sleep(10 * time.Second) // of the bubble's time
			server.Start()
		}()
		events, err := collect(client.Watch(ctx, "t1"))
		if got := sequences(events); err != nil || !slices.Equal(got, []int64{1, 2, 3, 4, 5}) {
			t.Fatal(got, err)
		}
	})
}

// A watch stops where waiting does not help.
func TestWatchStops(t *testing.T) {
	for name, test := range map[string]struct {
		failure error
		kind    error
	}{
		"unknown task": {scripted.Refusal(codes.NotFound, "TASK_NOT_FOUND", 0), flowgram.ErrTaskNotFound},
		"beyond the end": {
			scripted.Refusal(codes.OutOfRange, "SEQUENCE_OUT_OF_RANGE", 0), flowgram.ErrSequenceOutOfRange,
		},
		"too many": {
			scripted.Refusal(codes.ResourceExhausted, "TOO_MANY_WATCHES", time.Second), flowgram.ErrResourceExhausted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			server := &scripted.Server{OnWatch: func(*watchRequest, stream) error {
				calls++
				return test.failure
			}}
			withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
				if events, err := collect(client.Watch(ctx, "t1")); !errors.Is(err, test.kind) || events != nil || calls != 1 {
					t.Fatal(events, err, calls)
				}
			})
		})
	}
}

// A defect of the server is not tried again, even in the middle of a watch.
func TestWatchStopsAtADefect(t *testing.T) {
	server := &scripted.Server{OnWatch: func(_ *watchRequest, s stream) error {
		if err := scripted.Send(s, scripted.History(3)[0]); err != nil {
			return err
		}
		return scripted.Refusal(codes.Internal, "INTERNAL", 0)
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		events, err := collect(client.Watch(ctx, "t1"))
		var failure *flowgram.Error
		ok := errors.As(err, &failure)
		if !ok || failure.Reason != "INTERNAL" || len(events) != 1 {
			t.Fatal(events, err)
		}
	})
}

// A server that does not come back is given up after twelve attempts in a row; progress begins the count anew.
func TestWatchGivesUp(t *testing.T) {
	t.Run("event", func(t *testing.T) { testGivingUp(t, scripted.History(3)[:1]) })
	t.Run("heartbeat", func(t *testing.T) { testGivingUp(t, nil) })
}

func testGivingUp(t *testing.T, progress []*flowgram.Event) {
	t.Helper()
	calls := 0
	server := &scripted.Server{OnWatch: func(r *watchRequest, s stream) error {
		calls++
		if calls == 11 { // the eleventh brings an event, or a sign of life
			_ = scripted.Send(s, progress...)
		}
		return scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", 0)
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		events, err := collect(client.Watch(ctx, "t1"))
		if !errors.Is(err, flowgram.ErrUnavailable) || len(events) != len(progress) || calls != 11+11 {
			t.Fatal(events, err, calls)
		}
	})
}

// After the event that ends the task a stream that stays open is left within a second.
func TestWatchEndsBeforeItsStream(t *testing.T) {
	server := &scripted.Server{OnWatch: func(r *watchRequest, s stream) error {
		_ = scripted.Send(s, scripted.History(3)...)
		<-s.Context().Done()
		return s.Context().Err()
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		began := time.Now()
		events, err := collect(client.Watch(ctx, "t1", flowgram.WithHeartbeat(time.Minute)))
		if err != nil || len(events) != 3 || time.Since(began) > time.Second {
			t.Fatal(events, err, time.Since(began))
		}
	})
}

// A connection without heartbeats counts as dead; time that the consumer takes does not count. No server sends them more
// often than every 0.1 seconds.
func TestWatchNoticesSilence(t *testing.T) {
	for heartbeat, timeout := range map[time.Duration]time.Duration{
		2 * time.Second:  6 * time.Second,
		time.Millisecond: 300 * time.Millisecond,
	} {
		testSilence(t, heartbeat, timeout)
	}
}

func testSilence(t *testing.T, heartbeat, timeout time.Duration) {
	t.Helper()
	calls := 0
	server := &scripted.Server{OnWatch: func(r *watchRequest, s stream) error {
		calls++
		events := scripted.History(3)
		if calls == 2 {
			return scripted.Send(s, events[1:]...)
		}
		_ = scripted.Send(s, events[0])
		<-s.Context().Done()
		return s.Context().Err()
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		began := time.Now()
		var got []int64
		for event, err := range client.Watch(ctx, "t1", flowgram.WithHeartbeat(heartbeat)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, event.GetSequence())
			if event.GetSequence() == 1 {
				time.Sleep(time.Hour)
				if calls != 1 {
					t.Error("the consumer's time counted")
				}
				began = time.Now()
			}
		}
		if !slices.Equal(got, []int64{1, 2, 3}) || time.Since(began) < timeout {
			t.Fatal(got, time.Since(began))
		}
	})
}

// Leaving the loop ends the stream on the server at once.
func TestLeavingAWatchEndsIt(t *testing.T) {
	left := make(chan struct{})
	server := &scripted.Server{OnWatch: func(_ *watchRequest, s stream) error {
		_ = scripted.Send(s, scripted.History(9)[:2]...)
		<-s.Context().Done()
		close(left)
		return s.Context().Err()
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		for range client.Watch(ctx, "t1") {
			break
		}
		<-left
	})
}

// The end of the context ends a watch at once, with the context's error: while it reads, and while it pauses.
func TestCancelingAWatch(t *testing.T) {
	for name, failure := range map[string]error{
		"reading": nil, "pausing": scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			server := &scripted.Server{OnWatch: func(_ *watchRequest, s stream) error {
				_ = scripted.Send(s, scripted.History(9)[0])
				if failure == nil {
					<-s.Context().Done()
				}
				return failure
			}}
			withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
				ctx, cancel := context.WithCancel(ctx)
				began := time.Now()
				time.AfterFunc(time.Second, cancel)
				events, err := collect(client.Watch(ctx, "t1"))
				if !errors.Is(err, context.Canceled) || len(events) != 1 || time.Since(began) != time.Second {
					t.Fatal(events, err, time.Since(began))
				}
			})
		})
	}
}

// A client that is closed does not go on watching.
func TestClosingTheClient(t *testing.T) {
	server := &scripted.Server{OnWatch: func(_ *watchRequest, s stream) error {
		_ = scripted.Send(s, scripted.History(9)[0])
		<-s.Context().Done()
		return s.Context().Err()
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		began := time.Now()
		for _, err := range client.Watch(ctx, "t1") {
			if err != nil {
				if errors.Is(err, context.Canceled) || time.Since(began) > time.Second {
					t.Error(err, time.Since(began))
				}
				return
			}
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
		}
		t.Error("the watch ended well")
	})
}

// A deadline ends a watch with the context's error.
func TestDeadlineOfAWatch(t *testing.T) {
	server := &scripted.Server{OnWatch: func(_ *watchRequest, s stream) error {
		<-s.Context().Done()
		return s.Context().Err()
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := collect(client.Watch(ctx, "t1")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

// While the consumer is busy, the server can send no more than the connection holds.
func TestWatchHoldsBackTheServer(t *testing.T) {
	const size, count = 64 * 1024, 100
	sent := 0
	server := &scripted.Server{OnWatch: func(_ *watchRequest, s stream) error {
		events := scripted.History(count)
		for _, event := range events[1 : count-1] {
			event.GetMessage().Text = string(make([]byte, size))
		}
		for _, event := range events {
			if err := scripted.Send(s, event); err != nil {
				return err
			}
			sent++
		}
		return nil
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		got := 0
		for _, err := range client.Watch(ctx, "t1") {
			if err != nil {
				t.Fatal(err)
			}
			got++
			if got == 1 {
				synctest.Wait()
				if sent > count/2 {
					t.Errorf("%d events were sent", sent)
				}
			}
		}
		if got != count {
			t.Error(got)
		}
	})
}
