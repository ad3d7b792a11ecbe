package flowgram_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
	"github.com/flowgram/flowgram-server/clients/go/internal/scripted"
)

// rows are so many runs, whose inputs say which.
func rows(count int) iter.Seq[flowgram.BatchRun] {
	return func(yield func(flowgram.BatchRun) bool) {
		for i := range count {
			row := flowgram.BatchRun{Key: fmt.Sprint("k", i), Inputs: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))}
			if !yield(row) {
				return
			}
		}
	}
}

// done is the outcome of a run that gives its inputs back.
func done(run *runtimev1.BatchRun) *runtimev1.BatchOutcome {
	return &runtimev1.BatchOutcome{Key: run.GetKey(), Result: &runtimev1.BatchOutcome_Outcome{Outcome: &runResponse{
		TaskId: run.GetRequest().GetRequestId(), Status: succeeded, Outputs: run.GetRequest().GetInputs(),
	}}}
}

func rejected(run *runtimev1.BatchRun, refusal error) *runtimev1.BatchOutcome {
	return &runtimev1.BatchOutcome{
		Key: run.GetKey(), Result: &runtimev1.BatchOutcome_Rejected{Rejected: status.Convert(refusal).Proto()},
	}
}

// each answers every run of a stream, to its end.
func each(stream scripted.BatchStream, answer func(*runtimev1.BatchRun) *runtimev1.BatchOutcome) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		response := &runtimev1.TaskRunBatchResponse{}
		for _, run := range request.GetRuns() {
			if outcome := answer(run); outcome != nil {
				response.Outcomes = append(response.Outcomes, outcome)
			}
		}
		if len(response.GetOutcomes()) > 0 {
			if err := stream.Send(response); err != nil {
				return err
			}
		}
	}
}

// collectBatch gives the indices of all outcomes, sorted; each must be of the run that it names.
func collectBatch(t *testing.T, outcomes iter.Seq2[*flowgram.BatchOutcome, error]) ([]int, error) {
	t.Helper()
	var indices []int
	for outcome, err := range outcomes {
		if err != nil {
			return indices, err
		}
		if outcome.Key != fmt.Sprint("k", outcome.Index) {
			t.Error(outcome)
		}
		if outcome.Refusal == nil && string(outcome.Result.Outputs) != fmt.Sprintf(`{"n":%d}`, outcome.Index) {
			t.Error(outcome.Result)
		}
		indices = append(indices, outcome.Index)
	}
	slices.Sort(indices)
	return indices, nil
}

func upTo(count int) []int {
	all := make([]int, count)
	for i := range all {
		all[i] = i
	}
	return all
}

// On a new stream the runs without an outcome are sent in order, and once: also one that waits to be sent again.
func TestBatchOnANewStream(t *testing.T) {
	streams := 0
	var keys []string
	server := &scripted.Server{OnBatch: func(stream scripted.BatchStream) error {
		streams++
		var runs []*runtimev1.BatchRun
		for len(runs) < 8 {
			request, err := stream.Recv()
			if err != nil {
				return err
			}
			runs = append(runs, request.GetRuns()...)
		}
		response := &runtimev1.TaskRunBatchResponse{}
		if streams == 1 {
			refusal := scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", 10*time.Second)
			response.Outcomes = append(response.Outcomes, rejected(runs[3], refusal))
			_ = stream.Send(response)
			return scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", 0)
		}
		time.Sleep(20 * time.Second) // the wait of the refused run ends
		for _, run := range runs {
			keys = append(keys, run.GetKey())
			response.Outcomes = append(response.Outcomes, done(run))
		}
		_ = stream.Send(response)
		if request, err := stream.Recv(); err == nil {
			t.Error("sent again:", request)
		}
		return nil
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		indices, err := collectBatch(t, client.RunBatch(ctx, flowgram.BatchRequest{}, rows(8)))
		if err != nil || !slices.Equal(indices, upTo(8)) {
			t.Error(indices, err)
		}
	})
	if !slices.IsSorted(keys) || len(keys) != 8 || streams != 2 {
		t.Error(keys, streams)
	}
}

// Each outcome begins the count of failures anew.
func TestBatchGoesOnWithProgress(t *testing.T) {
	server := &scripted.Server{OnBatch: func(stream scripted.BatchStream) error {
		for {
			request, err := stream.Recv()
			if err != nil {
				return err
			}
			if runs := request.GetRuns(); len(runs) > 0 {
				outcomes := []*runtimev1.BatchOutcome{done(runs[0])}
				_ = stream.Send(&runtimev1.TaskRunBatchResponse{Outcomes: outcomes})
				return scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", 0)
			}
		}
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		indices, err := collectBatch(t, client.RunBatch(ctx, flowgram.BatchRequest{}, rows(30)))
		if err != nil || !slices.Equal(indices, upTo(30)) {
			t.Error(indices, err)
		}
	})
}

