package hub

import (
	_ "embed"
	"path"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/spans"
	"github.com/amoskys/amoskys/internal/stream"
)

// Config is what users write in eventbus_config.yaml.
type Config struct {
	Server  ServerConfig  `yaml:"server"`
	WAL     WALConfig     `yaml:"wal"`
	TLS     TLSConfig     `yaml:"tls"`
	Metrics MetricsConfig `yaml:"metrics"`
	Fleet   FleetConfig   `yaml:"fleet"`
	Audit   AuditConfig   `yaml:"audit"`
	State   StateConfig   `yaml:"state"`
	// Enrollment is about hosts that join.
	Enrollment EnrollmentConfig     `yaml:"enrollment"`
	OTel       spans.SourceConfig   `yaml:"otel"`
	Logging    config.LoggingConfig `yaml:"logging"`
}

// ServerConfig is about the port that agents and tools connect to.
type ServerConfig struct {
	Host           string `yaml:"host"` // empty: every address of the machine
	Port           int    `yaml:"port"`
	Workers        int    `yaml:"workers"`
	TimeoutSeconds int    `yaml:"timeout_seconds"`
	MaxConnections int    `yaml:"max_connections"` // 0: as memory and descriptors allow
	// AgentConnections and ClientConnections are the share of one certificate: of an
	// agent or a node, and of everybody else.
	AgentConnections  int `yaml:"max_connections_of_agent"`
	ClientConnections int `yaml:"max_connections_of_client"`
	// Subscriptions is the share of one certificate; of a dashboard's, which has them
	// for all who look at it, eight times that.
	Subscriptions  int `yaml:"max_subscriptions"`
	MaxStreams     int `yaml:"max_streams"`
	MaxMessageMB   int `yaml:"max_message_mb"`
	MaxEventKB     int `yaml:"max_event_kb"`
	MaxBatchEvents int `yaml:"max_batch_events"`
	MaxInFlight    int `yaml:"max_in_flight"`
	QueueMB        int `yaml:"queue_mb"`
	// WatchdogSeconds is for whoever supervises the hub; 0: never.
	WatchdogSeconds int `yaml:"watchdog_seconds"`
}

// WALConfig is about the log.
type WALConfig struct {
	Enabled         bool    `yaml:"enabled"`
	Path            string  `yaml:"path"`
	RotationSizeMB  int     `yaml:"rotation_size_mb"`
	RotationHours   int     `yaml:"rotation_hours"`
	RetentionDays   float64 `yaml:"retention_days"`
	RetentionSizeMB int     `yaml:"retention_size_mb"` // 0: no bound
	MinFreeMB       int     `yaml:"min_free_mb"`
}

// TLSConfig names the hub's certificate, relative to the home folder.
type TLSConfig struct {
	Enabled           bool   `yaml:"enabled"`
	CertFile          string `yaml:"cert_file"`
	KeyFile           string `yaml:"key_file"`
	CACert            string `yaml:"ca_cert"`
	BindClientAddress bool   `yaml:"bind_client_address"`
	RequireClientAuth bool   `yaml:"require_client_auth"`
}

// MetricsConfig is about the Prometheus endpoint.
type MetricsConfig struct {
	Enabled         bool   `yaml:"enabled"`
	Host            string `yaml:"host"` // empty: every address of the machine
	Port            int    `yaml:"port"`
	IntervalSeconds int    `yaml:"interval_seconds"`
}

// FleetConfig is about the hosts that report to the hub.
type FleetConfig struct {
	SilentHostMinutes float64 `yaml:"silent_host_minutes"` // 0: never
}

// AuditConfig is about the trail of administrative acts in the database.
type AuditConfig struct {
	RetentionDays float64 `yaml:"retention_days"` // 0: for ever
}

// Keep is how long records are kept; 0 is for ever.
func (a AuditConfig) Keep() time.Duration {
	return time.Duration(a.RetentionDays * 24 * float64(time.Hour))
}

// StateConfig is where accounts, agents and the audit trail are kept.
type StateConfig struct {
	// URL is that of a PostgreSQL database; empty: data/state.db under the home folder.
	URL config.Secret `yaml:"url"`
}

