// Package store is the memory of the system as a process: its configuration, its
// port and who may ask there. What is asked is answered by package answers, from
// what package ingest gave to the engine that package keeper runs; internal/app puts
// them together.
//
// The port is like the hub's: mutual TLS, one table of who may call what, bounds on
// connections, calls and messages, revoked certificates cut off while they are
// connected.
package store

import (
	_ "embed"
	"maps"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/spans"
)

// Config is what users write in store_config.yaml.
type Config struct {
	Server ServerConfig   `yaml:"server"`
	Hub    dial.HubConfig `yaml:"hub"`
	TLS    TLSConfig      `yaml:"tls"`
	Store  KeepConfig     `yaml:"store"`
	TSDB   TSDBConfig     `yaml:"tsdb"`
	Rules  RulesConfig    `yaml:"rules"`
	// RemoteWrite and OTLP are who gets all readings.
	RemoteWrite []RemoteWriteConfig  `yaml:"remote_write"`
	OTLP        []OTLPConfig         `yaml:"otlp"`
	Metrics     MetricsConfig        `yaml:"metrics"`
	OTel        spans.Config         `yaml:"otel"`
	Logging     config.LoggingConfig `yaml:"logging"`
}

// ServerConfig is about the port that dashboards and tools connect to.
type ServerConfig struct {
	Host              string `yaml:"host"` // empty: every address of the machine
	Port              int    `yaml:"port"` // 0: a free one
	TimeoutSeconds    int    `yaml:"timeout_seconds"`
	MaxConnections    int    `yaml:"max_connections"`
	ClientConnections int    `yaml:"max_connections_of_client"` // the share of one certificate
	MaxStreams        int    `yaml:"max_streams"`
}

// TLSConfig names the store's certificate, relative to the home folder.
type TLSConfig struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	CACert   string `yaml:"ca_cert"`
}

// KeepConfig is about what is kept, and for how long.
type KeepConfig struct {
	Engine          string         `yaml:"engine"`
	Path            string         `yaml:"path"`
	RetentionDays   int            `yaml:"retention_days"`
	RetentionSizeMB int            `yaml:"retention_size_mb"` // 0: no bound
	RetentionByType map[string]int `yaml:"retention_by_type"` // days, by type of event
	MinFreeMB       int            `yaml:"min_free_mb"`
	// Writes lets this store feed the clusters; of several that may, one does.
	Writes   bool            `yaml:"writes"`
	Clusters []ClusterConfig `yaml:"clusters"`
}

// Retention is how long events are kept.
func (k *KeepConfig) Retention() time.Duration {
	return time.Duration(k.RetentionDays) * 24 * time.Hour
}

// TSDBConfig is about the readings of all agents, and for how long they are kept.
type TSDBConfig struct {
	Path            string `yaml:"path"`
	RetentionDays   int    `yaml:"retention_days"`
	RetentionSizeMB int    `yaml:"retention_size_mb"` // 0: no bound
	MaxSeries       int    `yaml:"max_series"`        // in memory: those of the last hours
}

// Retention is how long readings are kept.
func (t *TSDBConfig) Retention() time.Duration {
	return time.Duration(t.RetentionDays) * 24 * time.Hour
}

// RulesConfig is about rules that record and alert.
type RulesConfig struct {
	Enabled                   bool    `yaml:"enabled"`
	Path                      string  `yaml:"path"`
	EvaluationIntervalSeconds float64 `yaml:"evaluation_interval_seconds"`
	Shipped                   bool    `yaml:"shipped"`
}

// Interval is how often groups are evaluated that do not say.
func (r *RulesConfig) Interval() time.Duration {
	return time.Duration(r.EvaluationIntervalSeconds * float64(time.Second))
}

// MetricsConfig is about the Prometheus endpoint.
type MetricsConfig struct {
	Enabled bool   `yaml:"enabled"`
	Host    string `yaml:"host"` // empty: every address of the machine
	Port    int    `yaml:"port"`
}

