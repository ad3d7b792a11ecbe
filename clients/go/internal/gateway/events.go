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

// events forwards the events of a task as Server-Sent Events.
//
// The watch runs in a goroutine of its own, and this one writes: events as they come, and comments while none do, also
// while the watch is away from its server. A write that blocks, because the client reads slowly, fills the few places
// between the two, and then the watch does not read either.
func (g *Gateway) events(w http.ResponseWriter, r *http.Request) error {
	parameters := parametersOf(r, "after", "view", "deltas")
	options := []flowgram.WatchOption{
		flowgram.WithAfterSequence(parameters.sequence(r.Header.Get("Last-Event-ID"))),
		flowgram.WithView(parameters.view()),
	}
	if parameters.flag("deltas") {
		options = append(options, flowgram.WithDeltas())
	}
	if err := parameters.err(); err != nil {
		return err
	}
	terminated, err := g.terminated(r)
	if err != nil {
		return err
	}
	ctx, cancel := g.unbounded(r)
	defer cancel()
	stream := &eventStream{writer: w, control: http.NewResponseController(w)}
	err = g.copyEvents(ctx, stream, g.client.Watch(ctx, r.PathValue("id"), options...), terminated)
	switch {
	case ctx.Err() != nil && stream.opened:
		return nil // the client has left, or will come back to another gateway
	case err != nil && !stream.opened:
		return stopped(ctx, err)
	case err != nil:
		return stream.fail(problemOf(err))
	case !stream.opened:
		w.WriteHeader(http.StatusNoContent) // which tells a browser not to come back
	}
	return nil
}

// terminated asks whether a task has ended. This also tells soon that there is no such task, or no server, which a
// watch would wait for.
func (g *Gateway) terminated(r *http.Request) (bool, error) {
	ctx, cancel := g.bounded(r)
	defer cancel()
	result, err := g.client.Result(ctx, r.PathValue("id"))
	var refused *flowgram.Error
	if errors.As(err, &refused) && refused.Reason == "MESSAGE_TOO_LARGE" {
		return true, nil // it has outputs
	}
	if err != nil {
		return false, err
	}
	return result.Status.GetTerminated(), nil
}

// copyEvents writes a watch until either ends. It gives the error of the watch, or that of a write.
//
// The stream is opened with its first event. For a task that goes on it does not wait for that for long: then whatever
// could be wrong with the request has been told. One that has ended may have nothing to tell.
func (g *Gateway) copyEvents(
	ctx context.Context, stream *eventStream, watch iter.Seq2[*flowgram.Event, error], terminated bool,
) error {
	ctx, cancel := context.WithCancel(ctx)
	items := pump(ctx, watch)
	defer func() {
		cancel()
		for range items { // until the watch has ended
		}
	}()
	var open <-chan time.Time
	if !terminated {
		open = time.After(g.settings.OpenDelay)
	}
	heartbeat := time.NewTicker(g.settings.Heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case item, more := <-items:
			if !more {
				return ctx.Err()
			}
			if item.err != nil {
				return item.err
			}
			heartbeat.Reset(g.settings.Heartbeat)
			err = stream.write(item.event, len(items) == 0)
		case <-open:
			err = stream.open()
		case <-heartbeat.C:
			err = stream.comment("heartbeat")
		}
		if err != nil {
			return err
		}
	}
}

type item struct {
	event *flowgram.Event
	err   error
}

// pump runs a watch, and gives what it gives, until ctx ends. The channel is closed when the watch has ended.
func pump(ctx context.Context, watch iter.Seq2[*flowgram.Event, error]) <-chan item {
	items := make(chan item, readyEvents)
	go func() {
		defer close(items)
		for event, err := range watch {
			select {
			case items <- item{event, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return items
}

// eventStream writes Server-Sent Events.
type eventStream struct {
	writer  http.ResponseWriter
	control *http.ResponseController
	opened  bool
	buffer  []byte
}

var errClientLeft = errors.New("the client has left")

// open answers the request, if that has not happened yet.
func (s *eventStream) open() error {
	if s.opened {
		return nil
	}
	s.opened = true
	header := s.writer.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("X-Accel-Buffering", "no") // proxies are to pass events on as they come
	s.writer.WriteHeader(http.StatusOK)
	return s.send([]byte("retry: 1000\n\n"), true)
}

// write sends an event; the last one of those that are ready flushes them all.
func (s *eventStream) write(event *flowgram.Event, flush bool) error {
	if err := s.open(); err != nil {
		return err
	}
	b := s.buffer[:0]
	if sequence := event.GetSequence(); sequence != 0 {
		b = append(strconv.AppendInt(append(b, "id: "...), sequence, 10), '\n')
	}
	b = append(b, "data: "...)
	b, err := appendMessage(b, event.ProtoReflect())
	if err != nil {
		return err
	}
	s.buffer = append(b, "\n\n"...)
	return s.send(s.buffer, flush)
}

func (s *eventStream) comment(text string) error {
	if !s.opened {
		return nil
	}
	return s.send([]byte(": "+text+"\n\n"), true)
}

// fail tells why the stream ends before the task does.
func (s *eventStream) fail(p *problem) error {
	_ = s.send([]byte("event: failure\ndata: "+string(p.body())+"\n\n"), true) // the client may be the one that failed
	return nil
}

func (s *eventStream) send(text []byte, flush bool) error {
	if _, err := s.writer.Write(text); err != nil {
		return errClientLeft
	}
	if flush {
		if err := s.control.Flush(); err != nil {
			return errClientLeft
		}
	}
	return nil
}
