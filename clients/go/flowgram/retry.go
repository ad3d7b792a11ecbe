package flowgram

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// RetryPolicy says when a call that found the server unavailable is made again: with pauses that grow exponentially,
// and whose upper half is left to chance, so that the clients of a server that restarts do not return all at once.
type RetryPolicy struct {
	// Attempts is how often a call is made in all, without progress between; 1 never repeats, 0 never gives up.
	Attempts int
	// Initial is the longest pause after the first failure.
	Initial time.Duration
	// Multiplier is how much longer each further pause may be.
	Multiplier float64
	// Maximum is what no pause exceeds, except where the server asks for more.
	Maximum time.Duration
}

// DefaultRetry is for calls that are answered at once: it gives up after about a second and a half.
func DefaultRetry() RetryPolicy {
	return RetryPolicy{Attempts: 5, Initial: 100 * time.Millisecond, Multiplier: 2, Maximum: 5 * time.Second}
}

// DefaultReconnect is for watches and waits: it gives up after about half a minute, the time that a server may take
// to restart.
func DefaultReconnect() RetryPolicy {
	policy := DefaultRetry()
	policy.Attempts = 12
	return policy
}

func (p RetryPolicy) check() error {
	if p.Attempts < 0 || p.Initial < 0 || p.Maximum < 0 || !(p.Multiplier >= 1) {
		return fmt.Errorf("flowgram: %+v is no retry policy: nothing in it is negative, and Multiplier is at least 1", p)
	}
	return nil
}

// delay is the pause after so many failures in a row (1, 2, …), at least what the server advised; false to give up.
func (p RetryPolicy) delay(failures int, advice time.Duration) (time.Duration, bool) {
	if p.Attempts > 0 && failures >= p.Attempts {
		return 0, false
	}
	longest := min(float64(p.Maximum), float64(p.Initial)*math.Pow(p.Multiplier, float64(failures-1)))
	return max(time.Duration(longest*(0.5+rand.Float64()/2)), advice), true
}

// pause waits until the call may be made again. It returns what to give up with: the failure, if the policy or the
// deadline leave no room for another attempt, or the end of the context.
func (p RetryPolicy) pause(ctx context.Context, failures int, failure *Error) error {
	delay, again := p.delay(failures, failure.RetryAfter)
	if !again {
		return failure
	}
	if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) <= delay {
		return failure
	}
	return sleep(ctx, delay)
}

func sleep(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}
