package store

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/config"
)

func TestConfigTemplateIsTheDefault(t *testing.T) {
	got := Config{Store: KeepConfig{RetentionByType: map[string]int{}}, RemoteWrite: []RemoteWriteConfig{}, OTLP: []OTLPConfig{}}
	if err := config.Decode("store_config.yaml", ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), got); diff != "" {
		t.Errorf("(-default +template):\n%s", diff)
	}
	if got.Store.Retention() != 30*24*time.Hour {
		t.Error(got.Store.Retention())
	}
}

func clustered(one string) string {
	return "store: {engine: victorialogs-cluster, clusters: [{" + one + "}]}"
}

func TestConfigFaults(t *testing.T) {
	tests := []struct{ text, want string }{
		{"server: {port: 70000}", "server.port"},
		{"server: {host: 'a b'}", "server.host"},
		{"server: {max_streams: 1}", "server.max_streams"},
		{"server: {max_connections: 1}", "server.max_connections"},
		{"hub: {port: 0}", "hub.port"},
		{"tls: {cert_file: ''}", "tls.cert_file: must not be empty"},
		{"store: {engine: lucene}", "valid: victorialogs, embedded, victorialogs-cluster"},
		{"store: {clusters: [{name: a, select: 'http://s:1', nodes: ['http://n:1']}]}", "counts with store.engine: victorialogs-cluster alone"},
		{"store: {engine: victorialogs-cluster}", "must name the clusters"},
		{clustered("name: a, select: 's:1', nodes: ['http://n:1']"), "store.clusters[0].select: must be a URL"},
		{clustered("name: a, select: 'http://s:1', nodes: []"), "store.clusters[0].nodes: must name the storage nodes"},
		{clustered("name: a, select: 'http://s:1', nodes: ['http://n:1', 'http://n:1']"), "store.clusters[0].nodes[1]: is there twice"},
		{clustered("name: a, select: 'http://s:1', nodes: ['http://u:p@n:1']"), "must have no name and password in it"},
		{clustered("name: a, select: 'http://s:1', nodes: ['ftp://u:p@n:1']"), "must have no name and password in it"},
		{clustered("name: a, select: 'http://s:1', nodes: ['http://n:1'], tls: {ca_cert: x}"), "tls: counts with addresses that begin with https"},
		{clustered("name: a, select: 'http://127.0.0.1:1', nodes: ['http://n:1'], bearer: x"), "store.clusters[0].nodes[0]: must begin with https"},
		{clustered("name: a, select: 'https://s:1', nodes: ['https://n:1'], bearer: x, username: u, password: p"), "bearer: excludes"},
		{clustered("name: a, select: 'https://s:1', nodes: ['https://n:1'], username: u"), "password: and username belong together"},
		{clustered("name: a, select: 'https://s:1', nodes: ['https://n:1'], tls: {cert_file: x}"), "tls.key_file: and cert_file belong together"},
		{"store: {path: ''}", "store.path: must not be empty"},
		{"store: {retention_days: 0}", "store.retention_days"},
		{"store: {retention_size_mb: -1}", "store.retention_size_mb"},
		{"store: {min_free_mb: 1}", "store.min_free_mb"},
		{"store: {retention_by_type: {process.exit: 31}}", "must be from 1 to 30"},
		{"store: {retention_by_type: {Exit: 3}}", "is not a type of events"},
		{"store: {retention_day: 3}", `did you mean "retention_days"?`},
		{"tsdb: {path: ''}", "tsdb.path: must not be empty"},
		{"tsdb: {retention_days: 0}", "tsdb.retention_days"},
		{"tsdb: {retention_size_mb: 1}", "tsdb.retention_size_mb"},
		{"tsdb: {max_series: 9999}", "tsdb.max_series"},
		{"rules: {path: ''}", "rules.path: must not be empty"},
		{"rules: {evaluation_interval_seconds: 1}", "rules.evaluation_interval_seconds"},
		{"remote_write: [{url: ftp://x}]", "remote_write[0].url: must begin with http://"},
		{"remote_write: [{url: 'http://a:b@x'}]", "remote_write[0].url: holds a user"},
		{"remote_write: [{url: 'http://x', version: 3}]", "remote_write[0].version"},
		{"remote_write: [{url: 'http://x'}, {url: 'http://x'}]", "remote_write[1].name: x is the name of another"},
		{"remote_write: [{url: 'http://x', match: ['a{']}]", "remote_write[0].match[0]: is no selector"},
		{"remote_write: [{url: 'http://x', labels: {a-b: c}}]", "remote_write[0].labels.a-b: is no name"},
		{"remote_write: [{url: 'http://x', bearer_token: a, username: b}]", "remote_write[0].bearer_token"},
		{"otlp: [{endpoint: ''}]", "otlp[0].endpoint"},
		{"metrics: {port: 5002}", "metrics.port: is the same as server.port"},
		{"logging: {level: LOUD}", "valid: DEBUG"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			cfg := DefaultConfig()
			err := config.Decode("f", []byte(tt.text), &cfg, config.DecodeOptions{Env: config.NoEnv})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want words %q", err, tt.want)
			}
		})
	}
	cfg := DefaultConfig()
	env := func(name string) (string, bool) { return "hub.example", name == config.EnvHubHost }
	if err := config.Decode("f", []byte("store: {retention_by_type: {process.exit: 7}}"), &cfg, config.DecodeOptions{Env: env}); err != nil {
		t.Fatal(err)
	}
	if cfg.Hub.Host != "hub.example" || cfg.Store.RetentionByType["process.exit"] != 7 {
		t.Errorf("%+v", cfg)
	}
}
