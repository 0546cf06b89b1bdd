package cli

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/config"
)

// imageHome is a home as our image lays it out: its folders lead into a volume that is
// empty at first.
func imageHome(t *testing.T) config.Home {
	t.Helper()
	home := config.Home(t.TempDir())
	for _, folder := range []string{"config", "logs", "run"} {
		if err := os.Symlink("data/"+folder, home.Path(folder)); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

func TestMakeHomeOfAnImage(t *testing.T) {
	home := imageHome(t)
	if err := makeHome(home); err != nil {
		t.Fatal(err)
	}
	for _, made := range []string{"data/logs/agents", "data/config/agents", "data/run", "certs"} {
		if info, err := os.Stat(home.Path(made)); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", made, err)
		}
	}
}

// TestGive: volumes and all in them become the user's, and what links lead to does not.
func TestGive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home := imageHome(t)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(home.Path("data/wal"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, home.Path("data/link")); err != nil {
		t.Fatal(err)
	}
	to := user{65532, 65532}
	if err := give(home, to); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]uint32{
		home.Certs(): 65532, home.Data(): 65532, home.WAL(): 65532, home.Path("data/link"): 65532, elsewhere: 0, string(home): 0,
	} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if of, ok := info.Sys().(*syscall.Stat_t); !ok || of.Uid != want {
			t.Errorf("%s is of user %d, want %d", path, of.Uid, want)
		}
	}
	if info, err := os.Stat(home.Data()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others may look into the volume: %v, %v", info, err)
	}
}
