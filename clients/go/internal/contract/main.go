// Contract makes the calls of the client that it reads from stdin, and writes what comes of them to stdout, one JSON
// object per line. The tests that all clients have in common drive it; tests/clients/runner.py says how they speak.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: contract HOST:PORT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "contract:", err)
		os.Exit(1)
	}
}

// command is a line of stdin: a call, or a word about one that is under way.
type command struct {
	ID        int               `json:"id"`
	Call      string            `json:"call"`
	Arguments arguments         `json:"arguments"`
	Timeout   float64           `json:"timeout"` // seconds; 0 for none
	Metadata  map[string]string `json:"metadata"`

	Demand int  `json:"demand"` // so many more events of a watch are wanted
	Cancel bool `json:"cancel"`
}

type arguments struct {
	TaskID      string            `json:"task_id"`
	Schema      string            `json:"schema"`
	Inputs      string            `json:"inputs"`
	RequestID   string            `json:"request_id"`
	TaskTimeout float64           `json:"task_timeout"` // seconds
	Labels      map[string]string `json:"labels"`
	Name        string            `json:"name"`
	Runs        [][2]string       `json:"runs"` // a key and inputs each
	Statuses    []flowgram.Status `json:"statuses"`
	PageSize    int32             `json:"page_size"`
	Reason      string            `json:"reason"`
	Basic       bool              `json:"basic"`
	After       int64             `json:"after"`
	Deltas      bool              `json:"deltas"`
}

// running is a call under way.
type running struct {
	cancel context.CancelFunc
	demand chan int
}

// run performs all commands, and returns when stdin has ended.
func run(target string, in io.Reader, out io.Writer) error {
	client, err := flowgram.Dial(target)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := context.WithCancel(context.Background())
	lines := writer{encoder: json.NewEncoder(out)}
	calls := map[int]running{}
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	for decoder := json.NewDecoder(bufio.NewReader(in)); ; {
		var received command
		if err := decoder.Decode(&received); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if call, known := calls[received.ID]; known {
			if received.Cancel {
				call.cancel()
			}
			if received.Demand > 0 {
				call.demand <- received.Demand
			}
			continue
		}
		callCtx, cancel := bound(ctx, received)
		call := running{cancel, make(chan int, 1024)}
		calls[received.ID] = call
		group.Go(func() {
			defer cancel()
			result, err := perform(callCtx, client, received, call.demand, lines.write)
			line := map[string]any{"id": received.ID}
			if err != nil {
				line["error"] = shapeError(err)
			} else {
				line["result"] = result
			}
			lines.write(line)
		})
	}
}

func bound(ctx context.Context, received command) (context.Context, context.CancelFunc) {
	for key, value := range received.Metadata {
		ctx = metadata.AppendToOutgoingContext(ctx, key, value)
	}
	if received.Timeout > 0 {
		return context.WithTimeout(ctx, seconds(received.Timeout))
	}
	return context.WithCancel(ctx)
}

func perform(
	ctx context.Context, client *flowgram.Client, received command, demand <-chan int, write func(map[string]any),
) (any, error) {
	switch a := received.Arguments; received.Call {
	case "run":
		return client.Run(ctx, a.runRequest())
	case "run_and_wait":
		return shapeResult(client.RunAndWait(ctx, a.runRequest()))
	case "result":
		return shapeResult(client.Result(ctx, a.TaskID))
	case "wait":
		return shapeResult(client.Wait(ctx, a.TaskID))
	case "report":
		return shapeReport(client.Report(ctx, a.TaskID, a.view()))
	case "cancel":
		return client.Cancel(ctx, a.TaskID, a.Reason)
	case "validate":
		validation, err := client.Validate(ctx, json.RawMessage(a.Schema), json.RawMessage(a.Inputs))
		return map[string][][2]string{
			"violations": shapeViolations(validation.Violations), "warnings": shapeViolations(validation.Warnings),
		}, err
	case "get":
		return shapeTask(client.Get(ctx, a.TaskID))
	case "run_batch":
		return runBatch(ctx, client, a)
	case "list":
		ids := []string{}
		request := flowgram.ListRequest{Statuses: a.Statuses, Labels: a.Labels, PageSize: a.PageSize}
		for task, err := range client.List(ctx, request) {
			if err != nil {
				return nil, err
			}
			ids = append(ids, task.GetTaskId())
		}
		return ids, nil
	case "info":
		info, err := client.Info(ctx)
		return map[string]any{"name": info.GetName(), "node_types": info.GetNodeTypes()}, err
	case "watch":
		return nil, watch(ctx, client, received, demand, write)
	case "watch_tasks":
		return nil, watchTasks(ctx, client, received, demand, write)
	default:
		return nil, fmt.Errorf("there is no call %q", received.Call)
	}
}

