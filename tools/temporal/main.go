// Command temporal-dev runs a Temporal server in one process, on SQLite or PostgreSQL, for development and tests.
//
//	temporal-dev --port 7233 --db-filename data/temporal.sqlite3
//	temporal-dev --port 7233 --postgres 127.0.0.1:5432 --postgres-setup
//
// It takes the flags with which Temporal's SDKs start `temporal server start-dev`, so that it stands in for that program.
// Flags that concern the web interface are accepted and do nothing. It is no server for production: see docs/temporal.md.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	tlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/temporal"
)

// repeated is a flag that may be given several times.
type repeated []string

func (r *repeated) String() string     { return strings.Join(*r, ",") }
func (r *repeated) Set(v string) error { *r = append(*r, v); return nil }

// options are the command's flags.
type options struct {
	ip               string
	port, httpPort   int
	metricsPort      int
	sqliteFile       string
	postgres         string
	postgresUser     string
	postgresPassword string
	postgresSetup    bool
	shards           int
	logLevel         string
	namespaces       repeated
	attributes       repeated
	dynamic          repeated
	watchStdin       bool
}

func parse(args []string) options {
	if len(args) >= 2 && args[0] == "server" && args[1] == "start-dev" {
		args = args[2:]
	}
	var o options
	f := flag.NewFlagSet("temporal-dev", flag.ExitOnError)
	f.StringVar(&o.ip, "ip", "127.0.0.1", "address to listen on")
	f.IntVar(&o.port, "port", 7233, "port of the gRPC front; 0: any that is free")
	f.IntVar(&o.httpPort, "http-port", 0, "port of the HTTP front; 0: any that is free")
	f.IntVar(&o.metricsPort, "metrics-port", 0, "port of the metrics for Prometheus; 0: none")
	f.StringVar(&o.sqliteFile, "db-filename", "", "SQLite file; empty: in memory")
	f.StringVar(&o.postgres, "postgres", "", "HOST:PORT of PostgreSQL, in place of SQLite; databases temporal, temporal_visibility")
	f.StringVar(&o.postgresUser, "postgres-user", "temporal", "user of PostgreSQL")
	f.StringVar(&o.postgresPassword, "postgres-password", os.Getenv("PGPASSWORD"), "its password; default: PGPASSWORD")
	f.BoolVar(&o.postgresSetup, "postgres-setup", false, "create the databases and their schemas, or bring them up to date")
	f.IntVar(&o.shards, "history-shards", 0, "number of history shards, fixed for the life of a database; 0: 1, or 4 with PostgreSQL")
	f.StringVar(&o.logLevel, "log-level", "error", "debug, info, warn or error")
	f.Var(&o.namespaces, "namespace", "namespace to create; repeat for several (default: default)")
	f.Var(&o.attributes, "search-attribute", "NAME=TYPE; repeat for several (SQLite only)")
	f.Var(&o.dynamic, "dynamic-config-value", "KEY=JSON; repeat for several")
	f.BoolVar(&o.watchStdin, "until-stdin-closes", false, "stop when standard input ends: with the process that started this one")
	f.String("log-format", "", "accepted, without effect")
	f.Bool("headless", true, "accepted, without effect")
	f.Int("ui-port", 0, "accepted, without effect")
	_ = f.Parse(args)
	if len(o.namespaces) == 0 {
		o.namespaces = repeated{"default"}
	}
	if o.port == 0 {
		o.port = freePort(o.ip)
	}
	if o.httpPort == 0 {
		o.httpPort = freePort(o.ip)
	}
	return o
}

// freePort asks the system for a port that nobody listens on.
func freePort(ip string) int {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("temporal-dev: ")
	o := parse(os.Args[1:])
	conf, hosts := serverConfig(o)
	if o.postgres != "" {
		usePostgres(conf, o)
	} else {
		useSQLite(conf, o)
	}
	logger := tlog.NewZapLogger(tlog.BuildZapLogger(tlog.Config{Stdout: true, Level: o.logLevel, Format: "console"}))
	authorizer, err := authorization.GetAuthorizerFromConfig(&conf.Global.Authorization)
	if err != nil {
		log.Fatal(err)
	}
	mapper, err := authorization.GetClaimMapperFromConfig(&conf.Global.Authorization, logger)
	if err != nil {
		log.Fatal(err)
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(conf), temporal.ForServices(temporal.DefaultServices), temporal.WithStaticHosts(hosts),
		temporal.WithLogger(logger), temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return mapper }),
		temporal.WithDynamicConfigClient(dynamicConfig(o.dynamic)),
	)
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	if o.postgres != "" {
		registerNamespaces(o)
	}
	fmt.Printf("serving %s:%d\n", o.ip, o.port)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	if o.watchStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop <- syscall.SIGTERM
		}()
	}
	<-stop
	if err := server.Stop(); err != nil {
		log.Fatal(err)
	}
}
