package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

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
	if err := give(t.Context(), home, to); err != nil {
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

// TestGiveStops: SIGTERM in the middle of a large volume ends the program, which would
// otherwise begin anew and know nothing of it.
func TestGiveStops(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := give(ended, imageHome(t), user{os.Getuid(), os.Getgid()}); !errors.Is(err, context.Canceled) {
		t.Errorf("it went on: %v", err)
	}
	if err := become(ended, user{os.Getuid(), os.Getgid()}, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("it began anew: %v", err)
	}
}

// TestRunAsTakesNoRoot: numbers that the kernel would read as root, or as no change,
// are refused before anything is given away.
func TestRunAsTakesNoRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, number := range []string{"0", "-1", "root", "4294967295", "4294967296", "2147483648"} {
		e := &Env{Home: imageHome(t), Lookup: func(name string) (string, bool) { return number, name == config.EnvRunAs }}
		if err := e.leaveRoot(t.Context(), "", &cobra.Command{Use: "up"}); err == nil || !strings.Contains(err.Error(), "from 1 to 2147483647") {
			t.Errorf("user %s: %v", number, err)
		}
	}
}

// TestKeptInAPackagesHome: what packages call by themselves, and what needs nothing,
// keeps nothing of root; no command but one that sets up services could become root again.
func TestKeptInAPackagesHome(t *testing.T) {
	root, certs := &cobra.Command{Use: "amoskys"}, &cobra.Command{Use: "certs"}
	status := &cobra.Command{Use: "status"} // of certificates
	certs.AddCommand(status)
	backup, scan := &cobra.Command{Use: "backup DIR"}, &cobra.Command{Use: "scan TARGET"}
	setup, enroll := &cobra.Command{Use: "setup"}, &cobra.Command{Use: "enroll"}
	root.AddCommand(certs, backup, scan, setup, enroll)
	for _, cmd := range []*cobra.Command{setup, certs, status} {
		if got := keptIn(cmd); got != 0 {
			t.Errorf("%s keeps %#x", cmd.Name(), got)
		}
	}
	for _, cmd := range []*cobra.Command{backup, scan} {
		got := keptIn(cmd)
		for name, bit := range map[string]int{"NET_RAW": unix.CAP_NET_RAW, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE} {
			if got&(1<<bit) == 0 {
				t.Errorf("%s lacks %s", cmd.Name(), name)
			}
		}
		for name, bit := range map[string]int{
			"SETUID": unix.CAP_SETUID, "SYS_ADMIN": unix.CAP_SYS_ADMIN, "SYS_MODULE": unix.CAP_SYS_MODULE, "CHOWN": unix.CAP_CHOWN,
		} {
			if got&(1<<bit) != 0 {
				t.Errorf("%s keeps %s", cmd.Name(), name)
			}
		}
	}
	if got := keptIn(enroll); got != allCapabilities {
		t.Errorf("enroll keeps %#x", got)
	}
}
