package dashboard

import (
	_ "embed"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/spans"
)

// Config is what users write in dashboard_config.yaml.
type Config struct {
	Server  ServerConfig       `yaml:"server"`
	TLS     TLSConfig          `yaml:"tls"`
	Hub     HubConfig          `yaml:"hub"`
	Store   dial.StoreConfig   `yaml:"store"`
	Session SessionConfig      `yaml:"session"`
	Live    LiveConfig         `yaml:"live"`
	Grafana GrafanaConfig      `yaml:"grafana"`
	OTel    spans.SourceConfig `yaml:"otel"`
	Logging LoggingConfig      `yaml:"logging"`
}

// ServerConfig is about the port that browsers connect to.
type ServerConfig struct {
	Host           string   `yaml:"host"`
	Port           int      `yaml:"port"` // 0: a free one
	MaxConnections int      `yaml:"max_connections"`
	TrustedProxies []string `yaml:"trusted_proxies"`
	AllowedOrigins []string `yaml:"allowed_origins"`
}

// TLSConfig names the certificate for browsers, relative to the home folder.
type TLSConfig struct {
	Enabled  bool   `yaml:"enabled"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// HubConfig is the section hub of a dashboard.
type HubConfig struct {
	dial.HubConfig `yaml:",inline"`

	TimeoutSeconds int `yaml:"timeout_seconds"`
}

// SessionConfig is about the browser's cookie.
type SessionConfig struct {
	MaxHours int `yaml:"max_hours"`
}

// LiveConfig bounds the live stream.
type LiveConfig struct {
	MaxConnections int `yaml:"max_connections"`
	MaxEvents      int `yaml:"max_events"`
}

// GrafanaConfig is about the Grafana that pages link to.
type GrafanaConfig struct {
	URL        string `yaml:"url"`
	DataSource string `yaml:"datasource"`
}

// LoggingConfig is about logs/dashboard.log.
type LoggingConfig struct {
	config.LoggingConfig `yaml:",inline"`

	Access bool `yaml:"access"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Server:  ServerConfig{Host: "127.0.0.1", Port: 5001, MaxConnections: 1024, TrustedProxies: []string{}, AllowedOrigins: []string{}},
		Hub:     HubConfig{HubConfig: dial.DefaultHub("dashboard"), TimeoutSeconds: 10},
		Store:   dial.DefaultStore(),
		Session: SessionConfig{MaxHours: 168},
		Live:    LiveConfig{MaxConnections: 512, MaxEvents: 200},
		Grafana: GrafanaConfig{DataSource: "amoskys"},
		OTel:    spans.DefaultSource(1),
		Logging: LoggingConfig{LoggingConfig: config.DefaultLogging(), Access: true},
	}
}

//go:embed dashboard_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte {
	return config.Template(configTemplate, dial.HubSection("dashboard"), dial.StoreSection(), spans.SourceSection("the requests", 1), config.LoggingSection())
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	if c.Server.Host != "" {
		v.Host("server.host", c.Server.Host)
	}
	v.Port("server.port", c.Server.Port)
	v.Range("server.max_connections", c.Server.MaxConnections, 16, 1_000_000)
	for i, p := range c.Server.TrustedProxies {
		v.Prefix("server.trusted_proxies["+strconv.Itoa(i)+"]", p)
	}
	for i, o := range c.Server.AllowedOrigins {
		if o == "" || strings.ContainsAny(o, "*/ ") {
			v.Add("server.allowed_origins["+strconv.Itoa(i)+"]", "must be a host name, with :port where it is not the usual one, not %q", o)
		}
	}
	if c.TLS.Enabled {
		v.NotEmpty("tls.cert_file", c.TLS.CertFile)
		v.NotEmpty("tls.key_file", c.TLS.KeyFile)
	}
	c.Hub.Validate(v.Under("hub"))
	v.Range("hub.timeout_seconds", c.Hub.TimeoutSeconds, 1, 300)
	c.Store.Validate(v.Under("store"))
	v.Range("session.max_hours", c.Session.MaxHours, 1, 24*365)
	v.Range("live.max_connections", c.Live.MaxConnections, 1, 100_000)
	v.Range("live.max_events", c.Live.MaxEvents, 1, 5_000)
	c.Grafana.validate(v.Under("grafana"))
	c.OTel.Validate(v.Under("otel"))
	c.Logging.Validate(v.Under("logging"))
}

func (g *GrafanaConfig) validate(v *config.Check) {
	if g.URL == "" {
		return
	}
	u, err := url.Parse(g.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		v.Add("url", "must be an address of http or https such as https://grafana.example.org, not %q", g.URL)
	}
	v.NotEmpty("datasource", g.DataSource)
}

// Address is where to listen.
func (c *Config) Address() string { return config.HostPort(c.Server.Host, c.Server.Port) }

func (c *Config) hubTimeout() time.Duration {
	return time.Duration(c.Hub.TimeoutSeconds) * time.Second
}

// proxies returns the trusted proxies; Validate has looked at them.
func (c *Config) proxies() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range c.Server.TrustedProxies {
		if p, err := netip.ParsePrefix(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}
