package arch_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestDependencies: whoever adds a dependency says in docs/dependencies.md what
// it is for, and whoever drops one takes its line away.
func TestDependencies(t *testing.T) {
	base := root(t)
	text, err := os.ReadFile(base + "/docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(
		goRequires(t, base+"/go.mod"), goTools(t, base+"/tools/go.mod"), goRequires(t, base+"/tools/go.mod"), goTools(t, base+"/tools/buf/go.mod"), goTools(t, base+"/tools/nfpm/go.mod"), goTools(t, base+"/tools/helm/go.mod"), goRequires(t, base+"/test/k8s/go.mod"),
		goRequires(t, base+"/bench/go.mod"), npmDependencies(t, base+"/web/package.json"))
	slices.Sort(want)
	want = slices.Compact(want) // two modules may require the same
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if cell, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(cell, "`")
			listed[name] = true
			if cells := strings.Count(line, "|") - 1; cells != 5 {
				t.Errorf("%s: %d cells, want name, what for, why this one, licence, upkeep", name, cells)
			}
		}
	}
	for _, name := range want {
		if !listed[name] {
			t.Errorf("docs/dependencies.md does not list %s", name)
		}
		delete(listed, name)
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		t.Errorf("docs/dependencies.md lists %s, which nothing requires", name)
	}
}

// mod is what the test reads of `go mod edit -json`.
type mod struct {
	Require []struct {
		Path     string
		Indirect bool
	}
	Tool []struct{ Path string }
}

func readMod(t *testing.T, file string) mod {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", file).Output()
	if err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	var m mod
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func goRequires(t *testing.T, file string) []string {
	t.Helper()
	var paths []string
	for _, r := range readMod(t, file).Require {
		if !r.Indirect {
			paths = append(paths, r.Path)
		}
	}
	return paths
}

func goTools(t *testing.T, file string) []string {
	t.Helper()
	tools := readMod(t, file).Tool
	paths := make([]string, 0, len(tools))
	for _, tool := range tools {
		paths = append(paths, tool.Path)
	}
	return paths
}

func npmDependencies(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Dependencies, DevDependencies map[string]string
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&p); err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	return slices.Concat(slices.Sorted(maps.Keys(p.Dependencies)), slices.Sorted(maps.Keys(p.DevDependencies)))
}
