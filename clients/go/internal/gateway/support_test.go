package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
	"github.com/flowgram/flowgram-server/clients/go/internal/gateway"
	"github.com/flowgram/flowgram-server/clients/go/internal/scripted"
)

// browser speaks to a gateway in memory.
type browser struct {
	t       *testing.T
	gateway *gateway.Gateway
	client  *http.Client
	bodies  []io.Closer // of all answers
}

// withGateway runs a test with a gateway to a scripted server in a bubble: time passes at once while all wait, and no
// goroutine may be left at the end.
func withGateway(t *testing.T, server *scripted.Server, settings gateway.Settings, test func(*testing.T, *browser)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server.Start()
		defer server.Stop()
		client, err := flowgram.Dial("passthrough:///scripted", flowgram.WithDialOptions(server.Dialer()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		handler := gateway.New(client, settings)
		listener := &pipeListener{accepted: make(chan net.Conn), closed: make(chan struct{})}
		front := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
		front.Start()
		defer front.Close()
		defer handler.Stop()
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return listener.dial(ctx)
		}}
		defer transport.CloseIdleConnections()
		b := &browser{t: t, gateway: handler, client: &http.Client{Transport: transport}}
		defer func() {
			for _, body := range b.bodies {
				_ = body.Close() // many are closed already
			}
		}()
		test(t, b)
	})
}

// pipeListener is a network in memory. Its connections keep deadlines strictly, as net/http needs them to.
type pipeListener struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once // both the HTTP server and httptest close it
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.accepted <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case connection := <-l.accepted:
		return connection, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.IPAddr{} }

func (b *browser) ask(method, path, body string, headers ...string) *http.Response {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	b.bodies = append(b.bodies, response.Body)
	return response
}

// expect asks, and compares the status and the whole body of the answer.
func (b *browser) expect(status int, want, method, path, body string, headers ...string) http.Header {
	b.t.Helper()
	response := b.ask(method, path, body, headers...)
	got := text(b.t, response)
	if response.StatusCode != status || got != want {
		b.t.Errorf("%s %s %s\n got %d %s\nwant %d %s", method, path, body, response.StatusCode, got, status, want)
	}
	return response.Header
}

// refused asks for what is refused with this status, code and list of errors.
func (b *browser) refused(status int, code string, problems []string, method, path, body string, headers ...string) http.Header {
	b.t.Helper()
	response := b.ask(method, path, body, headers...)
	var received struct {
		Code, Message string
		Errors        []string
	}
	shown := text(b.t, response)
	if err := json.Unmarshal([]byte(shown), &received); err != nil || response.StatusCode != status || received.Code != code ||
		received.Message == "" || received.Errors == nil || !slices.Equal(received.Errors, problems) {
		b.t.Errorf("%s %s %s\n got %d %s\nwant %d %s %q", method, path, body, response.StatusCode, shown, status, code, problems)
	}
	if response.Header.Get("X-Content-Type-Options") != "nosniff" || response.Header.Get("Cache-Control") != "no-store" {
		b.t.Error(response.Header)
	}
	return response.Header
}

func text(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// lines reads an event stream line by line.
type lines struct {
	t       *testing.T
	scanner *bufio.Scanner
	close   func() error
}

func (b *browser) watch(path string, headers ...string) *lines {
	b.t.Helper()
	response := b.ask(http.MethodGet, path, "", headers...)
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK ||
		kind != "text/event-stream; charset=utf-8" {
		b.t.Fatal(response.StatusCode, kind, text(b.t, response))
	}
	scanner := bufio.NewScanner(response.Body)
	scanner.Buffer(nil, 1<<24)
	return &lines{b.t, scanner, response.Body.Close}
}

// until reads to a line that begins so, and gives it.
func (l *lines) until(prefix string) string {
	l.t.Helper()
	for l.scanner.Scan() {
		if strings.HasPrefix(l.scanner.Text(), prefix) {
			return l.scanner.Text()
		}
	}
	l.t.Fatalf("the stream ended before %q: %v", prefix, l.scanner.Err())
	return ""
}

// rest reads to the end, and gives the lines that are not empty.
func (l *lines) rest() []string {
	l.t.Helper()
	defer l.close()
	var all []string
	for l.scanner.Scan() {
		if l.scanner.Text() != "" {
			all = append(all, l.scanner.Text())
		}
	}
	if err := l.scanner.Err(); err != nil {
		l.t.Fatal(err)
	}
	return all
}
