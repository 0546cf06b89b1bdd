// Package loadavg is a whole agent, as small as one can be: it publishes the load
// average of a Linux host, and is asked for it. It is the example of
// docs/recipes/add-an-agent.md and in no program.
package loadavg

import (
	_ "embed"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/config"
)

// Defaults that the definition and the configuration share.
const (
	defaultID       = "loadavg_agent"
	defaultPort     = 50090
	defaultInterval = 5
)

// Config is what users write in loadavg_config.yaml.
type Config struct {
	agent.Common `yaml:",inline"`
	Monitoring   Monitoring `yaml:"monitoring"`
}

// Monitoring says what is read.
type Monitoring struct {
	File string `yaml:"file"`
}

// DefaultConfig returns the configuration that applies where the file is silent.
func DefaultConfig() Config {
	return Config{
		Common:     agent.DefaultCommon(defaultID, defaultPort, defaultInterval),
		Monitoring: Monitoring{File: "/proc/loadavg"},
	}
}

// Validate reports every rule that c breaks.
func (c *Config) Validate(v *config.Check) {
	c.Common.Validate(v)
	v.NotEmpty("monitoring.file", c.Monitoring.File)
}

//go:embed loadavg_config.yaml
var configTemplate string

// ConfigTemplate returns the commented file that decodes to DefaultConfig.
func ConfigTemplate() []byte { return agent.Template(configTemplate, defaultPort, defaultInterval) }

// Definition describes the agent to the runtime.
func Definition() agent.Definition {
	return agent.Define(agent.Definition{
		Kind: "loadavg", ID: defaultID, Port: defaultPort, ConfigName: "loadavg",
		Summary:  "the load average of this host",
		Template: ConfigTemplate,
		Tasks:    []task.Task{{Name: "read", Summary: "reads the load now", ResultType: "text/plain", ResultBytes: 1 << 10}},
	}, DefaultConfig, func(cfg Config, o agent.Options) (agent.Agent, error) { return New(cfg.Monitoring, o) })
}
