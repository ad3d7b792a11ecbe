package flowgram

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"slices"
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

	runtimev1 "github.com/flowgram/flowgram-runtime/clients/go/flowgram/runtime/v1"
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
	credentials credentials.TransportCredentials
	dial        []grpc.DialOption
	metadata    []string
	retry       RetryPolicy
	reconnect   RetryPolicy
}

// Option changes how a client connects and calls.
type Option func(*settings)

// WithTLS encrypts the connection; nil stands for the system's authorities. Without it the connection is plain.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.credentials = credentials.NewTLS(config) }
}

// WithMetadata sends key and value pairs with every call. Those of a single call belong into its context, see
// [metadata.AppendToOutgoingContext].
func WithMetadata(pairs ...string) Option {
	return func(s *settings) { s.metadata = slices.Clone(pairs) }
}

// WithRetry is the policy for calls that are answered at once. Default: [DefaultRetry].
func WithRetry(policy RetryPolicy) Option {
	return func(s *settings) { s.retry = policy }
}

// WithReconnect is the policy for watches and waits. Default: [DefaultReconnect].
func WithReconnect(policy RetryPolicy) Option {
	return func(s *settings) { s.reconnect = policy }
}

// WithDialOptions adds options of gRPC's own, which win over those of this package. [New] takes no notice of them.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}

// Dial makes a client of the server at target, such as "127.0.0.1:50051". It connects when the first call is made,
// and again whenever the connection was lost. [Client.Close] ends it.
func Dial(target string, options ...Option) (*Client, error) {
	s := newSettings(options)
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(s.credentials),
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

// New makes a client that uses a connection of the caller's, which stays the caller's to close.
func New(connection grpc.ClientConnInterface, options ...Option) *Client {
	return newClient(connection, false, newSettings(options))
}

func newClient(connection grpc.ClientConnInterface, owned bool, s settings) *Client {
	return &Client{runtimev1.NewWorkflowRuntimeServiceClient(connection), connection, owned, s}
}

func newSettings(options []Option) settings {
	s := settings{
		credentials: insecure.NewCredentials(),
		retry:       DefaultRetry(),
		reconnect:   DefaultReconnect(),
	}
	for _, option := range options {
		option(&s)
	}
	return s
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
