package flowgram

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

const (
	defaultHeartbeat = 10 * time.Second
	// So many heartbeats in a row that did not come mean that the connection is dead.
	silentHeartbeats = 3
	// The contract promises heartbeats no more often than this, whatever is asked for.
	shortestHeartbeat = 100 * time.Millisecond
	// How long a stream may take to end after the event that ends the task: everything has been sent by then.
	farewell = time.Second
)

// WatchOption changes what a watch gives: [WithAfterSequence], [WithDeltas], [WithView], [WithHeartbeat].
type WatchOption func(*watchSettings)

type watchSettings struct {
	afterSequence int64
	view          View
	deltas        bool
	heartbeat     time.Duration // 0: none
}

// WithAfterSequence begins after the event with this sequence: the last one that was seen before. Default: 0, all
// events.
func WithAfterSequence(sequence int64) WatchOption {
	return func(s *watchSettings) { s.afterSequence = sequence }
}

// WithDeltas also gives the text of language models as it arrives, as events without a sequence. They are live only.
func WithDeltas() WatchOption {
	return func(s *watchSettings) { s.deltas = true }
}

// WithView gives events in this view. Default: [ViewFull].
func WithView(view View) WatchOption {
	return func(s *watchSettings) { s.view = view }
}

// WithHeartbeat is how often a server that has nothing to tell has to give a sign of life. A connection without one for
// three times as long counts as dead, and the watch reconnects. Default: 10 seconds; 0: never.
func WithHeartbeat(interval time.Duration) WatchOption {
	return func(s *watchSettings) { s.heartbeat = interval }
}

// Watch gives the events of a task, each once and in order, from the first one (or see [WithAfterSequence]) to the one that
// terminates the task: those that have happened at once, and then each as it happens. Nothing is read from the server
// while the loop is busy with an event.
//
// Where the connection breaks, or the server is restarted, the watch goes on after the last event that it gave. It
// gives up with an error, after which nothing more comes: when the server does not come back (see [WithReconnect]), when
// ctx ends, or for a reason that waiting does not help with.
//
// Errors: [ErrTaskNotFound], [ErrSequenceOutOfRange], [ErrUnavailable], and those of any call. Leaving the loop ends the
// watch, and never the task.
func (c *Client) Watch(ctx context.Context, taskID string, options ...WatchOption) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		settings := watchSettings{view: ViewFull, heartbeat: defaultHeartbeat}
		for _, option := range options {
			option(&settings)
		}
		request := &runtimev1.WatchTaskRequest{
			TaskId:        taskID,
			AfterSequence: settings.afterSequence,
			View:          settings.view,
			IncludeDeltas: settings.deltas,
		}
		var silence time.Duration
		if settings.heartbeat != 0 {
			request.Heartbeat = durationpb.New(settings.heartbeat)
			silence = silentHeartbeats * max(settings.heartbeat, shortestHeartbeat)
		}
		watch := &watch{
			client:   c,
			request:  request,
			sequence: settings.afterSequence,
			silence:  silence,
			yield:    func(event *Event) bool { return yield(event, nil) },
		}
		if err := watch.run(c.outgoing(ctx), c.settings.reconnect); err != nil {
			yield(nil, err)
		}
	}
}

var (
	// errLeft is how a stream ends that the consumer has left, or that has sent everything.
	errLeft   = errors.New("left")
	errSilent = errors.New("silent")
)

// watch is one watch through any number of streams.
type watch struct {
	client   *Client
	request  *runtimev1.WatchTaskRequest
	sequence int64         // of the last event that was given
	silence  time.Duration // 0: any silence is fine
	yield    func(*Event) bool

	connected bool // something has come, once
	failures  int  // in a row
}

func (w *watch) run(ctx context.Context, policy RetryPolicy) error {
	if err := checkText(w.request); err != nil {
		return err
	}
	for {
		w.request.AfterSequence = w.sequence
		err := w.stream(ctx)
		if err == nil || errors.Is(err, errLeft) {
			return nil
		}
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		failure := w.failure(ctx, err)
		if !w.client.mayResume(ctx, failure, w.connected, w.failures) {
			return failure
		}
		w.failures++
		if err := policy.pause(ctx, w.failures, failure); err != nil {
			return err
		}
	}
}

// stream yields the responses of one stream. It returns nil when the stream has ended well.
func (w *watch) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := w.client.service.WatchTask(ctx, w.request)
	if err != nil {
		return err
	}
	timeout := w.silence
	for terminated := false; ; {
		response, err := receive(stream, cancel, timeout)
		switch {
		case terminated || errors.Is(err, io.EOF):
			return nil
		case err != nil && errors.Is(context.Cause(ctx), errSilent):
			return errSilent
		case err != nil:
			return err
		}
		w.connected = true
		if len(response.GetEvents()) == 0 { // a heartbeat
			w.failures = 0
		}
		for _, event := range response.GetEvents() {
			switch sequence := event.GetSequence(); {
			case sequence == 0: // not durable
			case sequence <= w.sequence:
				continue
			case sequence != w.sequence+1:
				return &Error{
					Code:    codes.Unavailable,
					Message: fmt.Sprintf("event %d came after event %d", sequence, w.sequence),
				}
			default:
				w.sequence = sequence
			}
			w.failures = 0
			if !w.yield(event) {
				return errLeft
			}
			if event.GetTaskStatusChanged().GetStatus().GetTerminated() {
				terminated, timeout = true, farewell
			}
		}
	}
}

// receive waits for the next response, and not for longer than timeout if that is not 0. Only waiting counts: the
// consumer may take its time between two.
func receive[Response any](
	stream grpc.ServerStreamingClient[Response],
	cancel context.CancelCauseFunc,
	timeout time.Duration,
) (*Response, error) {
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { cancel(errSilent) })
		defer timer.Stop()
	}
	return stream.Recv()
}

func (w *watch) failure(ctx context.Context, err error) *Error {
	return streamFailure(ctx, err, w.silence)
}

// streamFailure is the Error for what a stream ended with.
func streamFailure(ctx context.Context, err error, silence time.Duration) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	if errors.Is(err, errSilent) {
		return &Error{Code: codes.Unavailable, Message: fmt.Sprintf("the server has been silent for %v", silence)}
	}
	return errorFrom(ctx, err)
}

// mayResume reports whether opening a stream again may help. One that was connected is tried for longer: the service may
// have too many watchers just now, when all of them come back after a restart. Where none has failed before, in a row, a token
// that has expired during the stream may have been renewed.
func (c *Client) mayResume(ctx context.Context, failure *Error, connected bool, failures int) bool {
	switch {
	case c.away(ctx, failure), failure.Reason == reasonWatchBehind:
		return true
	case !connected:
		return false
	case failure.RetryAfter > 0, failures == 0 && failure.Reason == reasonCredentialsInvalid:
		return true
	default:
		// the service names a reason; without one, the connection broke in the middle of a response
		return failure.Reason == "" && (failure.Code == codes.Internal || failure.Code == codes.Unknown)
	}
}
