package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// So many times the limit is read of a body that is too large: a client that still sends may not see the answer.
	discardedBodies = 4
	chunkBytes      = 64 << 10
)

// readAll reads a body that is bounded in size and in time: something must come in every ReadTimeout, and after the
// first one on average MinReadRate bytes per second.
func (g *Gateway) readAll(w http.ResponseWriter, r *http.Request, share *share, limit int64) ([]byte, error) {
	control := http.NewResponseController(w)
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	began := time.Now()
	var body []byte
	var size int64
	chunk := make([]byte, chunkBytes)
	for {
		now := time.Now()
		deadline := now.Add(g.settings.ReadTimeout)
		byRate := began.Add(g.settings.ReadTimeout +
			time.Duration(float64(size)/float64(g.settings.MinReadRate)*float64(time.Second)))
		if byRate.Before(deadline) {
			deadline = byRate
		}
		if err := control.SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return nil, err
		}
		n, err := r.Body.Read(chunk)
		size += int64(n)
		switch {
		case size > limit:
			body = nil
			share.close()
		case !share.take(int64(n)):
			return nil, &problem{
				status: http.StatusServiceUnavailable, code: "OVERLOADED",
				message: "too many large requests at once: try again", retryAfter: time.Second,
			}
		default:
			body = append(body, chunk[:n]...)
		}
		switch {
		case size > limit*discardedBodies || size > limit && err != nil:
			return nil, &problem{
				status: http.StatusRequestEntityTooLarge, code: "BODY_TOO_LARGE",
				message: fmt.Sprintf("the body of the request has more than %d bytes", limit),
			}
		case errors.Is(err, io.EOF):
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			w.Header().Set("Connection", "close")
			return nil, &problem{
				status: http.StatusRequestTimeout, code: "BODY_TIMED_OUT",
				message: "the body of the request did not come in time",
			}
		case err != nil:
			return nil, invalid("the body did not come to its end")
		}
	}
}

// budget bounds the bytes of all bodies that are held at once.
type budget struct {
	mutex sync.Mutex
	left  int64
}

// share is what one request holds of a budget.
type share struct {
	budget *budget
	bytes  int64
}

func (b *budget) open() *share { return &share{budget: b} }

// take reports whether there is room for so much more, which is held then.
func (s *share) take(bytes int64) bool {
	s.budget.mutex.Lock()
	defer s.budget.mutex.Unlock()
	if s.budget.left < bytes {
		return false
	}
	s.budget.left -= bytes
	s.bytes += bytes
	return true
}

// close gives all back.
func (s *share) close() {
	s.budget.mutex.Lock()
	defer s.budget.mutex.Unlock()
	s.budget.left += s.bytes
	s.bytes = 0
}
