// The load generator of the benchmarks: keeps runs in flight, and is the upstream that http and llm nodes call.
//
//	loadgen -grpc HOST:PORT -reference URL
//
// The first line of its output is the address of the upstream. Then each line of the input is a JSON object that says what to
// do, and each line of the output what came of it; see [Order] and [Outcome].
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"
)

// Order is what to do.
type Order struct {
	// Mode is "task" (TaskRun with wait), "batch" (TaskRunBatch), "reference" (the reference engine over HTTP), "empty" (the health
	// service's Check), or "watch" (tasks that are followed).
	Mode     string          `json:"mode"`
	Schema   json.RawMessage `json:"schema"`
	Inputs   json.RawMessage `json:"inputs"`
	Seconds  float64         `json:"seconds"`
	InFlight int             `json:"in_flight"`
	// PerSecond is how many tasks are begun in a second, where they are followed.
	PerSecond int `json:"per_second"`
}

// Outcome is what came of it.
type Outcome struct {
	Done    int     `json:"done"`
	Seconds float64 `json:"seconds"`
	// Error is the first one: of a call, or of a task that did not succeed.
	Error string `json:"error,omitempty"`
	// Delays are in milliseconds, from the time of an event to its arrival; of mode "watch" only.
	Delays []float64 `json:"delays,omitempty"`
}

func main() {
	log.SetFlags(0)
	target := flag.String("grpc", "", "where the service listens, HOST:PORT")
	reference := flag.String("reference", "", "where the reference engine listens, a URL")
	flag.Parse()
	upstream, err := serveUpstream()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(upstream)
	peers, err := connect(*target, *reference)
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var order Order
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			log.Fatal(err)
		}
		outcome, err := peers.carryOut(context.Background(), order)
		if err != nil {
			outcome.Error = err.Error()
		}
		if err := output.Encode(outcome); err != nil {
			log.Fatal(err)
		}
	}
}

func (p *peers) carryOut(ctx context.Context, order Order) (Outcome, error) {
	duration := time.Duration(order.Seconds * float64(time.Second))
	began := time.Now()
	until := began.Add(duration)
	var outcome Outcome
	var err error
	switch order.Mode {
	case "batch":
		outcome.Done, err = p.batch(ctx, order, until)
	case "watch":
		outcome.Done, outcome.Delays, err = p.watch(ctx, order, until)
	default:
		call := map[string]func(context.Context, Order) error{
			"task": p.task, "reference": p.runReference, "empty": p.empty,
		}[order.Mode]
		if call == nil {
			return outcome, fmt.Errorf("there is no mode %q", order.Mode)
		}
		outcome.Done, err = inFlight(order.InFlight, until, func() error { return call(ctx, order) })
	}
	outcome.Seconds = time.Since(began).Seconds()
	return outcome, err
}
