package eventbus

import (
	_ "embed"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// Defaults that the definition and the configuration share.
const (
	defaultID       = "eventbus"
	defaultPort     = 50001
	defaultInterval = 10
)

// Config is what users write in eventbus_agent_config.yaml.
type Config struct {
	agent.Common `yaml:",inline"`
	Monitoring   Monitoring `yaml:"monitoring"`
}

// Monitoring says which hub is measured, and how. Paths are relative to the home folder.
type Monitoring struct {
	EventbusHost      string  `yaml:"eventbus_host" env:"EVENTBUS_HOST"`
	EventbusPort      int     `yaml:"eventbus_port" env:"EVENTBUS_PORT"`
	ServerName        string  `yaml:"server_name"`
	MetricsExportHost string  `yaml:"metrics_export_host"`
	MetricsExportPort int     `yaml:"metrics_export_port"`
	TLSEnabled        bool    `yaml:"tls_enabled"`
	CertFile          string  `yaml:"cert_file"`
	KeyFile           string  `yaml:"key_file"`
	CACert            string  `yaml:"ca_cert"`
	TimeoutSeconds    float64 `yaml:"timeout_seconds"`
	// EventIntervalSeconds is how often a look is kept as an event; 0 keeps all.
	EventIntervalSeconds float64 `yaml:"event_interval_seconds"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Common: agent.DefaultCommon(defaultID, defaultPort, defaultInterval),
		Monitoring: Monitoring{
			EventbusHost: "localhost", EventbusPort: 5000, MetricsExportHost: "127.0.0.1", MetricsExportPort: 9091,
			TLSEnabled: true, CertFile: "certs/client.crt", KeyFile: "certs/client.key", CACert: "certs/ca.crt",
			TimeoutSeconds: 5, EventIntervalSeconds: 300,
		},
	}
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	c.Common.Validate(v)
	m := v.Under("monitoring")
	m.Host("eventbus_host", c.Monitoring.EventbusHost)
	m.Range("eventbus_port", c.Monitoring.EventbusPort, 1, 65535)
	if c.Monitoring.ServerName != "" {
		m.Host("server_name", c.Monitoring.ServerName)
	}
	m.Host("metrics_export_host", c.Monitoring.MetricsExportHost)
	m.Port("metrics_export_port", c.Monitoring.MetricsExportPort)
	if p := c.Monitoring.MetricsExportPort; p != 0 && p == c.HTTP.Port {
		m.Add("metrics_export_port", "is the same as http.port")
	}
	m.RangeFloat("timeout_seconds", c.Monitoring.TimeoutSeconds, 0.1, 300)
	m.RangeFloat("event_interval_seconds", c.Monitoring.EventIntervalSeconds, 0, 86400)
	if !c.Monitoring.TLSEnabled {
		if !obs.IsLoopback(c.Monitoring.EventbusHost) {
			m.Add("tls_enabled", "may be false only for a hub on this machine")
		}
		return
	}
	m.NotEmpty("cert_file", c.Monitoring.CertFile)
	m.NotEmpty("key_file", c.Monitoring.KeyFile)
	m.NotEmpty("ca_cert", c.Monitoring.CACert)
}

// addr is the measured hub's host:port.
func (m *Monitoring) addr() string {
	return config.HostPort(m.EventbusHost, m.EventbusPort)
}

func (m *Monitoring) files(home config.Home) identity.Files {
	return identity.Files{CA: home.Path(m.CACert), Cert: home.Path(m.CertFile), Key: home.Path(m.KeyFile)}
}

//go:embed eventbus_agent_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return agent.Template(configTemplate, defaultPort, defaultInterval)
}

// Definition describes the agent to the runtime.
func Definition() agent.Definition {
	return agent.Define(agent.Definition{
		Kind: "eventbus", ID: defaultID, Port: defaultPort, ConfigName: "eventbus_agent",
		Summary:  "the hub as its clients see it: health, latency, queue, throughput",
		Template: ConfigTemplate, Tasks: tasks(),
	}, DefaultConfig, func(cfg Config, o agent.Options) (agent.Agent, error) { return New(cfg.Monitoring, o) })
}

var _ agent.Deriver = (*Config)(nil)

// Derive implements agent.Deriver: events go to the measured hub where the file
// does not name another, so that who moves the hub changes one place.
func (c *Config) Derive(set map[string]string) {
	if _, given := set["hub.host"]; !given {
		c.Hub.Host = c.Monitoring.EventbusHost
		if _, given := set["hub.server_name"]; !given {
			c.Hub.ServerName = c.Monitoring.ServerName
		}
	}
	if _, given := set["hub.port"]; !given {
		c.Hub.Port = c.Monitoring.EventbusPort
	}
	if _, given := set["hub.tls_enabled"]; !given && obs.IsLoopback(c.Hub.Host) {
		c.Hub.TLSEnabled = c.Monitoring.TLSEnabled
	}
}
