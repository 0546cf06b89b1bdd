package endpoint_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNothingOfTheHubIsLinked lists what amoskys-agent is made of: an endpoint
// should carry no server code.
func TestNothingOfTheHubIsLinked(t *testing.T) {
	const module = "github.com/amoskys/amoskys/"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"cmd/amoskys-agent").Output()
	if err != nil {
		t.Fatal(err)
	}
	unwanted := []string{
		module + "internal/hub", module + "internal/wal", module + "internal/stream", module + "internal/state",
		module + "internal/dashboard", module + "internal/live", module + "internal/store", module + "web",
		"modernc.org/sqlite", "github.com/danielgtaylor/huma", "github.com/coder/websocket", "golang.org/x/crypto/argon2",
	}
	packages := strings.Fields(string(out))
	for _, p := range packages {
		for _, u := range unwanted {
			if p == u || strings.HasPrefix(p, u+"/") {
				t.Errorf("amoskys-agent links %s", p)
			}
		}
	}
	if len(packages) < 100 {
		t.Errorf("go list named only %d packages", len(packages))
	}
}
