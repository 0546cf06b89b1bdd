package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/config"
)

// roleMark is the annotation of commands that AMOSKYS_ROLE may name.
const roleMark = "amoskys-role"

// AsRole marks a command without arguments as one that AMOSKYS_ROLE may name.
func AsRole(cmd *cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{roleMark: "true"}
	return cmd
}

// rolesOf are the names of the commands below root that are roles.
func rolesOf(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.Annotations[roleMark] != "" {
			names = append(names, c.Name())
		}
	}
	return names
}

// RoleArgs gives the arguments for a program that was started without any, from
// AMOSKYS_ROLE and AMOSKYS_AGENT_ID, as containers are. roles are the commands that
// may be named. Without a role there are none. A role that is not known is a
// UsageError.
func RoleArgs(lookup func(string) (string, bool), roles []string) ([]string, error) {
	given, _ := lookup(config.EnvRole)
	switch role := strings.ToLower(given); role {
	case "":
		return nil, nil
	case "eventbus":
		return []string{"hub"}, nil
	case "standalone", "up":
		return []string{"up"}, nil
	case "agent":
		id, _ := lookup(config.EnvAgentID)
		if id == "" {
			return nil, Usagef("%s=agent needs %s, such as proc_agent", config.EnvRole, config.EnvAgentID)
		}
		return []string{"agent", id}, nil
	default:
		if slices.Contains(roles, role) {
			return []string{role}, nil
		}
	}
	valid := slices.DeleteFunc(slices.Clone(roles), func(name string) bool { return name == "hub" })
	return nil, &UsageError{Err: fmt.Errorf("%s=%q is not known; valid: eventbus, agent, %s, standalone", config.EnvRole, given, strings.Join(valid, ", "))}
}
