package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/config"
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
)

// useSQLite keeps everything in one SQLite file, or in memory, and creates what is missing there.
func useSQLite(conf *config.Config, o options) {
	store := config.SQL{PluginName: "sqlite"}
	if o.sqliteFile == "" {
		store.ConnectAttributes = map[string]string{"mode": "memory", "cache": "shared"}
		store.DatabaseName = fmt.Sprint(os.Getpid())
	} else {
		// synchronous=2: a commit survives the loss of power, as it does with a database server.
		store.ConnectAttributes = map[string]string{"mode": "rwc", "journal_mode": "wal", "synchronous": "2"}
		store.DatabaseName = o.sqliteFile
		if _, err := os.Stat(o.sqliteFile); os.IsNotExist(err) {
			if err := os.MkdirAll(filepath.Dir(o.sqliteFile), 0o700); err != nil {
				log.Fatal(err)
			}
			if err := sqliteschema.SetupSchema(&store); err != nil {
				log.Fatal("schema: ", err)
			}
		}
	}
	types := map[string]enums.IndexedValueType{}
	for _, attribute := range o.attributes {
		name, kind, _ := strings.Cut(attribute, "=")
		indexed, err := enums.IndexedValueTypeFromString(kind)
		if err != nil {
			log.Fatalf("--search-attribute %s: %v", attribute, err)
		}
		types[name] = indexed
	}
	var namespaces []*sqliteschema.NamespaceConfig
	for _, name := range o.namespaces {
		namespace, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, types)
		if err != nil {
			log.Fatalf("--namespace %s: %v", name, err)
		}
		namespaces = append(namespaces, namespace)
	}
	if err := sqliteschema.CreateNamespaces(&store, namespaces...); err != nil {
		log.Fatal("namespaces: ", err)
	}
	conf.Persistence.NumHistoryShards = int32(orDefault(o.shards, 1))
	conf.Persistence.DataStores = map[string]config.DataStore{"main": {SQL: &store}, "visibility": {SQL: &store}}
}

func orDefault(value, otherwise int) int {
	if value != 0 {
		return value
	}
	return otherwise
}
