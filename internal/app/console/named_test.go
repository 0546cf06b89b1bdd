package console

import (
	"strings"
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestAgentOfAKind(t *testing.T) {
	agents := []*pb.AgentStatus{
		{Id: "proc_agent", Kind: "proc", Host: "web-1"},
		{Id: "own", Kind: "proc", Host: "web-2"},
		{Id: "eventbus_agent", Kind: "eventbus", Host: "web-1"},
		{Id: "synth", Kind: "synth", Host: "web-1"},
		{Id: "other", Kind: "synth", Host: "web-1"},
	}
	for name, tc := range map[string]struct{ kind, host, want, err string }{
		"the only one":      {"eventbus", "", "web-1/eventbus_agent", ""},
		"of a host":         {"proc", "Web-2", "web-2/own", ""},
		"several":           {"proc", "", "", "name one: web-1/proc_agent, web-2/own"},
		"its id is so":      {"synth", "", "/synth", ""},
		"none of that kind": {"macos", "web-1", "web-1/macos", ""},
	} {
		id, host, err := ofKind(agents, tc.kind, tc.host)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %v, want %q", name, err, tc.err)
			}
			continue
		}
		if got := host + "/" + id; err != nil || got != tc.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, tc.want)
		}
	}
}
