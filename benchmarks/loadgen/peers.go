package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

// peers are what is put under load: this service, and the reference engine behind an HTTP server.
type peers struct {
	client    *flowgram.Client
	health    grpc_health_v1.HealthClient
	reference string
	http      *http.Client
}

func connect(target, reference string) (*peers, error) {
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	client, err := flowgram.NewFromConn(connection)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 1024
	return &peers{
		client:    client,
		health:    grpc_health_v1.NewHealthClient(connection),
		reference: reference,
		http:      &http.Client{Transport: transport},
	}, nil
}

// inFlight keeps so many calls in flight, and gives how many have ended. It stops at the first error.
func inFlight(count int, until time.Time, call func() error) (int, error) {
	var done atomic.Int64
	var failure atomic.Pointer[error]
	var workers sync.WaitGroup
	for range count {
		workers.Go(func() {
			for time.Now().Before(until) && failure.Load() == nil {
				if err := call(); err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				done.Add(1)
			}
		})
	}
	workers.Wait()
	if err := failure.Load(); err != nil {
		return int(done.Load()), *err
	}
	return int(done.Load()), nil
}

func (p *peers) empty(ctx context.Context, _ Order) error {
	_, err := p.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return err
}

func (p *peers) task(ctx context.Context, order Order) error {
	result, err := p.client.RunAndWait(ctx, flowgram.RunRequest{Schema: order.Schema, Inputs: order.Inputs})
	if err != nil {
		return err
	}
	return result.Err()
}

// batch runs a workflow until then, each time with the inputs of the order as inputs of its own, as rows of a file would have them.
func (p *peers) batch(ctx context.Context, order Order, until time.Time) (int, error) {
	var runs iter.Seq[flowgram.BatchRun] = func(yield func(flowgram.BatchRun) bool) {
		for number := 0; time.Now().Before(until); number++ {
			if !yield(flowgram.BatchRun{Key: strconv.Itoa(number), Inputs: order.Inputs}) {
				return
			}
		}
	}
	request := flowgram.BatchRequest{
		RunRequest: flowgram.RunRequest{Schema: order.Schema}, MaxInFlight: int32(order.InFlight),
	}
	done := 0
	for outcome, err := range p.client.RunBatch(ctx, request, runs) {
		if err != nil {
			return done, err
		}
		if outcome.Refusal != nil {
			return done, outcome.Refusal
		}
		if err := outcome.Result.Err(); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

func (p *peers) runReference(ctx context.Context, order Order) error {
	body, err := json.Marshal(map[string]json.RawMessage{"schema": order.Schema, "inputs": order.Inputs})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.reference, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := p.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the reference engine: %s: %s", response.Status, answer)
	}
	return nil
}

// watch begins tasks at a fixed rate and follows each to its end; it gives how long events took to arrive that came after
// the watch was open.
func (p *peers) watch(ctx context.Context, order Order, until time.Time) (int, []float64, error) {
	var lock sync.Mutex
	var delays []float64
	var failure error
	done := 0
	follow := func() {
		seen, err := p.follow(ctx, order)
		lock.Lock()
		defer lock.Unlock()
		if err != nil {
			failure = err
			return
		}
		done++
		delays = append(delays, seen...)
	}
	var following sync.WaitGroup
	ticker := time.NewTicker(time.Second / time.Duration(order.PerSecond))
	defer ticker.Stop()
	for time.Now().Before(until) {
		<-ticker.C
		following.Go(follow)
	}
	following.Wait()
	return done, delays, failure
}

func (p *peers) follow(ctx context.Context, order Order) ([]float64, error) {
	taskID, err := p.client.Run(ctx, flowgram.RunRequest{Schema: order.Schema, Inputs: order.Inputs})
	if err != nil {
		return nil, err
	}
	var opened time.Time
	var delays []float64
	for event, err := range p.client.Watch(ctx, taskID) {
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if opened.IsZero() {
			opened = now
		}
		if at := event.GetTime().AsTime(); at.After(opened) {
			delays = append(delays, float64(now.Sub(at).Microseconds())/1000)
		}
	}
	return delays, nil
}
