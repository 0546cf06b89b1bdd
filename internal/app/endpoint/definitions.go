package endpoint

import (
	"fmt"
	"strings"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agents/all"
	"github.com/amoskys/amoskys/internal/config"
)

// Definitions lists the agents this program can be.
func Definitions() []agent.Definition { return all.Definitions() }

// Observing are the kinds of agents that watch other hosts and devices. An
// agent's certificate must name those that it is for.
func Observing() []string {
	var kinds []string
	for _, d := range Definitions() {
		if d.Observes {
			kinds = append(kinds, d.Kind)
		}
	}
	return kinds
}

// Find returns the agent with this kind, or with this id or config name.
func Find(name string) (agent.Definition, error) {
	kinds := make([]string, 0, 8)
	for _, d := range Definitions() {
		if name == d.Kind || name == d.ID || name == d.ConfigName {
			return d, nil
		}
		kinds = append(kinds, d.Kind)
	}
	message := fmt.Sprintf("there is no agent %q", name)
	if near := config.Nearest(name, kinds); near != "" {
		message += fmt.Sprintf(", did you mean %q?", near)
	}
	return agent.Definition{}, fmt.Errorf("%s; valid: %s", message, strings.Join(kinds, ", "))
}