// watch reads an event only when one is wanted.
func watch(
	ctx context.Context, client *flowgram.Client, received command, demand <-chan int, write func(map[string]any),
) error {
	options := []flowgram.WatchOption{
		flowgram.WithAfterSequence(received.Arguments.After), flowgram.WithView(received.Arguments.view()),
	}
	if received.Arguments.Deltas {
		options = append(options, flowgram.WithDeltas())
	}
	await := awaiting(ctx, demand)
	if err := await(); err != nil {
		return err
	}
	for event, err := range client.Watch(ctx, received.Arguments.TaskID, options...) {
		if err != nil {
			return err
		}
		write(map[string]any{"id": received.ID, "event": shapeEvent(event)})
		if err := await(); err != nil {
			return err
		}
	}
	return nil
}

// watchTasks gives the tasks that there are whenever the watch is live, and those that change.
func watchTasks(
	ctx context.Context, client *flowgram.Client, received command, demand <-chan int, write func(map[string]any),
) error {
	await := awaiting(ctx, demand)
	if err := await(); err != nil {
		return err
	}
	filter := flowgram.ListRequest{Labels: received.Arguments.Labels}
	for change, err := range client.WatchTasks(ctx, filter) {
		if err != nil {
			return err
		}
		tasks := change.Tasks
		if change.Live {
			for task, err := range client.List(ctx, filter) {
				if err != nil {
					return err
				}
				tasks = append(tasks, task)
			}
		}
		for _, task := range tasks {
			event := map[string]any{"task_id": task.GetTaskId(), "status": statusName(task.GetStatus())}
			write(map[string]any{"id": received.ID, "event": event})
			if err := await(); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaiting waits until one more event is wanted.
func awaiting(ctx context.Context, demand <-chan int) func() error {
	wanted := 0
	return func() error {
		for wanted == 0 {
			select {
			case more := <-demand:
				wanted += more
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		wanted--
		return nil
	}
}

func runBatch(ctx context.Context, client *flowgram.Client, a arguments) (any, error) {
	runs := func(yield func(flowgram.BatchRun) bool) {
		for _, run := range a.Runs {
			if !yield(flowgram.BatchRun{Key: run[0], Inputs: json.RawMessage(run[1])}) {
				return
			}
		}
	}
	outcomes := []map[string]any{}
	for outcome, err := range client.RunBatch(ctx, flowgram.BatchRequest{RunRequest: a.runRequest()}, runs) {
		if err != nil {
			return nil, err
		}
		shape := map[string]any{"key": outcome.Key, "result": nil, "refusal": ""}
		if outcome.Refusal != nil {
			shape["refusal"] = outcome.Refusal.Reason
		} else if shape["result"], err = shapeResult(outcome.Result, nil); err != nil {
			return nil, err
		}
		outcomes = append(outcomes, shape)
	}
	return outcomes, nil
}

func (a arguments) runRequest() flowgram.RunRequest {
	return flowgram.RunRequest{
		Schema:      json.RawMessage(a.Schema),
		Inputs:      json.RawMessage(a.Inputs),
		RequestID:   a.RequestID,
		TaskTimeout: seconds(a.TaskTimeout),
		Labels:      a.Labels,
		DisplayName: a.Name,
	}
}

func (a arguments) view() flowgram.View {
	if a.Basic {
		return flowgram.ViewBasic
	}
	return flowgram.ViewFull
}

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }

// writer writes whole lines.
type writer struct {
	mutex   sync.Mutex
	encoder *json.Encoder
}

func (w *writer) write(line map[string]any) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if err := w.encoder.Encode(line); err != nil {
		fmt.Fprintln(os.Stderr, "contract:", err)
	}
}
