package backups

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/backup"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// TestFoldersThatAreLinks: packages have the configuration in /etc, and a link in the home.
// Rules of one's own are in a backup, and keys are apart wherever they lie.
func TestFoldersThatAreLinks(t *testing.T) {
	t.Parallel()
	home, etc := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(etc, "store_config.yaml"), "a: 1\n")
	write(filepath.Join(etc, "agents", "proc.yaml"), "a: 2\n")
	write(filepath.Join(etc, "tls", "own.pem"), "-----BEGIN EC PRIVATE KEY-----\n")
	write(filepath.Join(home, "rules", "metrics", "own.yml"), "groups: []\n")
	write(filepath.Join(home, "data", "rules", "told"), "x")
	if err := os.Symlink(etc, filepath.Join(home, "config")); err != nil {
		t.Fatal(err)
	}
	g := &gathering{e: &cli.Env{Home: config.Home(home)}}
	g.store.Rules.Path = etc
	if err := g.takeRules(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.takeFolders(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range g.sources {
		got = append(got, s.Path)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"config/agents/proc.yaml", "config/store_config.yaml", "data/rules/told", "rules/metrics/own.yml"}, got); diff != "" {
		t.Error(diff)
	}
	if len(g.keys) != 1 || g.keys[0].Path != "config/tls/own.pem" {
		t.Errorf("%+v", g.keys)
	}
	if !slices.ContainsFunc(g.parts, func(p backup.Part) bool { return p.Name == "rules" && p.Missing != "" }) {
		t.Errorf("rules elsewhere are not told: %+v", g.parts)
	}
}
