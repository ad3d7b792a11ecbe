package main

import (
	"log"
	"net"
	"time"

	"go.temporal.io/server/common/config"
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/tools/sql"
)

const (
	postgresPlugin     = "postgres12"
	mainDatabase       = "temporal"
	visibilityDatabase = "temporal_visibility"
)

// usePostgres keeps everything in two databases of a PostgreSQL server. Namespaces are made by its clients.
func usePostgres(conf *config.Config, o options) {
	if o.postgresSetup {
		setUpSchema(o, mainDatabase, "temporal")
		setUpSchema(o, visibilityDatabase, "visibility")
	}
	store := func(database string, connections int) config.DataStore {
		return config.DataStore{SQL: &config.SQL{
			PluginName: postgresPlugin, DatabaseName: database, ConnectAddr: o.postgres, ConnectProtocol: "tcp",
			User: o.postgresUser, Password: o.postgresPassword,
			MaxConns: connections, MaxIdleConns: connections, MaxConnLifetime: time.Hour,
		}}
	}
	conf.Persistence.NumHistoryShards = int32(orDefault(o.shards, 4))
	conf.Persistence.DataStores = map[string]config.DataStore{
		"main": store(mainDatabase, 20), "visibility": store(visibilityDatabase, 5),
	}
}

// setUpSchema creates a database and its schema, and brings an older schema up to date.
func setUpSchema(o options, database, schema string) {
	host, port, err := net.SplitHostPort(o.postgres)
	if err != nil {
		log.Fatalf("--postgres %s: %v", o.postgres, err)
	}
	base := []string{
		"sql", "--plugin", postgresPlugin, "--ep", host, "-p", port, "-u", o.postgresUser, "--pw", o.postgresPassword, "--db", database,
	}
	for _, step := range [][]string{
		{"create-database"}, {"setup-schema", "-v", "0.0"}, {"update-schema", "--schema-name", "postgresql/v12/" + schema},
	} {
		if err := sql.RunTool(append(append([]string{}, base...), step...)); err != nil {
			log.Fatalf("%s of %s: %v", step[0], database, err)
		}
	}
}
