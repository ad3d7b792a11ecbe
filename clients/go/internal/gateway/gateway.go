// Package gateway is the HTTP API that docs/rest.md describes: a client of the runtime that holds no state, speaks the API
// of FlowGram's editor, and forwards the events of tasks to browsers.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

// Loopback stands among origins for every one on this machine.
const Loopback = "loopback"

// Settings change how a gateway behaves. The zero value of a field stands for its default.
type Settings struct {
	// Origins may use the gateway from their pages; "*" stands for all, [Loopback] for those on this machine. Default:
	// none but the gateway's own.
	Origins []string
	// Hosts are names in a Host header that are answered, beside those of this machine; "*" stands for all.
	Hosts []string
	// Listen is the host that the gateway listens on, whose name is answered too.
	Listen string
	// Forward names headers that are sent on to the server, as metadata. Default: none.
	Forward []string
	// Timeout bounds calls that are answered at once. Default: 30 seconds.
	Timeout time.Duration
	// Heartbeat is how long an event stream is silent before a comment is sent. Default: 15 seconds.
	Heartbeat time.Duration
	// OpenDelay is how long a stream may wait for its first event before it is answered. Default: 1 second.
	OpenDelay time.Duration
	// MaxBodyBytes bounds the body of a request. Default: 48 MiB.
	MaxBodyBytes int64
	// MaxBodiesBytes bounds all bodies that are read at once. Default: 256 MiB.
	MaxBodiesBytes int64
	// ReadTimeout is how long a body may pause. Default: 10 seconds.
	ReadTimeout time.Duration
	// MinReadRate is how many bytes per second must come of a body on average. Default: 8192.
	MinReadRate int64
	// Audit is notified of the requests that the gateway itself refuses; nil: nobody is.
	Audit *AuditLog
	// WriteTimeout is how long a client of a stream may read nothing while something waits for it. Default: a minute.
	WriteTimeout time.Duration
}

var errStopping = errors.New("the gateway is shutting down")

// Gateway is the service, an [http.Handler].
type Gateway struct {
	client   *flowgram.Client
	settings Settings
	handler  http.Handler
	bodies   *budget
	sessions *sessions
	stopping context.Context
	stop     context.CancelFunc
}

// New makes a gateway to the server of a client, which stays the caller's to close.
func New(client *flowgram.Client, settings Settings) *Gateway {
	settings.Timeout = orDefault(settings.Timeout, 30*time.Second)
	settings.Heartbeat = orDefault(settings.Heartbeat, 15*time.Second)
	settings.OpenDelay = orDefault(settings.OpenDelay, time.Second)
	settings.MaxBodyBytes = orDefault(settings.MaxBodyBytes, 48<<20)
	settings.MaxBodiesBytes = orDefault(settings.MaxBodiesBytes, 256<<20)
	settings.ReadTimeout = orDefault(settings.ReadTimeout, 10*time.Second)
	settings.MinReadRate = orDefault(settings.MinReadRate, 8192)
	settings.WriteTimeout = orDefault(settings.WriteTimeout, writeTimeout)
	g := &Gateway{client: client, settings: settings, bodies: &budget{left: settings.MaxBodiesBytes}, sessions: newSessions()}
	g.stopping, g.stop = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	handle := func(route string, byMethod methods) {
		mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) { g.answer(w, r, byMethod) })
	}
	handle("/api/task/run", methods{http.MethodPost: g.run})
	handle("/api/task/validate", methods{http.MethodPost: g.validate})
	handle("/api/task", methods{http.MethodGet: g.get})
	handle("/api/task/report", methods{http.MethodGet: g.report})
	handle("/api/task/result", methods{http.MethodGet: g.result})
	handle("/api/task/cancel", methods{http.MethodPut: g.cancel})
	handle("/api/task/watch", methods{http.MethodGet: g.watch})
	handle("/api/tasks/watch", methods{http.MethodGet: g.watchTasks})
	handle("/api/tasks", methods{http.MethodGet: g.list})
	handle("/api/tasks/batch", methods{http.MethodPost: g.batch})
	handle("/api/info", methods{http.MethodGet: g.info})
	handle("/api/session", methods{
		http.MethodPost: g.signIn, http.MethodGet: g.session, http.MethodDelete: g.signOut,
	})
	handle("/healthz", methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
		return writeJSON(w, map[string]string{"status": "ok"})
	}})
	mux.HandleFunc("/", notFound)
	g.handler = mux
	return g
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, &problem{status: http.StatusNotFound, code: "NOT_FOUND", message: r.URL.Path + ": there is nothing here"})
}

func orDefault[T time.Duration | int64](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}

// ServeHTTP answers a request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // that of the answer before, on the same connection
	if !g.allowsHost(r.Host) {
		g.refuse(w, r, foreignHost(r.Host))
		return
	}
	if answered := g.checkOrigin(w, r); answered {
		return
	}
	if path.Clean(r.URL.Path) != r.URL.Path && r.URL.Path != "/" {
		notFound(w, r) // the mux would send the client to another path
		return
	}
	ctx := g.forward(r)
	if sent, _ := metadata.FromOutgoingContext(ctx); sizeOf(sent) > maxForwardedBytes {
		g.refuse(w, r, &problem{
			status: http.StatusRequestHeaderFieldsTooLarge, code: "HEADERS_TOO_LARGE",
			message: fmt.Sprintf("the headers that are sent on to the server have more than %d bytes", maxForwardedBytes),
		})
		return
	}
	g.handler.ServeHTTP(w, r.WithContext(ctx))
}

// Stop ends event streams, so that the HTTP server can shut down; browsers come back to another gateway, or
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
	return g.withSession(ctx, r)
}

// A server takes 16 KiB of metadata, of which gRPC itself needs some.
const maxForwardedBytes = 15 << 10

// sizeOf is what metadata takes, as HTTP/2 counts it: names, values, and 32 bytes for each.
func sizeOf(sent metadata.MD) int {
	size := 0
	for name, values := range sent {
		for _, value := range values {
			size += len(name) + len(value) + 32
		}
	}
	return size
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// methods answers a path by the method of the request; an error becomes a problem.
type methods map[string]func(http.ResponseWriter, *http.Request) error

func (g *Gateway) answer(w http.ResponseWriter, r *http.Request, byMethod methods) {
	handle, known := byMethod[r.Method]
	if !known {
		for method := range byMethod {
			w.Header().Add("Allow", method)
		}
		writeProblem(w, &problem{
			status: http.StatusMethodNotAllowed, code: "METHOD_NOT_ALLOWED", message: "the path has no such method",
		})
		return
	}
	if err := handle(w, r); err != nil {
		var own *problem
		if errors.As(err, &own) {
			g.refuse(w, r, own)
		} else {
			writeProblem(w, problemOf(err))
		}
	}
}
