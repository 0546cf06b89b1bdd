package backups

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// gathered returns the sizes of what was gathered, as it is read, by path.
func gathered(t *testing.T, g *gathering) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for i := range g.sources {
		s := &g.sources[i]
		if s.Link != "" {
			out[s.Path+" -> "+s.Link] = 0
			continue
		}
		r, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err != nil || n != s.Size {
			t.Fatalf("%s has %d bytes instead of %d: %v", s.Path, n, s.Size, err)
		}
		out[s.Path] = n
	}
	return out
}

// TestNothingIsLeftOutSilently: large files, and those that links lead to, are in a backup.
func TestNothingIsLeftOutSilently(t *testing.T) {
	t.Parallel()
	home, other := config.Home(t.TempDir()), t.TempDir()
	write := func(name string, size int64) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	write(home.Path("data/agents/proc/large"), maxSmall+1)
	write(home.Path("data/agents/proc/small"), 3)
	write(home.Path("data/agents/flow/a.pcap"), 3)
	write(filepath.Join(other, "hub.yaml"), 5)
	write(filepath.Join(other, "public.crt"), 7)
	write(home.Path("certs/agent.crt"), 9)
	write(home.Path("config/x"), 1)
	link(filepath.Join(other, "hub.yaml"), home.Path("config/hub_config.yaml"))
	link(filepath.Join(other, "public.crt"), home.Path("certs/hub.crt"))
	link("agent.crt", home.Path("certs/client.crt"))
	g := &gathering{e: &cli.Env{Home: home}}
	if err := g.takeFolders(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := gathered(t, g)
	want := map[string]int64{
		"data/agents/proc/large": maxSmall + 1, "data/agents/proc/small": 3, "config/hub_config.yaml": 5, "config/x": 1,
		"certs/hub.crt": 7, "certs/agent.crt": 9, "certs/client.crt -> agent.crt": 0,
	}
	for path, size := range want {
		if n, ok := got[path]; !ok || n != size {
			t.Errorf("%s has %d bytes in the backup, wanted %d", path, n, size)
		}
	}
	if len(got) != len(want) {
		t.Errorf("in the backup are %v", got)
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	write(home.Path("certs/none.crt"), maxSmall+1)
	if err := g.takeCerts(); err == nil || !strings.Contains(err.Error(), "none.crt") {
		t.Fatalf("a certificate that is none: %v", err)
	}
}

func TestOfClustersItIsSaidThatTheyAreNotInIt(t *testing.T) {
	t.Parallel()
	for engine, said := range map[string]bool{"": false, "victorialogs": false, "embedded": false, "victorialogs-cluster": true} {
		if why := elsewhere(engine); (why != "") != said || said && !strings.Contains(why, "back up its storage nodes") {
			t.Errorf("%s: %q", engine, why)
		}
	}
}
