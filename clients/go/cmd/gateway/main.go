// Gateway serves the API of FlowGram's editor, with Server-Sent Events, before a server elsewhere. docs/rest.md describes
// the API, docs/clients/gateway.md the flags.
//
//	gateway -target 127.0.0.1:50051 -listen 127.0.0.1:8080
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
	"github.com/flowgram/flowgram-server/clients/go/internal/gateway"
)

// A stream whose server is away is kept for about four minutes: a browser whose stream has failed comes back only if
// the gateway can answer it well.
const reconnectAttempts = 60

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "gateway:", err)
			os.Exit(1)
		}
	}
}

// run serves until ctx ends, and then drains.
func run(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	target := flags.String("target", cmp.Or(os.Getenv("FLOWGRAM_TARGET"), "127.0.0.1:50051"),
		"`HOST:PORT` of the gRPC server; FLOWGRAM_TARGET in the environment changes the default")
	secure := flags.Bool("tls", false, "encrypt the connection to the gRPC server")
	listen := flags.String("listen", "127.0.0.1:8080", "`HOST:PORT` to serve on; port 0 takes any that is free")
	certificate := flags.String("listen-cert", "",
		"PEM `FILE` of the gateway's own certificate; read again when it changes. Without it nothing is encrypted")
	key := flags.String("listen-key", "", "PEM `FILE` of its private key")
	insecure := flags.Bool("insecure-remote", false,
		"listen beyond this machine without -listen-cert, such as behind a proxy that encrypts")
	audit := flags.String("audit-log", "",
		"`FILE` for a line of JSON per request that the gateway itself refuses; -: standard output")
	cors := flags.String("cors", gateway.Loopback, "`ORIGINS` whose pages may use the gateway, with commas between them; "+
		"loopback stands for all on this machine, * for all there are")
	hosts := flags.String("allowed-hosts", "",
		"`NAMES` in a Host header that are answered, beside those of this machine, with commas between them; * for all")
	forward := flags.String("forward", "authorization,flowgram-namespace,traceparent,tracestate",
		"`HEADERS` that are sent on to the gRPC server as metadata, with commas between them")
	timeout := flags.Duration("timeout", 30*time.Second, "for calls that are answered at once")
	heartbeat := flags.Duration("heartbeat", 15*time.Second, "after which a silent event stream sends a comment")
	maxBody := flags.Int64("max-body", 48<<20, "`BYTES` of the body of a request")
	maxConnections := flags.Int("max-connections", 1000, "`CONNECTIONS` that are open at once; more are closed")
	grace := flags.Duration("grace", 10*time.Second, "for requests under way, when it is asked to stop")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("there are no arguments beside flags, and here is %q", flags.Arg(0))
	}
	if *timeout <= 0 || *heartbeat <= 0 || *maxBody <= 0 || *maxConnections <= 0 {
		return errors.New("-timeout, -heartbeat, -max-body and -max-connections must be more than 0")
	}

	host, _, err := net.SplitHostPort(*listen)
	if err != nil {
		return err
	}
	certificates, err := protect(*listen, host, *certificate, *key, *insecure)
	if err != nil {
		return err
	}
	var auditLog *gateway.AuditLog
	if *audit != "" {
		if auditLog, err = gateway.OpenAuditLog(*audit); err != nil {
			return err
		}
	}

	reconnect := flowgram.DefaultReconnect()
	reconnect.Attempts = reconnectAttempts
	options := []flowgram.Option{flowgram.WithReconnect(reconnect)}
	if *secure {
		options = append(options, flowgram.WithTLS(nil))
	}
	client, err := flowgram.Dial(*target, options...)
	if err != nil {
		return err
	}
	defer client.Close()

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	handler := gateway.New(client, gateway.Settings{
		Origins:      names(*cors),
		Hosts:        names(strings.ToLower(*hosts)),
		Listen:       strings.ToLower(host),
		Forward:      names(*forward),
		Timeout:      *timeout,
		Heartbeat:    *heartbeat,
		MaxBodyBytes: *maxBody,
		Audit:        auditLog,
	})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second}
	scheme, limited := "http", gateway.Limit(listener, *maxConnections)
	if certificates != nil {
		scheme, limited = "https", tls.NewListener(limited, certificates.Config())
		go certificates.Keep(ctx)
	}
	slog.Info("serving", "url", scheme+"://"+listener.Addr().String(), "target", *target)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(limited) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	slog.Info("stopping", "grace", *grace)
	handler.Stop()
	drain, cancel := context.WithTimeout(context.Background(), *grace)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		slog.Warn("requests are cut off", "error", err)
		return server.Close()
	}
	return nil
}

// protect is the gateway's certificate; nil where it goes without, which it may on this machine only, or where that is meant so.
func protect(listen, host, certificate, key string, insecure bool) (*gateway.Certificates, error) {
	if (certificate == "") != (key == "") {
		return nil, errors.New("-listen-cert and -listen-key belong together")
	}
	if certificate != "" {
		return gateway.LoadCertificates(certificate, key)
	}
	address, err := netip.ParseAddr(host)
	if insecure || strings.EqualFold(host, "localhost") || err == nil && address.Unmap().IsLoopback() {
		return nil, nil
	}
	return nil, fmt.Errorf("%s can be reached from other machines, which takes -listen-cert and -listen-key: credentials would be "+
		"sent in the clear; -insecure-remote starts without, such as behind a proxy that encrypts", listen)
}

func names(list string) []string {
	var all []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			all = append(all, name)
		}
	}
	return all
}
