// Package systemd holds the units that packages install and enroll writes. They are
// written for packages: programs in /usr/bin, the home in /var/lib/amoskys.
package systemd

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.service
var units embed.FS

// Names of the units.
const (
	Agent     = "amoskys-agent.service"
	Hub       = "amoskys-hub.service"
	Store     = "amoskys-store.service"
	Dashboard = "amoskys-dashboard.service"
)

// Unit is the text of a unit, such as Agent, that runs program in home. Empty strings
// leave what packages have. Both are absolute paths without line breaks; the error says
// which is not. In another home than a package's the agents run as root, as there need
// be no user of theirs, with what a root needs to give each agent only its own.
func Unit(name, program, home string) (string, error) {
	text, err := units.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("there is no unit %s: %w", name, err)
	}
	for _, path := range []string{program, home} {
		if path != "" && (!strings.HasPrefix(path, "/") || strings.ContainsAny(path, "\n\r\x00\"\\")) {
			return "", fmt.Errorf("%q is no path that a unit can name", path)
		}
	}
	out := string(text)
	if program != "" {
		out = strings.ReplaceAll(out, "ExecStart=/usr/bin/"+packaged(name), "ExecStart="+quoted(program))
	}
	if packaged := "/var/lib/" + packaged(name); home != "" && home != packaged {
		if name == Agent {
			out = asRoot(out)
		}
		out = strings.ReplaceAll(out, packaged, quoted(home))
	}
	return out, nil
}

// asRoot is the text of the agents' unit for a node that is root.
func asRoot(unit string) string {
	var out strings.Builder
	for line := range strings.Lines(unit) {
		key, _, _ := strings.Cut(line, "=")
		switch key {
		case "User", "Group", "AmbientCapabilities":
			continue
		case "CapabilityBoundingSet":
			line = strings.TrimSuffix(line, "\n") + " CAP_DAC_OVERRIDE CAP_SETPCAP CAP_KILL\n"
		default:
		}
		out.WriteString(line)
	}
	return out.String()
}

// packaged is the program that packages install for a unit.
func packaged(name string) string {
	if name == Agent {
		return "amoskys-agent"
	}
	return "amoskys"
}

// quoted is a path as systemd reads it: % begins a specifier, $ a variable of the
// command, and blanks part words.
func quoted(path string) string {
	path = strings.ReplaceAll(path, "%", "%%")
	if strings.ContainsAny(path, " \t'$;") {
		return `"` + strings.ReplaceAll(path, "$", "$$") + `"`
	}
	return path
}
