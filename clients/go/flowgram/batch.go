package flowgram

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"iter"
	goruntime "runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

// BatchRequest is what the runs of a batch have in common.
type BatchRequest struct {
	// RunRequest: the schema, mostly. With a RequestID the batch can be repeated, also from another process: a run has the
	// request id RequestID/INDEX, and is not run twice. Empty: one is made up.
	RunRequest
	// MaxInFlight is how many runs may be without an outcome at once; 0: 256.
	MaxInFlight int32
}

// BatchRun is one run of a batch.
type BatchRun struct {
	// Key comes back with the outcome. It need not be unique.
	Key string
	// Inputs is a JSON object; empty means those of the [BatchRequest].
	Inputs json.RawMessage
	// Labels are added to those of the [BatchRequest].
	Labels map[string]string
	// DisplayName replaces that of the [BatchRequest], if it is not empty.
	DisplayName string
	// RequestID makes it safe to send the run again in another batch; empty: the one that the [BatchRequest] makes.
	RequestID string
}

// BatchOutcome is what became of one run.
type BatchOutcome struct {
	// Index is the position of the run in the batch, from 0.
	Index int
	// Key is that of the run.
	Key string
	// Result is the outcome of a task that has ended, in whatever status; nil if the run was refused.
	Result *Result
	// Refusal says why the run was refused, as [Client.Run] would have; nil if it was not.
	Refusal *Error
}

const (
	batchWindow       = 256
	batchMessageRuns  = 64
	batchMessageBytes = 1 << 20
)

// RunBatch runs a workflow many times over one stream, several times as many per second as single calls, and gives the
// outcomes as they come, in any order. A run that is refused is an outcome, too.
//
// The runs are taken in another goroutine, as there is room for them: a slow loop slows that down. Where the connection
// breaks, or the server is restarted, the batch goes on with the runs that have no outcome yet. It gives up with an error,
// after which nothing more comes, as [Client.Watch] does. Leaving the loop ends the batch, and no task that was accepted.
//
// Errors: [ErrInvalidArgument], [ErrResourceExhausted], [ErrUnavailable], and those of any call.
func (c *Client) RunBatch(
	ctx context.Context, request BatchRequest, runs iter.Seq[BatchRun],
) iter.Seq2[*BatchOutcome, error] {
	return func(yield func(*BatchOutcome, error) bool) {
		ctx, cancel := context.WithCancel(c.outgoing(ctx))
		defer cancel()
		defaults := request.message(false)
		batch := &batch{
			client:  c,
			id:      defaults.GetRequestId(),
			first:   &runtimev1.TaskRunBatchRequest{Defaults: defaults, MaxInFlight: request.MaxInFlight},
			again:   make(chan int),
			pending: map[int]*pendingRun{},
			yield:   func(outcome *BatchOutcome) bool { return yield(outcome, nil) },
		}
		defaults.RequestId = ""
		if request.RequestID == "" {
			batch.id = rand.Text()
		}
		window := request.MaxInFlight
		if window <= 0 {
			window = batchWindow
		}
		batch.slots = make(chan struct{}, window)
		batch.incoming = make(chan BatchRun, window) // never full: each run in it holds a slot
		if err := checkText(defaults); err != nil {
			yield(nil, err)
			return
		}
		go func() {
			defer close(batch.incoming)
			for run := range runs {
				select {
				case batch.slots <- struct{}{}:
					batch.incoming <- run
				case <-ctx.Done():
					return
				}
			}
		}()
		if err := batch.run(ctx, c.settings.reconnect); err != nil && !errors.Is(err, errLeft) {
			yield(nil, err)
		}
	}
}

type batchStream = grpc.BidiStreamingClient[runtimev1.TaskRunBatchRequest, runtimev1.TaskRunBatchResponse]

// batch is one batch through any number of streams.
//
// The consumer's goroutine receives, another one sends; one after the other opens the next stream only when the sender of
// the one before has ended.
type batch struct {
	client   *Client
	id       string
	first    *runtimev1.TaskRunBatchRequest
	incoming chan BatchRun // holds those that are not sent yet
	slots    chan struct{} // holds one for each run that has no outcome, and for those that are not sent yet
	again    chan int      // runs that were refused for now, to be sent again
	yield    func(*BatchOutcome) bool

	mutex   sync.Mutex
	pending map[int]*pendingRun // without an outcome
	next    int                 // the index of the next run
	drained bool                // there are no more runs to come

	connected bool
	failures  int // in a row
}

type pendingRun struct {
	key      string
	message  *runtimev1.BatchRun
	refusals int  // for now, in a row
	waiting  bool // is sent again a little later
}

func (b *batch) run(ctx context.Context, policy RetryPolicy) error {
	for {
		err := b.stream(ctx, policy)
		if err == nil || errors.Is(err, errLeft) {
			return err
		}
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		failure := streamFailure(ctx, err, 0)
		if !b.client.mayResume(ctx, failure, b.connected, b.failures) {
			return failure
		}
		b.failures++
		if err := policy.pause(ctx, b.failures, failure); err != nil {
			return err
		}
	}
}

// stream sends and receives on one stream. It returns nil when every run has its outcome.
func (b *batch) stream(ctx context.Context, policy RetryPolicy) error {
	streamCtx, cancel := context.WithCancel(ctx)
	stream, err := b.client.service.TaskRunBatch(streamCtx)
	if err != nil {
		cancel()
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- b.send(streamCtx, stream) }()
	err = b.receive(ctx, stream, policy)
	cancel()
	if refused := <-sent; refused != nil {
		return refused
	}
	return err
}