// Bounds of retention. The engine keeps no less than a day.
const (
	mostRetentionDays = 36500
	leastFreeMB       = 50
)

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Server:      ServerConfig{Port: 5002, TimeoutSeconds: 30, MaxConnections: 256, ClientConnections: 32, MaxStreams: 64},
		Hub:         dial.DefaultHub("store"),
		TLS:         TLSConfig{CertFile: "certs/store.crt", KeyFile: "certs/store.key", CACert: "certs/ca.crt"},
		Store:       KeepConfig{Engine: VictoriaLogs, Path: "data/store", RetentionDays: 30, RetentionByType: map[string]int{}, MinFreeMB: 500, Writes: true, Clusters: []ClusterConfig{}},
		TSDB:        TSDBConfig{Path: "data/metrics", RetentionDays: 400, RetentionSizeMB: 4096, MaxSeries: 500_000},
		Rules:       RulesConfig{Enabled: true, Path: "rules/metrics", EvaluationIntervalSeconds: 30, Shipped: true},
		RemoteWrite: []RemoteWriteConfig{}, OTLP: []OTLPConfig{},
		Metrics: MetricsConfig{Enabled: true, Host: "127.0.0.1", Port: 9092},
		OTel:    spans.Default(),
		Logging: config.DefaultLogging(),
	}
}

//go:embed store_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return config.Template(configTemplate, dial.HubSection("store"), spans.Section(), config.LoggingSection())
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	if c.Server.Host != "" {
		v.Host("server.host", c.Server.Host)
	}
	v.Port("server.port", c.Server.Port)
	v.Range("server.timeout_seconds", c.Server.TimeoutSeconds, 1, 3600)
	v.Range("server.max_connections", c.Server.MaxConnections, 8, 100_000)
	v.Range("server.max_connections_of_client", c.Server.ClientConnections, 1, 10_000)
	v.Range("server.max_streams", c.Server.MaxStreams, 8, 10_000)
	c.Hub.Validate(v.Under("hub"))
	v.NotEmpty("tls.cert_file", c.TLS.CertFile)
	v.NotEmpty("tls.key_file", c.TLS.KeyFile)
	v.NotEmpty("tls.ca_cert", c.TLS.CACert)
	c.validateKeep(v)
	c.TSDB.validate(v.Under("tsdb"))
	c.Rules.validate(v.Under("rules"))
	c.validateReceivers(v)
	if c.Metrics.Host != "" {
		v.Host("metrics.host", c.Metrics.Host)
	}
	v.Port("metrics.port", c.Metrics.Port)
	if c.Metrics.Enabled && c.Metrics.Port != 0 && c.Metrics.Port == c.Server.Port {
		v.Add("metrics.port", "is the same as server.port")
	}
	c.OTel.Validate(v.Under("otel"))
	c.Logging.Validate(v.Under("logging"))
}

func (c *Config) validateKeep(v *config.Check) {
	v.OneOf("store.engine", c.Store.Engine, VictoriaLogs, Embedded, VictoriaLogsCluster)
	c.Store.validateClusters(v)
	v.NotEmpty("store.path", c.Store.Path)
	v.Range("store.retention_days", c.Store.RetentionDays, 1, mostRetentionDays)
	v.Range("store.retention_size_mb", c.Store.RetentionSizeMB, 0, 1<<30)
	v.Range("store.min_free_mb", c.Store.MinFreeMB, leastFreeMB, 1<<20)
	for _, name := range slices.Sorted(maps.Keys(c.Store.RetentionByType)) {
		key := "store.retention_by_type." + name
		if !event.IsType(name) {
			v.Add(key, "is not a type of events: lower-case words joined by dots, such as process.exit")
		}
		v.Range(key, c.Store.RetentionByType[name], 1, c.Store.RetentionDays)
	}
}

// leastTSDBMB holds the head of a small database and its log, leastSeries the series of some
// tens of hosts. One goroutine could not write more than mostSeries in time.
const (
	leastTSDBMB = 128
	leastSeries = 10_000
	mostSeries  = 20_000_000
)

func (t *TSDBConfig) validate(v *config.Check) {
	v.NotEmpty("path", t.Path)
	v.Range("retention_days", t.RetentionDays, 1, mostRetentionDays)
	if t.RetentionSizeMB != 0 {
		v.Range("retention_size_mb", t.RetentionSizeMB, leastTSDBMB, 1<<30)
	}
	v.Range("max_series", t.MaxSeries, leastSeries, mostSeries)
}

func (r *RulesConfig) validate(v *config.Check) {
	v.NotEmpty("path", r.Path)
	v.RangeFloat("evaluation_interval_seconds", r.EvaluationIntervalSeconds, 5, 86400)
}

// Files returns the store's certificate files under home.
func (c *Config) Files(home config.Home) identity.Files {
	return identity.Files{CA: home.Path(c.TLS.CACert), Cert: home.Path(c.TLS.CertFile), Key: home.Path(c.TLS.KeyFile)}
}

// Address is where to listen.
func (c *Config) Address() string { return config.HostPort(c.Server.Host, c.Server.Port) }

func (c *Config) timeout() time.Duration { return time.Duration(c.Server.TimeoutSeconds) * time.Second }
