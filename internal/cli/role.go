package cli

import (
	"fmt"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
)

// RoleArgs gives the arguments for a program that was started without any, from
// AMOSKYS_ROLE and AMOSKYS_AGENT_ID, as containers are. Without a role there are
// none. A role that is not known is a UsageError.
func RoleArgs(lookup func(string) (string, bool)) ([]string, error) {
	role, _ := lookup(config.EnvRole)
	switch strings.ToLower(role) {
	case "":
		return nil, nil
	case "eventbus", "hub":
		return []string{"hub"}, nil
	case "dashboard", "node":
		return []string{strings.ToLower(role)}, nil
	case "standalone", "up":
		return []string{"up"}, nil
	case "agent":
		id, _ := lookup(config.EnvAgentID)
		if id == "" {
			return nil, Usagef("%s=agent needs %s, such as proc_agent", config.EnvRole, config.EnvAgentID)
		}
		return []string{"agent", id}, nil
	}
	return nil, &UsageError{Err: fmt.Errorf("%s=%q is not known; valid: eventbus, agent, dashboard, node, standalone", config.EnvRole, role)}
}