// A run that a limit keeps out is an outcome at once where the server does not advise to try again.
func TestBatchRefusalsWithoutAdvice(t *testing.T) {
	tries := 0
	server := &scripted.Server{OnBatch: func(stream scripted.BatchStream) error {
		return each(stream, func(run *runtimev1.BatchRun) *runtimev1.BatchOutcome {
			tries++
			return rejected(run, scripted.Refusal(codes.ResourceExhausted, "MESSAGE_TOO_LARGE", 0))
		})
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		indices, err := collectBatch(t, client.RunBatch(ctx, flowgram.BatchRequest{}, rows(1)))
		if err != nil || len(indices) != 1 || tries != 1 {
			t.Error(indices, err, tries)
		}
	})
}

// Messages are bounded by the number of their runs and by their size.
func TestBatchMessages(t *testing.T) {
	var sizes []int
	server := &scripted.Server{OnBatch: func(stream scripted.BatchStream) error {
		for {
			request, err := stream.Recv()
			if err != nil {
				return nil
			}
			sizes = append(sizes, len(request.GetRuns()))
			response := &runtimev1.TaskRunBatchResponse{}
			for _, run := range request.GetRuns() {
				response.Outcomes = append(response.Outcomes, rejected(run, scripted.Refusal(codes.NotFound, "", 0)))
			}
			if err := stream.Send(response); err != nil {
				return nil
			}
		}
	}}
	large := json.RawMessage(`{"text":"` + strings.Repeat("x", 600_000) + `"}`)
	for most, runs := range map[int]iter.Seq[flowgram.BatchRun]{
		64: rows(200),
		2:  slices.Values([]flowgram.BatchRun{{Key: "k0", Inputs: large}, {Key: "k1", Inputs: large}, {Key: "k2", Inputs: large}}),
	} {
		withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
			sizes = nil
			outcomes := client.RunBatch(ctx, flowgram.BatchRequest{}, runs)
			if _, err := collectBatch(t, outcomes); err != nil || slices.Max(sizes) > most {
				t.Error(err, sizes)
			}
		})
	}
}

// Every run has one outcome, and no more runs are under way than may be.
func TestRunBatch(t *testing.T) {
	var taken, takenWhenFull int
	counted := func(yield func(flowgram.BatchRun) bool) {
		for run := range rows(100) {
			taken++
			if !yield(run) {
				return
			}
		}
	}
	server := &scripted.Server{OnBatch: func(stream scripted.BatchStream) error {
		first, err := stream.Recv()
		if err != nil || first.GetDefaults().GetSchema() != "{}" || first.GetDefaults().GetRequestId() != "" ||
			first.GetMaxInFlight() != 10 {
			t.Error(first, err)
		}
		var held []*runtimev1.BatchOutcome
		return each(stream, func(run *runtimev1.BatchRun) *runtimev1.BatchOutcome {
			held = append(held, done(run))
			if len(held) < 10 && run.GetKey() != "99" {
				return nil
			}
			if takenWhenFull == 0 {
				synctest.Wait() // until nothing more comes
				takenWhenFull = taken
			}
			// the oldest go, in another order than they came
			slices.Reverse(held)
			_ = stream.Send(&runtimev1.TaskRunBatchResponse{Outcomes: held})
			held = nil
			return nil
		})
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		request := flowgram.BatchRequest{RunRequest: flowgram.RunRequest{Schema: json.RawMessage("{}")}, MaxInFlight: 10}
		indices, err := collectBatch(t, client.RunBatch(ctx, request, counted))
		if err != nil || !slices.Equal(indices, upTo(100)) {
			t.Error(indices, err)
		}
		if takenWhenFull != 11 { // one waits for its place
			t.Error(takenWhenFull)
		}
		indices, err = collectBatch(t, client.RunBatch(ctx, request, rows(0)))
		if err != nil || len(indices) != 0 {
			t.Error(indices, err)
		}
	})
}

