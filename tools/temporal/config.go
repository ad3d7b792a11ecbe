package main

import (
	"encoding/json"
	"fmt"
	"log"
	"strings"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/primitives"
)

const clusterName = "active"

// serverConfig is the configuration of all four services in this process, but for their stores.
func serverConfig(o options) (*config.Config, map[primitives.ServiceName]static.Hosts) {
	address := fmt.Sprintf("%s:%d", o.ip, o.port)
	conf := &config.Config{}
	conf.Global.Membership.MaxJoinDuration = 30 * time.Second
	conf.Global.Membership.BroadcastAddress = o.ip
	if o.metricsPort != 0 {
		listen := fmt.Sprintf("%s:%d", o.ip, o.metricsPort)
		conf.Global.Metrics = &metrics.Config{Prometheus: &metrics.PrometheusConfig{ListenAddress: listen, HandlerPath: "/metrics"}}
	}
	conf.Persistence.DefaultStore, conf.Persistence.VisibilityStore = "main", "visibility"
	conf.ClusterMetadata = &cluster.Config{
		FailoverVersionIncrement: 10, MasterClusterName: clusterName, CurrentClusterName: clusterName,
		ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {
			Enabled: true, InitialFailoverVersion: 1, RPCAddress: address, HTTPAddress: fmt.Sprintf("%s:%d", o.ip, o.httpPort),
		}},
	}
	conf.DCRedirectionPolicy.Policy = "noop"
	conf.Archival.History.State, conf.Archival.Visibility.State = "disabled", "disabled"
	conf.NamespaceDefaults.Archival.History.State, conf.NamespaceDefaults.Archival.Visibility.State = "disabled", "disabled"
	conf.PublicClient.HostPort = address

	conf.Services = map[string]config.Service{}
	hosts := map[primitives.ServiceName]static.Hosts{}
	for _, name := range []primitives.ServiceName{
		primitives.FrontendService, primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
	} {
		var service config.Service
		service.RPC.BindOnIP = o.ip
		if name == primitives.FrontendService {
			service.RPC.GRPCPort, service.RPC.HTTPPort = o.port, o.httpPort
		} else {
			service.RPC.GRPCPort = freePort(o.ip)
		}
		conf.Services[string(name)] = service
		hosts[name] = static.SingleLocalHost(fmt.Sprintf("%s:%d", o.ip, service.RPC.GRPCPort))
	}
	return conf, hosts
}

// dynamicConfig is what is set besides the server's own defaults: values given as KEY=JSON, over some for one machine.
func dynamicConfig(given []string) dynamicconfig.StaticClient {
	values := dynamicconfig.StaticClient{
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key():                 8096,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 100,
	}
	for _, entry := range given {
		key, text, _ := strings.Cut(entry, "=")
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			log.Fatalf("--dynamic-config-value %s: %v", entry, err)
		}
		if number, ok := value.(float64); ok && number == float64(int(number)) {
			value = int(number)
		}
		values[dynamicconfig.MakeKey(key)] = value
	}
	return values
}
