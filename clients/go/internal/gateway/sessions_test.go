package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
	"github.com/flowgram/flowgram-server/clients/go/internal/gateway"
	"github.com/flowgram/flowgram-server/clients/go/internal/scripted"
)

// guardedServer knows every caller by its credential.
func guardedServer() *scripted.Server {
	return &scripted.Server{OnInfo: func(ctx context.Context) (*runtimev1.ServerInfoResponse, error) {
		sent, _ := metadata.FromIncomingContext(ctx)
		keys := sent.Get("authorization")
		if len(keys) != 1 {
			return nil, status.Error(codes.Unauthenticated, "one key")
		}
		return &runtimev1.ServerInfoResponse{Caller: &runtimev1.Caller{Name: keys[0], Namespace: "n", Role: "reader"}}, nil
	}}
}

func (b *browser) signIn(key string) *http.Cookie {
	b.t.Helper()
	body, err := json.Marshal(map[string]string{"key": key})
	if err != nil {
		b.t.Fatal(err)
	}
	response := b.ask("POST", "/api/session", string(body), "Origin", "http://localhost")
	cookies := response.Cookies()
	if response.StatusCode != http.StatusOK || len(cookies) != 1 {
		b.t.Fatalf("not signed in: %d %s", response.StatusCode, text(b.t, response))
	}
	return cookies[0]
}

// status asks who calls with a cookie.
func (b *browser) status(cookie *http.Cookie) int {
	b.t.Helper()
	response := b.ask("GET", "/api/session", "", "Cookie", cookie.Name+"="+cookie.Value)
	text(b.t, response)
	return response.StatusCode
}

// A session ends after hours without a request, and after a week anyway.
func TestSessionsEndByThemselves(t *testing.T) {
	withGateway(t, guardedServer(), gateway.Settings{}, func(t *testing.T, b *browser) {
		idle := b.signIn("one")
		if got := b.status(idle); got != http.StatusOK {
			t.Fatalf("a new session: %d", got)
		}
		time.Sleep(12*time.Hour + time.Second)
		if got := b.status(idle); got != http.StatusUnauthorized {
			t.Errorf("an idle session: %d", got)
		}
		busy := b.signIn("two")
		for range 13 {
			time.Sleep(12 * time.Hour)
			if got := b.status(busy); got != http.StatusOK {
				t.Fatalf("a session in use: %d", got)
			}
		}
		time.Sleep(12*time.Hour + time.Second)
		if got := b.status(busy); got != http.StatusUnauthorized {
			t.Errorf("a session of a week: %d", got)
		}
	})
}

// Signing in again and again ends sessions of one's own, and nobody else's.
func TestSessionsOfOneCredentialAreBounded(t *testing.T) {
	withGateway(t, guardedServer(), gateway.Settings{}, func(t *testing.T, b *browser) {
		other, first, second := b.signIn("other"), b.signIn("one"), b.signIn("one")
		for range 99 {
			b.signIn("one")
		}
		for cookie, want := range map[*http.Cookie]int{
			other: http.StatusOK, first: http.StatusUnauthorized, second: http.StatusOK,
		} {
			if got := b.status(cookie); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		}
	})
}

// Signing in again ends the session before, and a request's own credential counts more than a cookie.
func TestSessionsAreReplaced(t *testing.T) {
	withGateway(t, guardedServer(), gateway.Settings{Forward: []string{"authorization"}}, func(t *testing.T, b *browser) {
		first := b.signIn("one")
		response := b.ask("POST", "/api/session", `{"key":"two"}`,
			"Origin", "http://localhost", "Cookie", first.Name+"="+first.Value, "Authorization", "Bearer three")
		want := `{"name":"Bearer two","namespace":"n","role":"reader"}`
		if got := text(t, response); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := b.status(first); got != http.StatusUnauthorized {
			t.Errorf("the session before: %d", got)
		}
		second := response.Cookies()[0]
		want = `{"name":"Bearer three","namespace":"n","role":"reader"}`
		b.expect(http.StatusOK, want, "GET", "/api/session", "",
			"Cookie", second.Name+"="+second.Value, "Authorization", "Bearer three")
	})
}
