package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/amoskys/amoskys/internal/config"
)

func TestTyped(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		program, folder, path string
		want                  string
	}{
		"in a clone":                {"bin/amoskys", dir, "/none", "bin/amoskys down"},
		"installed":                 {"amoskys", dir, dir, "amoskys down"},
		"installed, called by path": {"/usr/bin/amoskys", dir, dir, "amoskys down"},
		"another home":              {"amoskys", "/", dir, "amoskys down --home " + dir},
		"the other program":         {"bin/amoskys-agent", dir, "/none", "amoskys down"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "amoskys"), nil, 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", test.path)
			if got := typed(test.program, test.folder, config.Home(dir), "down"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
