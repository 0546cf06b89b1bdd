package arch_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMissingTools runs the check of `make run` on machines that lack something:
// a folder of scripts that answer as the real tools do is all of its PATH.
func TestMissingTools(t *testing.T) {
	const oldGo, newGo = "#!/bin/sh\necho go1.20.3\n", "#!/bin/sh\necho go1.99.0\n"
	const refuses = "#!/bin/sh\n[ \"$1\" = version ] && echo go version go1.22.1 linux/amd64\n"
	const oldNode, newNode = "#!/bin/sh\necho v18.19.1\n", "#!/bin/sh\necho v22.12.0\n"
	const npm = "#!/bin/sh\necho 11.0.0\n"
	tests := []struct {
		name, system string
		tools        map[string]string
		ok           bool
		want         []string
	}{
		{
			name: "all there", system: "ID=debian", ok: true,
			tools: map[string]string{"go": newGo, "node": newNode, "npm": npm},
			want:  []string{"go 1.99.0, node 22.12.0, npm 11.0.0"},
		},
		{
			name: "nothing there", system: "ID=ubuntu\nID_LIKE=debian",
			want: []string{"go: not found", "node: not found", "-> Debian, Ubuntu", "   Fedora", "   macOS", "brew install go", "brew install node"},
		},
		{
			name: "all too old", system: "ID=fedora", tools: map[string]string{"go": oldGo, "node": oldNode, "npm": npm},
			want: []string{"go: 1.20.3 found, need 1.", "node: 18.19.1 found, need 20.19 or newer", "-> Fedora          sudo dnf install golang"},
		},
		{
			name: "go refuses the module", system: "ID=debian", tools: map[string]string{"go": refuses + "exit 1\n", "node": newNode, "npm": npm},
			want: []string{"go: 1.22.1 found"},
		},
		{
			name: "node without npm", system: "ID=debian", tools: map[string]string{"go": newGo, "node": newNode},
			want: []string{"npm: not found", "sudo apt-get install nodejs npm"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"bash", "awk", "uname"} {
				path, err := exec.LookPath(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			for name, script := range tt.tools {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			release := filepath.Join(dir, "os-release")
			if err := os.WriteFile(release, []byte(tt.system+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "bash"), "tools/check-tools.sh")
			cmd.Dir = root(t)
			cmd.Env = []string{"PATH=" + dir, "OS_RELEASE=" + release}
			out, err := cmd.CombinedOutput()
			if (err == nil) != tt.ok {
				t.Errorf("ended with %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("output lacks %q:\n%s", want, out)
				}
			}
		})
	}
}
