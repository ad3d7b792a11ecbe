package flowgram

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

// Reports of large tasks are far beyond gRPC's own limit of 4 MB, which is the client's too.
const maxReceiveBytes = 256 * 1024 * 1024

// Client is a client of one server. Goroutines may share it.
type Client struct {
	service    runtimev1.WorkflowRuntimeServiceClient
	connection grpc.ClientConnInterface
	owned      bool // the connection was made by Dial
	settings   settings
}

type settings struct {
	credentials credentials.TransportCredentials // nil: plain
	dial        []grpc.DialOption
	metadata    []string
	token       string
	hasToken    bool
	retry       RetryPolicy
	reconnect   RetryPolicy
}

// Option changes how a client connects and calls: [WithTLS], [WithToken], [WithMetadata], [WithRetry],
// [WithReconnect], [WithDialOptions].
type Option func(*settings)

// WithTLS encrypts the connection; nil stands for the system's authorities. Without it the connection is plain.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.credentials = credentials.NewTLS(config) }
}

// WithMetadata sends key and value pairs with every call, in addition to those of options before it. Those of a single
// call belong into its context, see [metadata.AppendToOutgoingContext]. [Dial] refuses what gRPC cannot send: a key
// without a value, or one that has other characters than letters, digits, `-`, `_` and `.`.
func WithMetadata(pairs ...string) Option {
	return func(s *settings) { s.metadata = append(slices.Clip(s.metadata), pairs...) }
}

// WithToken says who calls: an API key, or a token, which is sent with every call as authorization metadata. Use
// [WithTLS] with it: otherwise anybody on the way can read it. A token that changes belongs into the context of a
// call, see [WithMetadata], or into [WithDialOptions] with [grpc.WithPerRPCCredentials].
func WithToken(token string) Option {
	return func(s *settings) { s.token, s.hasToken = strings.TrimSpace(token), true }
}

// WithRetry is the policy for calls that are answered at once. Default: [DefaultRetry].
func WithRetry(policy RetryPolicy) Option {
	return func(s *settings) { s.retry = policy }
}

// WithReconnect is the policy for watches and waits. Default: [DefaultReconnect].
func WithReconnect(policy RetryPolicy) Option {
	return func(s *settings) { s.reconnect = policy }
}

// WithDialOptions adds options of gRPC's own, which win over those of this package.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}

// Dial makes a client of the server at target, such as "127.0.0.1:50051". It connects when the first call is made,
// and again whenever the connection was lost. [Client.Close] ends it.
//
// Errors: the target is empty or cannot be parsed, or an option makes no sense.
func Dial(target string, options ...Option) (*Client, error) {
	if target == "" {
		return nil, errors.New("flowgram: the target is empty; give HOST:PORT")
	}
	s, err := newSettings(options)
	if err != nil {
		return nil, err
	}
	transport := s.credentials
	if transport == nil {
		transport = insecure.NewCredentials()
	}
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxReceiveBytes),
			grpc.MaxCallSendMsgSize(math.MaxInt32),
		),
		// a connection that died without a word is found out while a call waits on it
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// a server that was restarted is found again soon; gRPC's own backoff grows to two minutes
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDisableServiceConfig(), // the policies here are all there is
	}, s.dial...)
	connection, err := grpc.NewClient(target, dial...)
	if err != nil {
		return nil, fmt.Errorf("flowgram: cannot connect to %q: %w", target, err)
	}
	return newClient(connection, true, s), nil
}

// NewFromConn makes a client that uses a connection of the caller's, which stays the caller's to close: one that other
// gRPC services share, say, or one that leads to a server within the test.
//
// Errors: an option makes no sense, or is only for connections that [Dial] makes.
func NewFromConn(connection grpc.ClientConnInterface, options ...Option) (*Client, error) {
	s, err := newSettings(options)
	if err != nil {
		return nil, err
	}
	if s.credentials != nil || len(s.dial) > 0 {
		return nil, errors.New("flowgram: WithTLS and WithDialOptions are for Dial; a connection that exists has its own")
	}
	return newClient(connection, false, s), nil
}

