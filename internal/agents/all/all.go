// Package all lists the agents that this program can be.
package all

import (
	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agents/eventbus"
	"github.com/amoskys/amoskys/internal/agents/flow"
	"github.com/amoskys/amoskys/internal/agents/proc"
	"github.com/amoskys/amoskys/internal/agents/scanner"
	"github.com/amoskys/amoskys/internal/agents/snmp"
	"github.com/amoskys/amoskys/internal/agents/synth"
)

// Definitions returns every agent, in the order in which they are shown. A new
// agent is one line here.
func Definitions() []agent.Definition {
	return []agent.Definition{
		eventbus.Definition(),
		proc.Definition(),
		flow.Definition(),
		snmp.Definition(),
		scanner.Definition(),
		synth.MacDefinition(),
		synth.Definition(),
	}
}