// EnrollmentConfig is about hosts that join.
type EnrollmentConfig struct {
	// JoinToken lets hosts join for as long as it stands here.
	JoinToken config.Secret `yaml:"join_token"`
	// JoinHostPattern holds them to names, as path.Match understands it; empty: any.
	JoinHostPattern string `yaml:"join_host_pattern"`
}

// SilentAfter is how long a host's node may be away before that is a finding.
func (f FleetConfig) SilentAfter() time.Duration {
	return time.Duration(f.SilentHostMinutes * float64(time.Minute))
}

// minBatchEvents is more than our agents put into a batch: a smaller bound would
// end their streams over the same batch for ever.
const minBatchEvents = 1000

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Server: ServerConfig{
			Port: 5000, Workers: 4, TimeoutSeconds: 30,
			AgentConnections: 32, ClientConnections: 256, Subscriptions: 64, MaxStreams: 128, MaxMessageMB: 16, MaxEventKB: 1024,
			MaxBatchEvents: stream.MaxEvents, MaxInFlight: 64, QueueMB: 16, WatchdogSeconds: 45,
		},
		WAL: WALConfig{
			Enabled: true, Path: "data/wal/", RotationSizeMB: 100, RotationHours: 24,
			RetentionDays: 7, MinFreeMB: 256,
		},
		TLS: TLSConfig{
			Enabled: true, CertFile: "certs/eventbus.crt", KeyFile: "certs/eventbus.key",
			CACert: "certs/ca.crt", RequireClientAuth: true, BindClientAddress: true,
		},
		Metrics: MetricsConfig{Enabled: true, Port: 9090, IntervalSeconds: 5},
		Fleet:   FleetConfig{SilentHostMinutes: 5},
		Audit:   AuditConfig{RetentionDays: 400},
		OTel:    spans.DefaultSource(batchRatio),
		Logging: config.DefaultLogging(),
	}
}

// batchRatio is the part of all batches of which traces are made by default: a fleet
// publishes hundreds a second.
const batchRatio = 0.01

//go:embed eventbus_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return config.Template(configTemplate, spans.SourceSection("the batches", batchRatio), config.LoggingSection())
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	if c.Server.Host != "" {
		v.Host("server.host", c.Server.Host)
	}
	v.Port("server.port", c.Server.Port)
	v.Range("server.workers", c.Server.Workers, 1, 1024)
	v.Range("server.timeout_seconds", c.Server.TimeoutSeconds, 1, 3600)
	v.Range("server.max_connections", c.Server.MaxConnections, 0, 1_000_000)
	v.Range("server.max_connections_of_agent", c.Server.AgentConnections, 1, 1_000_000)
	v.Range("server.max_connections_of_client", c.Server.ClientConnections, 1, 1_000_000)
	v.Range("server.max_subscriptions", c.Server.Subscriptions, 1, 100_000)
	v.Range("server.max_streams", c.Server.MaxStreams, 1, 10_000)
	v.Range("server.max_message_mb", c.Server.MaxMessageMB, 1, 32)
	v.Range("server.max_event_kb", c.Server.MaxEventKB, 1, 16<<10)
	if c.Server.MaxEventKB > c.Server.MaxMessageMB<<10 {
		v.Add("server.max_event_kb", "must not be more than server.max_message_mb, which is %d KB", c.Server.MaxMessageMB<<10)
	}
	v.Range("server.max_batch_events", c.Server.MaxBatchEvents, minBatchEvents, stream.MaxEvents)
	v.Range("server.max_in_flight", c.Server.MaxInFlight, 1, 4096)
	v.Range("server.queue_mb", c.Server.QueueMB, 1, 4096)
	if c.Server.WatchdogSeconds != 0 {
		v.Range("server.watchdog_seconds", c.Server.WatchdogSeconds, 10, 3600)
	}
	v.RangeFloat("fleet.silent_host_minutes", c.Fleet.SilentHostMinutes, 0, 7*24*60)
	v.RangeFloat("audit.retention_days", c.Audit.RetentionDays, 0, 36500)
	c.validateWAL(v)
	if _, err := path.Match(c.Enrollment.JoinHostPattern, ""); err != nil {
		v.Add("enrollment.join_host_pattern", "a [ is not closed, or a \\ ends it")
	}
	if !c.TLS.Enabled {
		v.Add("tls.enabled", "must be true: who may publish and read is decided by certificates")
	}
	if !c.TLS.RequireClientAuth {
		v.Add("tls.require_client_auth", "must be true: who may publish and read is decided by certificates")
	}
	v.NotEmpty("tls.cert_file", c.TLS.CertFile)
	v.NotEmpty("tls.key_file", c.TLS.KeyFile)
	v.NotEmpty("tls.ca_cert", c.TLS.CACert)
	if c.Metrics.Host != "" {
		v.Host("metrics.host", c.Metrics.Host)
	}
	v.Port("metrics.port", c.Metrics.Port)
	v.Range("metrics.interval_seconds", c.Metrics.IntervalSeconds, 1, 3600)
	if c.Metrics.Enabled && c.Metrics.Port != 0 && c.Metrics.Port == c.Server.Port {
		v.Add("metrics.port", "is the same as server.port")
	}
	c.OTel.Validate(v.Under("otel"))
	c.Logging.Validate(v.Under("logging"))
}