func newClient(connection grpc.ClientConnInterface, owned bool, s settings) *Client {
	return &Client{runtimev1.NewWorkflowRuntimeServiceClient(connection), connection, owned, s}
}

func newSettings(options []Option) (settings, error) {
	s := settings{retry: DefaultRetry(), reconnect: DefaultReconnect()}
	for _, option := range options {
		option(&s)
	}
	return s, errors.Join(checkMetadata(s.metadata), s.useToken(), s.retry.check(), s.reconnect.check())
}

// useToken makes metadata of the token, if there is one. Errors never tell it.
func (s *settings) useToken() error {
	if !s.hasToken {
		return nil
	}
	if s.token == "" || strings.ContainsFunc(s.token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errors.New("flowgram: WithToken: the token is empty, or not printable ASCII")
	}
	for i := 0; i < len(s.metadata); i += 2 {
		if strings.EqualFold(s.metadata[i], "authorization") {
			return errors.New("flowgram: WithToken: WithMetadata has an authorization, too")
		}
	}
	s.metadata = append(slices.Clip(s.metadata), "authorization", "Bearer "+s.token)
	return nil
}

// checkMetadata refuses what would make every call panic, or fail with an error of the transport.
func checkMetadata(pairs []string) error {
	if len(pairs)%2 == 1 {
		return fmt.Errorf("flowgram: WithMetadata takes keys and values in turn; %q has no value", pairs[len(pairs)-1])
	}
	for i := 0; i < len(pairs); i += 2 {
		key, value := strings.ToLower(pairs[i]), pairs[i+1]
		switch {
		case key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "":
			return fmt.Errorf("flowgram: WithMetadata: %q cannot be a key", pairs[i])
		case strings.HasPrefix(key, "grpc-"):
			return fmt.Errorf("flowgram: WithMetadata: %q is one of gRPC's own keys", pairs[i])
		case !strings.HasSuffix(key, "-bin") && strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
			return fmt.Errorf("flowgram: WithMetadata: the value of %q is not printable ASCII; "+
				"a key that ends with -bin takes any bytes", pairs[i])
		}
	}
	return nil
}

// Close closes the connection of a client that [Dial] made. Calls and watches under way end with an error.
func (c *Client) Close() error {
	if connection, ok := c.connection.(io.Closer); ok && c.owned {
		return connection.Close()
	}
	return nil
}

// away reports whether a call failed because the server is away: it says so itself, or the transport does, or somebody
// between the two has ended the call.
func (c *Client) away(ctx context.Context, failure *Error) bool {
	switch failure.Code {
	case codes.Unavailable:
		return true
	case codes.Canceled:
		connection, ok := c.connection.(*grpc.ClientConn)
		closed := ok && connection.GetState() == connectivity.Shutdown
		return failure.Reason == "" && ctx.Err() == nil && !closed
	default:
		return false
	}
}

func (c *Client) outgoing(ctx context.Context) context.Context {
	if len(c.settings.metadata) == 0 {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, c.settings.metadata...)
}

// call makes a unary call, and makes it again while the server is away: every request here may be repeated.
func call[Request proto.Message, Response any](
	ctx context.Context,
	c *Client,
	policy RetryPolicy,
	method func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request,
) (Response, error) {
	var none Response
	if err := checkText(request); err != nil {
		return none, err
	}
	failures := 0
	for {
		began := time.Now()
		response, err := method(c.outgoing(ctx), request)
		if err == nil {
			return response, nil
		}
		failure := errorFrom(ctx, err)
		if !c.away(ctx, failure) {
			return none, failure
		}
		if time.Since(began) > policy.Maximum {
			failures = 0 // it had been under way: not one failure after another
		}
		failures++
		if err := policy.pause(ctx, failures, failure); err != nil {
			return none, err
		}
	}
}
