package hub

import (
	_ "embed"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// Config is what users write in eventbus_config.yaml.
type Config struct {
	Server  ServerConfig  `yaml:"server"`
	WAL     WALConfig     `yaml:"wal"`
	TLS     TLSConfig     `yaml:"tls"`
	Metrics MetricsConfig `yaml:"metrics"`
	Logging LoggingConfig `yaml:"logging"`
}

// ServerConfig is about the port that agents and tools connect to.
type ServerConfig struct {
	Host           string `yaml:"host"` // empty: every address of the machine
	Port           int    `yaml:"port"`
	Workers        int    `yaml:"workers"`
	TimeoutSeconds int    `yaml:"timeout_seconds"`
	MaxConnections int    `yaml:"max_connections"`
	MaxStreams     int    `yaml:"max_streams"`
	MaxMessageMB   int    `yaml:"max_message_mb"`
	MaxEventKB     int    `yaml:"max_event_kb"`
	MaxBatchEvents int    `yaml:"max_batch_events"`
	MaxInFlight    int    `yaml:"max_in_flight"`
	QueueMB        int    `yaml:"queue_mb"`
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

// LoggingConfig is about logs/eventbus.log.
type LoggingConfig struct {
	Level string `yaml:"level"`
}

// minBatchEvents is more than our agents put into a batch: a smaller bound would
// end their streams over the same batch for ever.
const minBatchEvents = 1000

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Server: ServerConfig{
			Port: 5000, Workers: 4, TimeoutSeconds: 30,
			MaxConnections: 8192, MaxStreams: 128, MaxMessageMB: 16, MaxEventKB: 1024,
			MaxBatchEvents: 65536, MaxInFlight: 64, QueueMB: 16,
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
		Logging: LoggingConfig{Level: "INFO"},
	}
}

//go:embed eventbus_config.yaml
var configTemplate []byte

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte { return append([]byte(nil), configTemplate...) }

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	if c.Server.Host != "" {
		v.Host("server.host", c.Server.Host)
	}
	v.Port("server.port", c.Server.Port)
	v.Range("server.workers", c.Server.Workers, 1, 1024)
	v.Range("server.timeout_seconds", c.Server.TimeoutSeconds, 1, 3600)
	v.Range("server.max_connections", c.Server.MaxConnections, 1, 1_000_000)
	v.Range("server.max_streams", c.Server.MaxStreams, 1, 10_000)
	v.Range("server.max_message_mb", c.Server.MaxMessageMB, 1, 32)
	v.Range("server.max_event_kb", c.Server.MaxEventKB, 1, 16<<10)
	if c.Server.MaxEventKB > c.Server.MaxMessageMB<<10 {
		v.Add("server.max_event_kb", "must not be more than server.max_message_mb, which is %d KB", c.Server.MaxMessageMB<<10)
	}
	v.Range("server.max_batch_events", c.Server.MaxBatchEvents, minBatchEvents, 1_000_000)
	v.Range("server.max_in_flight", c.Server.MaxInFlight, 1, 4096)
	v.Range("server.queue_mb", c.Server.QueueMB, 1, 4096)
	c.validateWAL(v)
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
	if _, err := obs.ParseLevel(c.Logging.Level); err != nil {
		v.OneOf("logging.level", strings.ToUpper(c.Logging.Level), "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
	}
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

func (c *Config) timeout() time.Duration { return time.Duration(c.Server.TimeoutSeconds) * time.Second }
