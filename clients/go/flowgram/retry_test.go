package flowgram

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// Pauses grow up to the maximum, keep their upper half to chance, and are never shorter than the server advised.
func TestDelay(t *testing.T) {
	policy := RetryPolicy{Attempts: 5, Initial: 100 * time.Millisecond, Multiplier: 3, Maximum: 500 * time.Millisecond}
	for failures, longest := range []time.Duration{0, 100, 300, 500, 500} {
		if failures == 0 {
			continue
		}
		longest *= time.Millisecond
		for range 100 {
			delay, again := policy.delay(failures, 0)
			if !again || delay < longest/2 || delay > longest {
				t.Fatalf("after %d failures: %v, %t", failures, delay, again)
			}
		}
	}
	if delay, _ := policy.delay(1, 7*time.Second); delay != 7*time.Second {
		t.Errorf("advised were 7s, and not %v", delay)
	}
	if delay, again := policy.delay(5, time.Second); again {
		t.Errorf("a sixth attempt of five, after %v", delay)
	}
	policy.Attempts = 0
	if delay, again := policy.delay(10_000, 0); !again || delay > policy.Maximum {
		t.Errorf("without a limit: %v, %t", delay, again)
	}
}

func TestPoliciesThatAreNone(t *testing.T) {
	for _, policy := range []RetryPolicy{
		{Attempts: -1, Multiplier: 1},
		{Initial: -1, Multiplier: 1},
		{Maximum: -1, Multiplier: 1},
		{Multiplier: 0.5},
	} {
		if policy.check() == nil {
			t.Errorf("%+v was taken", policy)
		}
	}
}

// Whether a stream is opened again, by what it ended with: before anything came; after that, as the first failure in a
// row, and as a later one.
func TestMayResume(t *testing.T) {
	client := &Client{}
	for name, test := range map[string]struct {
		failure  Error
		expected [3]bool
	}{
		"away":       {Error{Code: codes.Unavailable}, [3]bool{true, true, true}},
		"behind":     {Error{Code: codes.ResourceExhausted, Reason: "WATCH_BEHIND"}, [3]bool{true, true, true}},
		"cut off":    {Error{Code: codes.Canceled}, [3]bool{true, true, true}},
		"full":       {Error{Code: codes.ResourceExhausted, Reason: "TOO_MANY", RetryAfter: 1}, [3]bool{false, true, true}},
		"broken off": {Error{Code: codes.Internal}, [3]bool{false, true, true}},
		"unknown":    {Error{Code: codes.Unknown}, [3]bool{false, true, true}},
		"expired":    {Error{Code: codes.Unauthenticated, Reason: "CREDENTIALS_INVALID"}, [3]bool{false, true, false}},
		"defect":     {Error{Code: codes.Internal, Reason: "INTERNAL"}, [3]bool{}},
		"unfit":      {Error{Code: codes.NotFound, Reason: "TASK_NOT_FOUND"}, [3]bool{}},
	} {
		found := [3]bool{
			client.mayResume(t.Context(), &test.failure, false, 0),
			client.mayResume(t.Context(), &test.failure, true, 0),
			client.mayResume(t.Context(), &test.failure, true, 3),
		}
		if found != test.expected {
			t.Errorf("%s: %v", name, found)
		}
	}
}
