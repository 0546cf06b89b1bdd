package standalone

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// TestSetup: it makes all that roles need, tells no password where a file keeps it, and
// makes nothing again.
func TestSetup(t *testing.T) {
	var out bytes.Buffer
	e := &cli.Env{Stdout: &out, Stderr: &out, Home: config.Home(t.TempDir()), Now: time.Now, Lookup: config.NoEnv}
	file := filepath.Join(t.TempDir(), "password")
	if err := Setup(t.Context(), e, SetupOptions{PasswordFile: file, Hosts: []string{"hub.example"}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	password := strings.TrimSpace(string(text))
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || len(password) < 12 {
		t.Errorf("the password's file: %v, %v, %d bytes", info, err, len(password))
	}
	if strings.Contains(out.String(), password) || !strings.Contains(out.String(), file) {
		t.Errorf("said\n%s", &out)
	}
	for _, made := range []string{e.Home.HubConfig(), e.Home.State(), filepath.Join(e.Home.Certs(), "ca.key")} {
		if _, err := os.Stat(made); err != nil {
			t.Error(err)
		}
	}
	out.Reset()
	if err := Setup(t.Context(), e, SetupOptions{PasswordFile: file, Hosts: []string{"hub.example"}}); err != nil || out.Len() > 0 {
		t.Errorf("the second time: %v\n%s", err, &out)
	}
	// A file that is there is nobody's to write over, and the person learns what to do.
	e.Home = config.Home(t.TempDir())
	if err := Setup(t.Context(), e, SetupOptions{PasswordFile: file, Hosts: []string{"hub.example"}}); err == nil || !strings.Contains(err.Error(), "user passwd admin") {
		t.Errorf("over another's file: %v", err)
	}
}
