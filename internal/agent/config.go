package agent

import (
	"path/filepath"
	"strconv"
	"time"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/obs"
)

// Common is the part of the configuration that all agents have. An agent's own
// Config embeds it with `yaml:",inline"` and calls its Validate.
type Common struct {
	Identity `yaml:"agent"`
	Hub      HubConfig            `yaml:"hub"`
	Spool    SpoolConfig          `yaml:"spool"`
	HTTP     config.HTTPConfig    `yaml:"http"`
	Logging  config.LoggingConfig `yaml:"logging"`
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

func megabytes(mb float64) int64 { return int64(mb * (1 << 20)) }

// HubConfig is the section hub of an agent.
type HubConfig struct {
	dial.HubConfig `yaml:",inline"`

	TLSEnabled bool `yaml:"tls_enabled"`
}

// SpoolConfig bounds the disk spool.
type SpoolConfig struct {
	Path      string  `yaml:"path"`
	MaxMB     float64 `yaml:"max_mb"`
	MinFreeMB float64 `yaml:"min_free_mb"`
	Drop      string  `yaml:"drop"`
	Fsync     bool    `yaml:"fsync"`
}

// DefaultCommon returns the defaults of an agent with this id, port and interval.
func DefaultCommon(id string, port int, intervalSeconds float64) Common {
	return Common{
		Identity: Identity{
			ID: id, IntervalSeconds: intervalSeconds, Enabled: true,
			HealthIntervalSeconds: 30, StopTimeoutSeconds: 5,
		},
		Hub:     HubConfig{HubConfig: dial.DefaultHub("agent"), TLSEnabled: true},
		Spool:   SpoolConfig{Path: "data/spool/", MaxMB: 64, MinFreeMB: 100, Drop: string(spool.DropOldest)},
		HTTP:    config.HTTPConfig{Host: "127.0.0.1", Port: port},
		Logging: config.DefaultLogging(),
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
	v.RangeFloat("spool.min_free_mb", c.Spool.MinFreeMB, 0, 1<<20)
	v.OneOf("spool.drop", c.Spool.Drop, string(spool.DropOldest), string(spool.DropNewest))
	c.HTTP.Validate(v.Under("http"))
	c.Logging.Validate(v.Under("logging"))
}

func (h *HubConfig) validate(v *config.Check) {
	if h.TLSEnabled {
		h.Validate(v)
		return
	}
	h.ValidateAddr(v)
	if !obs.IsLoopback(h.Host) {
		v.Add("tls_enabled", "may be false only for a hub on this machine: events would travel readable and unproven")
	}
}

// spoolDir is the folder of this agent's spool.
func (c *Common) spoolDir(home config.Home) string {
	return filepath.Join(home.Path(c.Spool.Path), c.ID)
}

// Template returns an agent's commented default file: text, which holds the
// section agent with its id, an "#include timing" in it for the rest of that
// section, the agent's own sections, and last an "#include common".
func Template(text string, port int, intervalSeconds float64) []byte {
	return config.Template(text, timingSection(intervalSeconds), CommonSection(port))
}

// timingSection is the text of the keys of the section agent behind the id.
func timingSection(intervalSeconds float64) config.Section {
	return config.Section{Name: "timing", Text: `  # Seconds between readings.
  interval_seconds: ` + strconv.FormatFloat(intervalSeconds, 'f', -1, 64) + `
  enabled: true
  # Seconds between the agent's reports about itself.
  health_interval_seconds: 30
  # How long a stop waits for the hub to take what is spooled. The rest stays on disk.
  stop_timeout_seconds: 5
`}
}

// CommonSection is the text of the sections hub, spool, http and logging, which end
// an agent's file.
func CommonSection(port int) config.Section {
	return config.Section{Name: "common", Text: dial.HubSection("agent").Text + `  # Mutual TLS; false only for a hub on this machine.
  tls_enabled: true

# Events wait here until the hub has made them durable.
spool:
  # Each agent has a folder of its own below.
  path: data/spool/
  max_mb: 64
  # Beyond its first 4 MB a spool does not grow while the disk has less free than this.
  min_free_mb: 100
  # What goes when the spool is full: oldest or newest.
  drop: oldest
  # Wait for the disk at each event: survives a power cut too, and costs speed.
  fsync: false

# Local endpoints /healthz, /metrics and /status. Port 0 takes a free one.
http:
  host: 127.0.0.1
  port: ` + strconv.Itoa(port) + `

` + config.LoggingSection().Text}
}