// send sends what has no outcome yet, and then what comes. Its error is that of a run that cannot be sent.
func (b *batch) send(ctx context.Context, stream batchStream) error {
	if stream.Send(b.first) != nil {
		return nil // receiving tells why
	}
	for _, message := range b.unfinished() {
		if stream.Send(message) != nil {
			return nil
		}
	}
	incoming := b.incoming
	for {
		message := &runtimev1.TaskRunBatchRequest{}
		select {
		case <-ctx.Done():
			return nil
		case index := <-b.again:
			b.addAgain(message, index)
		case run, more := <-incoming:
			if !more {
				incoming = nil
				if b.drain() {
					_ = stream.CloseSend()
				}
				continue
			}
			if err := b.add(message, run); err != nil {
				return err
			}
			// Let those come that are on their way: large messages cost less.
			goruntime.Gosched()
			if err := b.addReady(message, incoming); err != nil {
				return err
			}
		}
		if len(message.GetRuns()) > 0 && stream.Send(message) != nil {
			return nil
		}
	}
}

// addReady adds the runs to a message that are there already.
func (b *batch) addReady(message *runtimev1.TaskRunBatchRequest, incoming <-chan BatchRun) error {
	for len(message.GetRuns()) < batchMessageRuns && proto.Size(message) < batchMessageBytes {
		select {
		case run, more := <-incoming:
			if !more {
				return nil // the next look at incoming tells
			}
			if err := b.add(message, run); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (b *batch) add(message *runtimev1.TaskRunBatchRequest, run BatchRun) error {
	request := &runtimev1.TaskRunRequest{
		Inputs: string(run.Inputs), Labels: run.Labels, DisplayName: run.DisplayName, RequestId: run.RequestID,
	}
	if err := checkText(request); err != nil {
		return err
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	index := strconv.Itoa(b.next)
	if request.RequestId == "" {
		request.RequestId = b.id + "/" + index
	}
	pending := &pendingRun{key: run.Key, message: &runtimev1.BatchRun{Key: index, Request: request}}
	b.pending[b.next] = pending
	b.next++
	message.Runs = append(message.Runs, pending.message)
	return nil
}

func (b *batch) addAgain(message *runtimev1.TaskRunBatchRequest, index int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if run, known := b.pending[index]; known && run.waiting { // else a new stream has sent it already
		run.waiting = false
		message.Runs = append(message.Runs, run.message)
	}
}

// unfinished are messages with all runs that have no outcome yet, in order.
func (b *batch) unfinished() []*runtimev1.TaskRunBatchRequest {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	var messages []*runtimev1.TaskRunBatchRequest
	indices := make([]int, 0, len(b.pending))
	for index := range b.pending {
		indices = append(indices, index)
	}
	slices.Sort(indices)
	message := &runtimev1.TaskRunBatchRequest{}
	for _, index := range indices {
		b.pending[index].waiting = false
		message.Runs = append(message.Runs, b.pending[index].message)
		if len(message.GetRuns()) >= batchMessageRuns || proto.Size(message) >= batchMessageBytes {
			messages = append(messages, message)
			message = &runtimev1.TaskRunBatchRequest{}
		}
	}
	if len(message.GetRuns()) > 0 {
		messages = append(messages, message)
	}
	return messages
}

// drain says that no more runs will come, and reports whether all have their outcome.
func (b *batch) drain() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.drained = true
	return len(b.pending) == 0
}

func (b *batch) finished() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.drained && len(b.pending) == 0
}

// receive gives outcomes until every run has one.
func (b *batch) receive(ctx context.Context, stream batchStream, policy RetryPolicy) error {
	for {
		response, err := stream.Recv()
		if b.finished() {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return &Error{Code: codes.Unavailable, Message: "the batch has ended before its last outcome"}
		}
		if err != nil {
			return err
		}
		b.connected, b.failures = true, 0
		for _, each := range response.GetOutcomes() {
			outcome := b.outcome(ctx, each, policy)
			if outcome == nil {
				continue
			}
			<-b.slots
			if !b.yield(outcome) {
				return errLeft
			}
		}
		if b.finished() {
			_ = stream.CloseSend()
			return nil
		}
	}
}

// outcome is what became of a run; nil if it is to be sent again, or was reported before.
func (b *batch) outcome(ctx context.Context, received *runtimev1.BatchOutcome, policy RetryPolicy) *BatchOutcome {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	index, err := strconv.Atoi(received.GetKey())
	run, known := b.pending[index]
	if err != nil || !known {
		return nil // it was sent twice, and its first outcome counts
	}
	outcome := &BatchOutcome{Index: index, Key: run.key}
	if rejected := received.GetRejected(); rejected != nil {
		outcome.Refusal = errorFrom(ctx, status.ErrorProto(rejected))
		if b.retry(ctx, index, run, outcome.Refusal, policy) {
			return nil
		}
	} else {
		response := received.GetOutcome()
		outcome.Result = &Result{
			TaskID: response.GetTaskId(), Status: response.GetStatus(), Outputs: raw(response.GetOutputs()),
			Errors: response.GetErrors(),
		}
	}
	delete(b.pending, index)
	return outcome
}

// retry reports whether a run that was refused for now is sent again, after a pause.
func (b *batch) retry(ctx context.Context, index int, run *pendingRun, refusal *Error, policy RetryPolicy) bool {
	if refusal.Code != codes.Unavailable && (refusal.Code != codes.ResourceExhausted || refusal.RetryAfter == 0) {
		return false
	}
	run.refusals++
	delay, again := policy.delay(run.refusals, refusal.RetryAfter)
	if !again {
		return false
	}
	run.waiting = true
	time.AfterFunc(delay, func() {
		select {
		case b.again <- index:
		case <-ctx.Done():
		}
	})
	return true
}
