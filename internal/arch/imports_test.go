package arch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/arch"
)

// listed is what the tests read of `go list -json`.
type listed struct {
	ImportPath, Dir string
	Imports         []string
}

// goList lists the packages that the patterns name as they are built for goos.
// A package that does not build is listed too: saying so is the compiler's task.
func goList(t *testing.T, goos string, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json=ImportPath,Dir,Imports"}, args...)...)
	cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s: %v\n%s", goos, err, stderr.String())
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		packages = append(packages, p)
	}
}

func TestImportDirection(t *testing.T) {
	layers := arch.Layers()
	for _, goos := range []string{"linux", "darwin"} {
		for _, p := range goList(t, goos, arch.Module+"/...") {
			from := strings.TrimPrefix(p.ImportPath, arch.Module+"/")
			layer, ok := arch.LayerOf(layers, from)
			if !ok {
				t.Errorf("%s belongs to no layer: add it to internal/arch/layers.go and docs/architecture.md", from)
				continue
			}
			for _, imp := range p.Imports {
				to, ours := strings.CutPrefix(imp, arch.Module+"/")
				if ours && !layer.Allows(to) || !ours && layer.Forbids(imp) {
					t.Errorf("%s (layer %s, %s) must not import %s: %s", from, layer.Name, goos, to, layer.Why)
				}
			}
		}
	}
}

// TestTheLogIsBehindItsInterface: another log takes the place of this one in the
// packages listed here and nowhere else.
func TestTheLogIsBehindItsInterface(t *testing.T) {
	may := []string{"internal/wal", "internal/app", "internal/app/backups", "cmd/amoskys"}
	for _, p := range goList(t, "linux", arch.Module+"/...") {
		from := strings.TrimPrefix(p.ImportPath, arch.Module+"/")
		if slices.Contains(p.Imports, arch.Module+"/internal/wal") && !slices.Contains(may, from) {
			t.Errorf("%s must not import internal/wal: what it needs of the log is in internal/stream", from)
		}
	}
}

// TestEndpointCarriesNoServer follows imports of imports: what amoskys-agent
// links is what an endpoint has to trust and to hold in memory.
func TestEndpointCarriesNoServer(t *testing.T) {
	never := []string{
		arch.Module + "/internal/hub", arch.Module + "/internal/wal", arch.Module + "/internal/stream",
		arch.Module + "/internal/state", arch.Module + "/internal/store", arch.Module + "/internal/metrics",
		arch.Module + "/internal/detect", arch.Module + "/internal/anomaly", arch.Module + "/internal/live",
		arch.Module + "/internal/dashboard", arch.Module + "/web",
		arch.Module + "/internal/logsql", arch.Module + "/internal/parquet",
		"modernc.org/sqlite", "github.com/danielgtaylor/huma", "github.com/coder/websocket",
		"github.com/VictoriaMetrics", "github.com/parquet-go",
	}
	for _, goos := range []string{"linux", "darwin"} {
		for _, p := range goList(t, goos, "-deps", arch.Module+"/cmd/amoskys-agent") {
			for _, root := range never {
				if p.ImportPath == root || strings.HasPrefix(p.ImportPath, root+"/") {
					t.Errorf("amoskys-agent (%s) links %s", goos, p.ImportPath)
				}
			}
		}
	}
}

func TestLayers(t *testing.T) {
	layers := arch.Layers()
	tests := []struct {
		from, to string
		allowed  bool
	}{
		{"internal/agents/proc", "internal/agent", true},
		{"internal/agents/proc", "internal/hub", false},
		{"internal/agents/proc", "internal/wal", false},
		{"internal/agents/proc", "internal/agents/synth", false},
		{"internal/agents/all", "internal/agents/synth", true},
		{"internal/agent", "internal/agents/proc", false},
		{"internal/agent/spool", "internal/wal", false},
		{"internal/wal", "internal/vfs", true},
		{"internal/wal", "internal/event", false},
		{"internal/wal", "internal/pb/amoskys/v1", false},
		{"internal/wal", "internal/hub", false},
		{"internal/hub", "internal/wal", false},
		{"internal/hub", "internal/stream", true},
		{"internal/live", "internal/wal", false},
		{"internal/stream", "internal/wal", false},
		{"internal/stream", "internal/event", false},
		{"internal/hub", "internal/live", false},
		{"internal/hub", "internal/store", false},
		{"internal/hub", "internal/agent", false},
		{"internal/live", "internal/hub", false},
		{"internal/dashboard/api", "internal/pb/amoskys/v1", true},
		{"internal/dashboard", "internal/hub", false},
		{"internal/dashboard", "internal/wal", false},
		{"internal/dashboard", "internal/state", false},
		{"internal/app/endpoint", "internal/hub", false},
		{"internal/app/endpoint", "internal/app", false},
		{"internal/app", "internal/hub", true},
		{"cmd/amoskys", "internal/app", true},
		{"cmd/amoskys", "internal/identity", true},
		{"cmd/amoskys-agent", "internal/identity", true},
		{"cmd/amoskys-agent", "internal/wal", false},
		{"cmd/amoskys-agent", "internal/app", false},
		{"cmd/amoskys-agent", "internal/app/endpoint", true},
	}
	for _, tt := range tests {
		layer, ok := arch.LayerOf(layers, tt.from)
		if !ok {
			t.Errorf("%s belongs to no layer", tt.from)
		} else if got := layer.Allows(tt.to); got != tt.allowed {
			t.Errorf("%s may import %s: %v, want %v", tt.from, tt.to, got, tt.allowed)
		}
	}
	agents, _ := arch.LayerOf(layers, "internal/agents/proc")
	if !agents.Forbids("google.golang.org/grpc/credentials") || agents.Forbids("google.golang.org/grpcfake") {
		t.Error("agents must not import gRPC, and only gRPC")
	}
	if _, ok := arch.LayerOf(layers, "internal/unheard"); ok {
		t.Error("a package that the table does not name has a layer")
	}
}
