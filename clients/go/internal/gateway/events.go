package gateway

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

// So many events may be ready before they are written, which lets a stream that is behind catch up in few writes.
const readyEvents = 16

// A buffer that holds so much is written, whatever else is ready.
const bufferedBytes = 64 << 10

// watch forwards the events of a task as Server-Sent Events.
func (g *Gateway) watch(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r)
	taskID := parameters.taskID()
	options := []flowgram.WatchOption{
		flowgram.WithAfterSequence(parameters.sequence(r.Header.Values("Last-Event-ID"))),
	}
	if parameters.flag("deltas") {
		options = append(options, flowgram.WithDeltas())
	}
	options = append(options, flowgram.WithView(parameters.view()))
	until, bounded := parameters.until()
	if err := parameters.err(); err != nil {
		return err
	}
	return forward(g, w, r, appendEvent, func(ctx context.Context) iter.Seq2[*flowgram.Event, error] {
		events := g.client.Watch(ctx, taskID, options...)
		if bounded {
			return upTo(until, events)
		}
		return events
	})
}

// upTo ends after the event with a sequence.
func upTo(until int64, events iter.Seq2[*flowgram.Event, error]) iter.Seq2[*flowgram.Event, error] {
	return func(yield func(*flowgram.Event, error) bool) {
		for event, err := range events {
			if !yield(event, err) || err == nil && event.GetSequence() >= until {
				return
			}
		}
	}
}

// forward answers with what a watch gives, each item in the form that appendItem gives it.
//
// The watch runs in a goroutine of its own, and this one writes: items as they come, and comments while none do, also
// while the watch is away from its server. A write that blocks, because the client reads slowly, fills the few places
// between the two, and then the watch does not read either.
func forward[T any](
	g *Gateway, w http.ResponseWriter, r *http.Request, appendItem func([]byte, T) ([]byte, error),
	watch func(context.Context) iter.Seq2[T, error],
) error {
	stream := &eventStream{writer: w, control: http.NewResponseController(w), timeout: g.settings.WriteTimeout}
	if g.stopping.Err() != nil {
		return stream.comeBack()
	}
	// says at once what the watch itself would try to wait out: that there is no server
	asking, cancel := g.bounded(r)
	_, err := g.client.Info(asking)
	cancel()
	if err != nil {
		return err
	}
	ctx, cancel := g.unbounded(r)
	defer cancel()
	err = copyItems(ctx, g.settings, stream, appendItem, watch)
	switch {
	case errors.Is(context.Cause(ctx), errStopping) && !stream.opened:
		return stream.comeBack()
	case ctx.Err() != nil:
		return nil // the client has left, or will come back to another gateway
	case err != nil && !stream.opened:
		return err
	case err != nil:
		stream.fail(problemOf(err))
	case !stream.opened:
		w.WriteHeader(http.StatusNoContent) // which tells a browser not to come back
	}
	return nil
}

// copyItems writes a watch until either ends. It gives the error of the watch, or that of a write.
//
// The stream is opened with its first item, or after a short time: until then a refusal of the watch, or its end, may
// still become the status of the answer.
func copyItems[T any](
	ctx context.Context, settings Settings, stream *eventStream, appendItem func([]byte, T) ([]byte, error),
	watch func(context.Context) iter.Seq2[T, error],
) error {
	ctx, cancel := context.WithCancel(ctx)
	items := pump(ctx, watch(ctx))
	defer func() {
		cancel()
		for range items { // until the watch has ended
		}
	}()
	open := time.After(settings.OpenDelay)
	heartbeat := time.NewTicker(settings.Heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case item, more := <-items:
			if !more {
				return ctx.Err()
			}
			if item.err != nil && len(stream.buffer) == 0 {
				return item.err
			}
			if item.err != nil {
				return errors.Join(stream.flush(), item.err)
			}
			heartbeat.Reset(settings.Heartbeat)
			stream.buffer, err = appendItem(stream.buffer, item.value)
			if err == nil && len(stream.buffer) > 0 && (len(items) == 0 || len(stream.buffer) > bufferedBytes) {
				err = stream.flush()
			}
		case <-open:
			err = stream.open()
		case <-heartbeat.C:
			if stream.opened {
				stream.buffer = append(stream.buffer, ": heartbeat\n\n"...)
				err = stream.flush()
			}
		}
		if err != nil {
			return err
		}
	}
}

type item[T any] struct {
	value T
	err   error
}

// pump runs a watch, and gives what it gives, until ctx ends. The channel is closed when the watch has ended.
func pump[T any](ctx context.Context, watch iter.Seq2[T, error]) <-chan item[T] {
	items := make(chan item[T], readyEvents)
	go func() {
		defer close(items)
		for value, err := range watch {
			select {
			case items <- item[T]{value, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return items
}

// appendEvent appends an event as a Server-Sent Event, with its sequence as the id; nothing for a kind that is not known.
// What is not durable has no id, so that nobody resumes after it.
func appendEvent(b []byte, event *flowgram.Event) ([]byte, error) {
	shape, known := shapeEvent(event)
	if !known {
		return b, nil
	}
	if shape.Sequence != 0 {
		b = append(strconv.AppendInt(append(b, "id: "...), shape.Sequence, 10), '\n')
	}
	return appendData(b, shape)
}

func appendData(b []byte, shape any) ([]byte, error) {
	encoded, err := encode(shape)
	if err != nil {
		return b, err
	}
	return append(append(append(b, "data: "...), encoded...), "\n\n"...), nil
}

// eventStream writes Server-Sent Events.
type eventStream struct {
	writer  http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	opened  bool
	buffer  []byte // what is to be written next
}

var errClientLeft = errors.New("the client has left")

// open answers the request, if that has not happened yet.
func (s *eventStream) open() error {
	if s.opened {
		return nil
	}
	header := s.writer.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no") // proxies are to pass events on as they come
	s.opened = true
	s.writer.WriteHeader(http.StatusOK)
	s.buffer = append([]byte("retry: 1000\n\n"), s.buffer...)
	return s.flush()
}

// comeBack answers with a stream that ends: to any refusal, a browser would not come back.
func (s *eventStream) comeBack() error {
	_ = s.open() // a client that has left comes back anyway
	return nil
}

// fail tells why the stream ends before the task does.
func (s *eventStream) fail(p *problem) {
	s.buffer = append(s.buffer, "event: failure\ndata: "+string(p.body())+"\n\n"...)
	_ = s.flush() // the client may be the one that failed
}

// flush sends what is in the buffer.
func (s *eventStream) flush() error {
	if !s.opened {
		return s.open()
	}
	// a client that does not read keeps a connection for so long, and no longer
	if err := s.control.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errClientLeft
	}
	if _, err := s.writer.Write(s.buffer); err != nil {
		return errClientLeft
	}
	s.buffer = s.buffer[:0]
	if err := s.control.Flush(); err != nil {
		return errClientLeft
	}
	return nil
}
