package flowgram_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
	"github.com/flowgram/flowgram-server/clients/go/internal/scripted"
)

// withServer runs a test with a client of a scripted server in a bubble: time passes at once while all wait, and no
// goroutine may be left at the end.
func withServer(t *testing.T, server *scripted.Server, test func(*testing.T, context.Context, *flowgram.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server.Start()
		defer server.Stop()
		client, err := flowgram.Dial("passthrough:///scripted",
			flowgram.WithDialOptions(server.Dialer()), flowgram.WithMetadata("tenant", "blue"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		test(t, t.Context(), client)
	})
}

func sequences(events []*flowgram.Event) []int64 {
	all := make([]int64, len(events))
	for i, event := range events {
		all[i] = event.GetSequence()
	}
	return all
}

func collect(watch func(func(*flowgram.Event, error) bool)) ([]*flowgram.Event, error) {
	var events []*flowgram.Event
	for event, err := range watch {
		if err != nil {
			return events, err
		}
		events = append(events, event)
	}
	return events, nil
}
