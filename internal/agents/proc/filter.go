package proc

import (
	"path"
	"strconv"
	"strings"
)

// filter decides by the lists of the configuration which processes are reported.
type filter struct {
	monitored, excluded []string
}

func (f filter) wants(p *process) bool {
	if matches(f.excluded, p) {
		return false
	}
	return len(f.monitored) == 0 || matches(f.monitored, p)
}

// matches compares with the pid, the name, which the kernel cuts after 15 bytes,
// and the file names of the program and of the first argument.
func matches(patterns []string, p *process) bool {
	if len(patterns) == 0 {
		return false
	}
	candidates := []string{p.stat.name, strconv.Itoa(p.pid)}
	if exe := strings.TrimSuffix(p.facts.exe, " (deleted)"); exe != "" {
		candidates = append(candidates, path.Base(exe))
	}
	if len(p.facts.args) > 0 && p.facts.args[0] != "" {
		candidates = append(candidates, path.Base(p.facts.args[0]))
	}
	for _, pattern := range patterns {
		for _, c := range candidates {
			if ok, err := path.Match(pattern, c); ok && err == nil {
				return true
			}
		}
	}
	return false
}