// A batch goes on over broken streams with the runs that have no outcome, under the same request ids.
func TestBatchGoesOn(t *testing.T) {
	var mutex sync.Mutex // a stream that broke may still be served when the next one begins
	ids := map[string]string{}
	streams := 0
	server := &scripted.Server{OnBatch: func(stream scripted.BatchStream) error {
		mutex.Lock()
		streams++
		breaks, answered := streams <= 3, 0
		mutex.Unlock()
		return each(stream, func(run *runtimev1.BatchRun) *runtimev1.BatchOutcome {
			mutex.Lock()
			defer mutex.Unlock()
			id := run.GetRequest().GetRequestId()
			if known, seen := ids[run.GetKey()]; seen && known != id || id == "" {
				t.Error(run, known)
			}
			ids[run.GetKey()] = id
			if answered++; answered > 7 && breaks {
				return nil // this stream breaks before it has answered all
			}
			return done(run)
		})
	}}
	server.OnBatch = breaking(server.OnBatch)
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		request := flowgram.BatchRequest{RunRequest: flowgram.RunRequest{RequestID: "b"}, MaxInFlight: 16}
		indices, err := collectBatch(t, client.RunBatch(ctx, request, rows(60)))
		if err != nil || !slices.Equal(indices, upTo(60)) || streams < 2 || ids["59"] != "b/59" {
			t.Error(indices, err, streams, ids["59"])
		}
	})
}

// breaking ends the first streams of a server after a moment, whatever they do.
func breaking(serve func(scripted.BatchStream) error) func(scripted.BatchStream) error {
	streams := 0
	return func(stream scripted.BatchStream) error {
		if streams++; streams > 3 {
			return serve(stream)
		}
		ended := make(chan error, 1)
		go func() { ended <- serve(stream) }()
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Second):
			return scripted.Refusal(codes.Unavailable, "SHUTTING_DOWN", 0)
		}
	}
}

// A run that is refused is an outcome; one that is refused for now is sent again until its attempts are used up.
func TestBatchRefusals(t *testing.T) {
	tries := map[string]int{}
	server := &scripted.Server{OnBatch: func(stream scripted.BatchStream) error {
		return each(stream, func(run *runtimev1.BatchRun) *runtimev1.BatchOutcome {
			tries[run.GetKey()]++
			switch {
			case run.GetKey() == "0":
				return rejected(run, scripted.Refusal(codes.InvalidArgument, "INPUTS_INVALID", 0))
			case run.GetKey() == "1" && tries["1"] < 3:
				return rejected(run, scripted.Refusal(codes.ResourceExhausted, "TOO_MANY_TASKS", 2*time.Second))
			case run.GetKey() == "2":
				return rejected(run, scripted.Refusal(codes.Unavailable, "STORAGE_UNAVAILABLE", 0))
			default:
				return done(run)
			}
		})
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		refusals := map[int]*flowgram.Error{}
		for outcome, err := range client.RunBatch(ctx, flowgram.BatchRequest{}, rows(4)) {
			if err != nil {
				t.Fatal(err)
			}
			refusals[outcome.Index] = outcome.Refusal
		}
		if len(refusals) != 4 || !errors.Is(refusals[0], flowgram.ErrInvalidWorkflow) || refusals[1] != nil ||
			!errors.Is(refusals[2], flowgram.ErrUnavailable) || refusals[3] != nil {
			t.Error(refusals)
		}
		if tries["0"] != 1 || tries["1"] != 3 || tries["2"] != flowgram.DefaultReconnect().Attempts {
			t.Error(tries)
		}
	})
}

// A batch that the server refuses as a whole ends with the error; so does one that its context ends.
func TestBatchGivesUp(t *testing.T) {
	server := &scripted.Server{OnBatch: func(stream scripted.BatchStream) error {
		if first, _ := stream.Recv(); first.GetMaxInFlight() == 1 {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		return scripted.Refusal(codes.InvalidArgument, "ARGUMENT_INVALID", 0)
	}}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		if _, err := collectBatch(t, client.RunBatch(ctx, flowgram.BatchRequest{}, rows(3))); !errors.Is(err, flowgram.ErrInvalidArgument) {
			t.Error(err)
		}
		bounded, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := collectBatch(t, client.RunBatch(bounded, flowgram.BatchRequest{MaxInFlight: 1}, rows(3)))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// Leaving the loop ends the batch on the server, and takes no further runs.
func TestLeavingABatch(t *testing.T) {
	var left chan struct{}
	var taken atomic.Int32
	server := &scripted.Server{OnBatch: func(stream scripted.BatchStream) error {
		defer close(left)
		return each(stream, done)
	}}
	endless := func(yield func(flowgram.BatchRun) bool) {
		for yield(flowgram.BatchRun{}) {
			taken.Add(1)
		}
	}
	withServer(t, server, func(t *testing.T, ctx context.Context, client *flowgram.Client) {
		left = make(chan struct{})
		for range client.RunBatch(ctx, flowgram.BatchRequest{MaxInFlight: 4}, endless) {
			break
		}
		<-left
		if taken.Load() > 20 {
			t.Error(taken.Load())
		}
	})
}
