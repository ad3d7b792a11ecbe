// Package gateway is the HTTP service that docs/clients/gateway.md describes: a client of the runtime that holds no
// state, and forwards the events of tasks to browsers.
package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

// Settings change how a gateway behaves. The zero value of a field stands for its default.
type Settings struct {
	// Origins may use the gateway from their pages; "*" stands for all. Default: none but the gateway's own.
	Origins []string
	// Forward names headers that are sent on to the server, as metadata. Default: none.
	Forward []string
	// Timeout bounds calls that are answered at once. Default: 30 seconds.
	Timeout time.Duration
	// Heartbeat is how long an event stream is silent before a comment is sent. Default: 15 seconds.
	Heartbeat time.Duration
	// OpenDelay is how long a stream may wait for its first event before it is answered. Default: 200 milliseconds.
	OpenDelay time.Duration
	// MaxBodyBytes bounds the body of a request. Default: 64 MiB.
	MaxBodyBytes int64
}

var errStopping = errors.New("the gateway is shutting down")

// Gateway is the service, an [http.Handler].
type Gateway struct {
	client   *flowgram.Client
	settings Settings
	handler  http.Handler
	stopping context.Context
	stop     context.CancelFunc
}

// New makes a gateway to the server of a client, which stays the caller's to close.
func New(client *flowgram.Client, settings Settings) *Gateway {
	if settings.Timeout == 0 {
		settings.Timeout = 30 * time.Second
	}
	if settings.Heartbeat == 0 {
		settings.Heartbeat = 15 * time.Second
	}
	if settings.OpenDelay == 0 {
		settings.OpenDelay = 200 * time.Millisecond
	}
	if settings.MaxBodyBytes == 0 {
		settings.MaxBodyBytes = 64 << 20
	}
	g := &Gateway{client: client, settings: settings}
	g.stopping, g.stop = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.Handle("/tasks", methods{http.MethodPost: g.run, http.MethodGet: g.list})
	mux.Handle("/tasks/{id}", methods{http.MethodGet: g.result})
	mux.Handle("/tasks/{id}/report", methods{http.MethodGet: g.report})
	mux.Handle("/tasks/{id}/events", methods{http.MethodGet: g.events})
	mux.Handle("/tasks/{id}/cancel", methods{http.MethodPost: g.cancel})
	mux.Handle("/validate", methods{http.MethodPost: g.validate})
	mux.Handle("/info", methods{http.MethodGet: g.info})
	mux.Handle("/healthz", methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
		return writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	}})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, &problem{status: http.StatusNotFound, code: "NOT_FOUND", message: "there is nothing here"})
	})
	g.handler = mux
	return g
}

// ServeHTTP answers a request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if preflight := g.allowOrigin(w, r); preflight {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, g.settings.MaxBodyBytes)
	g.handler.ServeHTTP(w, r.WithContext(g.forward(r)))
}

// Stop ends event streams and waits, so that the HTTP server can shut down; browsers come back to another gateway, or
// to this one when it is started again. Other calls are answered as ever.
func (g *Gateway) Stop() { g.stop() }

// bounded is the context of a call that is answered at once.
func (g *Gateway) bounded(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), g.settings.Timeout)
}

// unbounded is the context of a call that lasts until the client leaves or the gateway stops.
func (g *Gateway) unbounded(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(r.Context())
	unregister := context.AfterFunc(g.stopping, func() { cancel(errStopping) })
	return ctx, func() {
		unregister()
		cancel(nil)
	}
}

// forward is the request's context with the headers that the server gets to see.
func (g *Gateway) forward(r *http.Request) context.Context {
	ctx := r.Context()
	for _, name := range g.settings.Forward {
		for _, value := range r.Header.Values(name) {
			if printable(value) { // gRPC refuses a call with any other
				ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), value)
			}
		}
	}
	return ctx
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// allowOrigin tells a browser what pages of other origins may do, and reports whether that is all it wanted to know.
func (g *Gateway) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin, header := r.Header.Get("Origin"), w.Header()
	all := slices.Contains(g.settings.Origins, "*")
	if len(g.settings.Origins) > 0 && !all {
		header.Add("Vary", "Origin")
	}
	if origin == "" || !all && !slices.Contains(g.settings.Origins, origin) {
		return false
	}
	if all {
		origin = "*"
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", "Location, Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "GET, POST")
	header.Set("Access-Control-Allow-Headers",
		strings.Join(append([]string{"Content-Type", "Last-Event-ID"}, g.settings.Forward...), ", "))
	header.Set("Access-Control-Max-Age", "600")
	return true
}

// methods answers a path by the method of the request; an error becomes a problem.
type methods map[string]func(http.ResponseWriter, *http.Request) error

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handle, known := m[r.Method]
	if !known {
		for method := range m {
			w.Header().Add("Allow", method)
		}
		writeProblem(w, &problem{
			status: http.StatusMethodNotAllowed, code: "METHOD_NOT_ALLOWED", message: "the path has no such method",
		})
		return
	}
	if err := handle(w, r); err != nil {
		writeProblem(w, problemOf(err))
	}
}
