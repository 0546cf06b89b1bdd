package node

import (
	_ "embed"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// Config is what users write in node_config.yaml.
type Config struct {
	Node        Section     `yaml:"node"`
	Hub         Hub         `yaml:"hub"`
	Supervision Supervision `yaml:"supervision"`
	Logging     Logging     `yaml:"logging"`
}

// Section names the node and its agents.
type Section struct {
	ID     string   `yaml:"id"` // empty: the name in the certificate
	Agents []string `yaml:"agents"`
}

// Hub says how to reach the hub. Files are relative to the home folder.
type Hub struct {
	Host       string `yaml:"host" env:"EVENTBUS_HOST"`
	Port       int    `yaml:"port" env:"EVENTBUS_PORT"`
	ServerName string `yaml:"server_name"` // empty: Host
	CACert     string `yaml:"ca_cert"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
}

// Supervision says how agents are watched and kept running.
type Supervision struct {
	IntervalSeconds    float64 `yaml:"interval_seconds"`
	StopTimeoutSeconds float64 `yaml:"stop_timeout_seconds"`
	BackoffMinSeconds  float64 `yaml:"backoff_min_seconds"`
	BackoffMaxSeconds  float64 `yaml:"backoff_max_seconds"`
}

// Logging is about logs/node.log.
type Logging struct {
	Level string `yaml:"level"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Node: Section{Agents: []string{"proc", "eventbus"}},
		Hub: Hub{
			Host: "localhost", Port: 5000,
			CACert: "certs/ca.crt", CertFile: "certs/node.crt", KeyFile: "certs/node.key",
		},
		Supervision: Supervision{IntervalSeconds: 2, StopTimeoutSeconds: 10, BackoffMinSeconds: 0.5, BackoffMaxSeconds: 30},
		Logging:     Logging{Level: "INFO"},
	}
}

//go:embed node_config.yaml
var configTemplate []byte

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte { return slices.Clone(configTemplate) }

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	if c.Node.ID != "" {
		v.Name("node.id", c.Node.ID)
	}
	for i, kind := range c.Node.Agents {
		key := "node.agents[" + strconv.Itoa(i) + "]"
		v.Name(key, kind)
		if slices.Index(c.Node.Agents, kind) < i {
			v.Add(key, "%q is given twice", kind)
		}
	}
	v.Host("hub.host", c.Hub.Host)
	v.Range("hub.port", c.Hub.Port, 1, 65535)
	if c.Hub.ServerName != "" {
		v.Host("hub.server_name", c.Hub.ServerName)
	}
	v.NotEmpty("hub.ca_cert", c.Hub.CACert)
	v.NotEmpty("hub.cert_file", c.Hub.CertFile)
	v.NotEmpty("hub.key_file", c.Hub.KeyFile)
	s := c.Supervision
	v.RangeFloat("supervision.interval_seconds", s.IntervalSeconds, 0.1, 3600)
	v.RangeFloat("supervision.stop_timeout_seconds", s.StopTimeoutSeconds, 0.1, 600)
	v.RangeFloat("supervision.backoff_min_seconds", s.BackoffMinSeconds, 0.01, 3600)
	v.RangeFloat("supervision.backoff_max_seconds", s.BackoffMaxSeconds, 0.01, 3600)
	if s.BackoffMaxSeconds < s.BackoffMinSeconds {
		v.Add("supervision.backoff_max_seconds", "must not be less than backoff_min_seconds")
	}
	v.OneOf("logging.level", strings.ToUpper(c.Logging.Level), obs.LevelNames()...)
}

// Address is where the hub listens.
func (h Hub) Address() string {
	return net.JoinHostPort(strings.Trim(h.Host, "[]"), strconv.Itoa(h.Port))
}

// Files are the node's certificate files under home.
func (h Hub) Files(home config.Home) identity.Files {
	return identity.Files{CA: home.Path(h.CACert), Cert: home.Path(h.CertFile), Key: home.Path(h.KeyFile)}
}

// Options are what the configuration says of a node; the rest is for the caller
// to fill in. name is the id when the configuration names none.
func (c *Config) Options(name string) Options {
	o := Options{ID: c.Node.ID}
	if o.ID == "" {
		o.ID = name
	}
	s := c.Supervision
	o.Interval, o.StopTimeout = seconds(s.IntervalSeconds), seconds(s.StopTimeoutSeconds)
	o.BackoffMin, o.BackoffMax = seconds(s.BackoffMinSeconds), seconds(s.BackoffMaxSeconds)
	return o
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
