package gateway

import (
	"container/list"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"
)

const (
	sessionIdle    = 12 * time.Hour     // without a request, after which a session ends
	sessionLongest = 7 * 24 * time.Hour // after which it ends anyway
	maxSessions    = 10_000             // beyond that, the one that was used least lately ends
	maxOfOne       = 100                // sessions of one credential, likewise: nobody ends those of others by signing in again and again
	maxSignInBytes = 64 << 10
	maxBearer      = 8192 // characters of a key or a token

	sessionCookie = "flowgram_session"
	// Of an encrypted page: no page of a neighboring domain can set a cookie of such a name here.
	secureSessionCookie = "__Host-" + sessionCookie

	authorizationKey = "authorization"
)

var bearerKey = regexp.MustCompile(`^[!-~]+$`)

// sessions are those of browsers: a cookie, which no script can read, stands for the credential that was given when signing
// in. The credential stays in this process.
type sessions struct {
	mutex    sync.Mutex
	byDigest map[[sha256.Size]byte]*list.Element
	byUse    *list.List // of *session; the one that was used last is the last
}

type session struct {
	digest        [sha256.Size]byte
	authorization string
	began, used   time.Time
}

func newSessions() *sessions {
	return &sessions{byDigest: map[[sha256.Size]byte]*list.Element{}, byUse: list.New()}
}

// begin is a new session for a credential: what its cookie is to hold.
func (s *sessions) begin(authorization string) string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	name := base64.RawURLEncoding.EncodeToString(random)
	digest, now := sha256.Sum256([]byte(name)), time.Now()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var own *list.Element // the one of this credential that was used least lately
	count := 0
	for element := s.byUse.Front(); element != nil; element = element.Next() {
		if element.Value.(*session).authorization == authorization {
			count++
			if own == nil {
				own = element
			}
		}
	}
	if count >= maxOfOne {
		s.remove(own)
	}
	for s.byUse.Len() >= maxSessions {
		s.remove(s.byUse.Front())
	}
	s.byDigest[digest] = s.byUse.PushBack(&session{digest, authorization, now, now})
	return name
}

// end ends a session, if it is one.
func (s *sessions) end(name string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if element := s.byDigest[sha256.Sum256([]byte(name))]; element != nil {
		s.remove(element)
	}
}

// authorization is the credential of a session; empty: it is none.
func (s *sessions) authorization(name string) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	element := s.byDigest[sha256.Sum256([]byte(name))]
	if element == nil {
		return ""
	}
	found, now := element.Value.(*session), time.Now()
	if now.Sub(found.used) > sessionIdle || now.Sub(found.began) > sessionLongest {
		s.remove(element)
		return ""
	}
	found.used = now
	s.byUse.MoveToBack(element)
	return found.authorization
}

func (s *sessions) remove(element *list.Element) {
	delete(s.byDigest, s.byUse.Remove(element).(*session).digest)
}

// ofPage is the credential of the session that a request belongs to; empty: it belongs to none. The cookie counts for the
// gateway's own page only: those of pages from elsewhere are as if they had none.
func (s *sessions) ofPage(r *http.Request) string {
	if name := sessionName(r); name != "" && isOwnPage(r) {
		return s.authorization(name)
	}
	return ""
}

// isOwnPage reports whether a request is one of the gateway's own page, and not of another that the same browser shows.
// SameSite alone does not say so: to it, all ports of a machine are one site.
func isOwnPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if site != "" && site != "same-origin" && site != "none" {
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		return isOwnOrigin(origin, r)
	}
	// Browsers name their origin wherever something may change.
	return site != "" || r.Method == http.MethodGet || r.Method == http.MethodHead
}

// isOwnOrigin reports whether an origin is that of the gateway's own pages, by the name that the request knows it by, which was
// checked. The scheme does not matter: a proxy in front may have decrypted the request.
func isOwnOrigin(origin string, r *http.Request) bool {
	_, host, _ := strings.Cut(origin, "://")
	return host == r.Host
}

