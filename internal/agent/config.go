package agent

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// Common is the part of the configuration that all agents have. An agent's own
// Config embeds it with `yaml:",inline"` and calls its Validate.
type Common struct {
	Identity `yaml:"agent"`
	Hub      HubConfig     `yaml:"hub"`
	Spool    SpoolConfig   `yaml:"spool"`
	HTTP     HTTPConfig    `yaml:"http"`
	Logging  LoggingConfig `yaml:"logging"`
}

// Identity is the section agent.
type Identity struct {
	ID                    string  `yaml:"id"`
	IntervalSeconds       float64 `yaml:"interval_seconds"`
	Enabled               bool    `yaml:"enabled"`
	HealthIntervalSeconds float64 `yaml:"health_interval_seconds"`
	StopTimeoutSeconds    float64 `yaml:"stop_timeout_seconds"`
}

// Interval is interval_seconds as a duration.
func (i Identity) Interval() time.Duration { return seconds(i.IntervalSeconds) }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// HubConfig says where the hub is and how this agent proves who it is. Paths are
// relative to the home folder.
type HubConfig struct {
	Host       string `yaml:"host" env:"EVENTBUS_HOST"`
	Port       int    `yaml:"port" env:"EVENTBUS_PORT"`
	ServerName string `yaml:"server_name"`
	TLSEnabled bool   `yaml:"tls_enabled"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	CACert     string `yaml:"ca_cert"`
}

// Addr is the hub's host:port.
func (h HubConfig) Addr() string { return net.JoinHostPort(h.Host, strconv.Itoa(h.Port)) }

// Name is the name that the hub's certificate must carry.
func (h HubConfig) Name() string {
	if h.ServerName != "" {
		return h.ServerName
	}
	return h.Host
}

// Files are the certificate files under home.
func (h HubConfig) Files(home config.Home) identity.Files {
	return identity.Files{CA: home.Path(h.CACert), Cert: home.Path(h.CertFile), Key: home.Path(h.KeyFile)}
}

// SpoolConfig bounds the disk spool.
type SpoolConfig struct {
	Path  string  `yaml:"path"`
	MaxMB float64 `yaml:"max_mb"`
	Drop  string  `yaml:"drop"`
	Fsync bool    `yaml:"fsync"`
}

// HTTPConfig says where /healthz, /metrics and /status are served.
type HTTPConfig struct {
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
}

// LoggingConfig is about the agent's log file.
type LoggingConfig struct {
	Level string `yaml:"level"`
}

// DefaultCommon returns the defaults of an agent with this id, port and interval.
func DefaultCommon(id string, port int, intervalSeconds float64) Common {
	return Common{
		Identity: Identity{
			ID: id, IntervalSeconds: intervalSeconds, Enabled: true,
			HealthIntervalSeconds: 30, StopTimeoutSeconds: 5,
		},
		Hub: HubConfig{
			Host: "localhost", Port: 5000, TLSEnabled: true,
			CertFile: "certs/agent.crt", KeyFile: "certs/agent.key", CACert: "certs/ca.crt",
		},
		Spool:   SpoolConfig{Path: "data/spool/", MaxMB: 64, Drop: string(spool.DropOldest)},
		HTTP:    HTTPConfig{Host: "127.0.0.1", Port: port},
		Logging: LoggingConfig{Level: "INFO"},
	}
}

// Validate reports every rule that c breaks.
func (c *Common) Validate(v *config.Check) {
	v.Name("agent.id", c.ID)
	v.RangeFloat("agent.interval_seconds", c.IntervalSeconds, 0.1, 86400)
	v.RangeFloat("agent.health_interval_seconds", c.HealthIntervalSeconds, 1, 86400)
	v.RangeFloat("agent.stop_timeout_seconds", c.StopTimeoutSeconds, 0, 300)
	c.Hub.validate(v.Under("hub"))
	v.NotEmpty("spool.path", c.Spool.Path)
	v.RangeFloat("spool.max_mb", c.Spool.MaxMB, 1, 1<<20)
	v.OneOf("spool.drop", c.Spool.Drop, string(spool.DropOldest), string(spool.DropNewest))
	v.Host("http.host", c.HTTP.Host)
	v.Port("http.port", c.HTTP.Port)
	if _, err := obs.ParseLevel(c.Logging.Level); err != nil {
		v.OneOf("logging.level", strings.ToUpper(c.Logging.Level), obs.LevelNames()...)
	}
}

func (h *HubConfig) validate(v *config.Check) {
	v.Host("host", h.Host)
	v.Range("port", h.Port, 1, 65535)
	if h.ServerName != "" {
		v.Host("server_name", h.ServerName)
	}
	if !h.TLSEnabled {
		if !IsLoopback(h.Host) {
			v.Add("tls_enabled", "may be false only for a hub on this machine: events would travel readable and unproven")
		}
		return
	}
	v.NotEmpty("cert_file", h.CertFile)
	v.NotEmpty("key_file", h.KeyFile)
	v.NotEmpty("ca_cert", h.CACert)
}

// IsLoopback reports whether host is this machine without asking DNS.
func IsLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// spoolDir is the folder of this agent's spool.
func (c *Common) spoolDir(home config.Home) string {
	return filepath.Join(home.Path(c.Spool.Path), c.ID)
}

// CommonTemplate is the text of the sections hub, spool, http and logging with
// their defaults and comments, for the end of an agent's template.
func CommonTemplate(port int) string {
	return fmt.Sprintf(`
# Where events go. EVENTBUS_HOST and EVENTBUS_PORT in the environment win.
hub:
  host: localhost
  port: 5000
  # Name in the hub's certificate, when it is not the host dialled.
  server_name: ""
  # Mutual TLS; false only for a hub on this machine.
  tls_enabled: true
  cert_file: certs/agent.crt
  key_file: certs/agent.key
  ca_cert: certs/ca.crt

# Events wait here until the hub has made them durable.
spool:
  # Each agent has a folder of its own below.
  path: data/spool/
  max_mb: 64
  # What goes when the spool is full: oldest or newest.
  drop: oldest
  # Wait for the disk at each event: survives a power cut too, and costs speed.
  fsync: false

# Local endpoints /healthz, /metrics and /status. Port 0 takes a free one.
http:
  host: 127.0.0.1
  port: %d

logging:
  # DEBUG, INFO, WARNING, ERROR or CRITICAL
  level: INFO
`, port)
}

// IdentityTemplate is the text of the section agent with its defaults.
func IdentityTemplate(id string, intervalSeconds float64) string {
	return fmt.Sprintf(`agent:
  id: %s
  # Seconds between readings.
  interval_seconds: %s
  enabled: true
  # Seconds between the agent's reports about itself.
  health_interval_seconds: 30
  # How long a stop waits for the hub to take what is spooled. The rest stays on disk.
  stop_timeout_seconds: 5
`, id, strconv.FormatFloat(intervalSeconds, 'f', -1, 64))
}