func (c *Config) validateWAL(v *config.Check) {
	if !c.WAL.Enabled {
		v.Add("wal.enabled", "must be true: an event is acknowledged only when it is on disk")
	}
	v.NotEmpty("wal.path", c.WAL.Path)
	v.Range("wal.rotation_size_mb", c.WAL.RotationSizeMB, 1, 4096)
	if c.WAL.RotationSizeMB < c.Server.MaxMessageMB {
		v.Add("wal.rotation_size_mb", "must not be less than server.max_message_mb, which is %d", c.Server.MaxMessageMB)
	}
	v.Range("wal.rotation_hours", c.WAL.RotationHours, 1, 24*365)
	v.RangeFloat("wal.retention_days", c.WAL.RetentionDays, 0.001, 36500)
	v.Range("wal.retention_size_mb", c.WAL.RetentionSizeMB, 0, 1<<30)
	v.Range("wal.min_free_mb", c.WAL.MinFreeMB, 0, 1<<20)
}

// Files returns the hub's certificate files under home.
func (c *Config) Files(home config.Home) identity.Files {
	return identity.Files{
		CA: home.Path(c.TLS.CACert), Cert: home.Path(c.TLS.CertFile), Key: home.Path(c.TLS.KeyFile),
	}
}

// Sizes that the limit for a message follows from, in bytes.
const (
	batchBytes   = 256 << 10 // what agents put into a batch, unless one event is larger
	framingBytes = 64 << 10  // producer, sequence, and the lengths of the events
)

// messageLimit is the most bytes of one message: a batch, or one event that is
// larger than a batch, with what is around them.
func (c *ServerConfig) messageLimit() int {
	return min(max(c.MaxEventKB<<10, batchBytes)+framingBytes, c.MaxMessageMB<<20)
}

func (c *Config) timeout() time.Duration { return time.Duration(c.Server.TimeoutSeconds) * time.Second }

// What connections may use when max_connections is 0: half of the memory, of which
// an idle one takes 90 to 110 KiB (docs/scale.md), and all descriptors but those
// for the log, the database and the other ports.
const (
	connectionBytes      = 128 << 10
	reservedDescriptors  = 512
	fewestConnections    = 64
	unknownConnections   = 8_192 // where the system does not say
	mostConnectionsAtAll = 1_000_000
)

// connections is max_connections, or what memory and descriptors allow; 0 of
// either is unknown.
func (c *ServerConfig) connections(memory int64, descriptors int) int {
	if c.MaxConnections > 0 {
		return c.MaxConnections
	}
	most := unknownConnections
	if memory > 0 {
		most = int(min(memory/2/connectionBytes, mostConnectionsAtAll))
	}
	if descriptors > 0 {
		most = min(most, descriptors-reservedDescriptors)
	}
	return max(most, fewestConnections)
}

// connectionsOf returns how many connections one certificate of a role may have.
func (c *ServerConfig) connectionsOf(r identity.Role) int {
	if r == identity.RoleAgent || r == identity.RoleNode {
		return c.AgentConnections
	}
	return c.ClientConnections
}