// sessionName is what the session's cookie holds; empty where there is none, or several, of which one is somebody else's.
func sessionName(r *http.Request) string {
	names := []string{secureSessionCookie, sessionCookie}
	if r.TLS != nil {
		names = names[:1]
	}
	for _, name := range names {
		if found := r.CookiesNamed(name); len(found) > 0 {
			if len(found) > 1 {
				return ""
			}
			return found[0].Value
		}
	}
	return ""
}

type signInBody struct{ Key json.RawMessage }

func (b *signInBody) fields() map[string]any { return map[string]any{"key": &b.Key} }

func (b *signInBody) closed() {}

func (b *signInBody) key() string {
	var key string
	if json.Unmarshal(b.Key, &key) != nil {
		return ""
	}
	return strings.TrimSpace(key)
}

func (b *signInBody) problems() []string {
	if len(b.Key) == 0 || b.Key[0] != '"' {
		return []string{"key: must be a text"}
	}
	if key := b.key(); len(key) > maxBearer || !bearerKey.MatchString(key) {
		return []string{"key: is no API key and no token"}
	}
	return nil
}

// signIn signs a browser in with an API key or a token. The answer says who it is, and sets a cookie.
func (g *Gateway) signIn(w http.ResponseWriter, r *http.Request) error {
	if !isOwnPage(r) {
		return foreignSession()
	}
	var body signInBody
	if err := g.readBounded(w, r, &body, min(maxSignInBytes, g.settings.MaxBodyBytes)); err != nil {
		return err
	}
	authorization := "Bearer " + body.key()
	sent, _ := metadata.FromOutgoingContext(r.Context())
	sent = sent.Copy()
	if sent == nil {
		sent = metadata.MD{}
	}
	sent.Set(authorizationKey, authorization)
	caller, err := g.caller(r.WithContext(metadata.NewOutgoingContext(r.Context(), sent)))
	if err != nil {
		return err
	}
	g.sessions.end(sessionName(r))
	// The page knows whether it was served encrypted, also where a proxy did that.
	secure := r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https:")
	http.SetCookie(w, sessionCookieOf(g.sessions.begin(authorization), sessionLongest, secure))
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, caller)
}

// session says who calls: by the session, or by a credential of the request's own.
func (g *Gateway) session(w http.ResponseWriter, r *http.Request) error {
	caller, err := g.caller(r)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, caller)
}

// signOut ends the session. Idempotent.
func (g *Gateway) signOut(w http.ResponseWriter, r *http.Request) error {
	if !isOwnPage(r) {
		return foreignSession()
	}
	g.sessions.end(sessionName(r))
	for _, secure := range []bool{false, true} {
		http.SetCookie(w, sessionCookieOf("", -time.Second, secure))
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// caller is who makes a request, as the server says.
func (g *Gateway) caller(r *http.Request) (*callerShape, error) {
	ctx, cancel := context.WithTimeout(r.Context(), g.settings.Timeout)
	defer cancel()
	info, err := g.client.Info(ctx)
	if err != nil {
		return nil, err
	}
	if shape := shapeInfo(info); shape.Caller != nil {
		return shape.Caller, nil
	}
	return nil, &problem{status: http.StatusUnauthorized, code: "CREDENTIALS_MISSING", message: "nobody is signed in"}
}

func foreignSession() *problem {
	return &problem{
		status: http.StatusForbidden, code: "ORIGIN_NOT_ALLOWED",
		message: "only a page of this gateway may sign somebody in or out",
	}
}

func sessionCookieOf(value string, age time.Duration, secure bool) *http.Cookie {
	cookie := &http.Cookie{
		Name: sessionCookie, Path: "/api", Value: value, MaxAge: int(age / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if secure {
		cookie.Name, cookie.Path, cookie.Secure = secureSessionCookie, "/", true
	}
	return cookie
}

// withSession is the metadata of a request's calls with the credential of its session, where it has none of its own.
func (g *Gateway) withSession(ctx context.Context, r *http.Request) context.Context {
	if len(r.Header.Values("Authorization")) == 0 {
		if authorization := g.sessions.ofPage(r); authorization != "" {
			return metadata.AppendToOutgoingContext(ctx, authorizationKey, authorization)
		}
	}
	return ctx
}
