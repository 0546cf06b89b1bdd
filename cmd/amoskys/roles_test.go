package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
)

// TestRolesTellTheServiceManager: a unit of Type=notify whose role tells nothing is never
// ready. A role with a faulty file ends before it opens a port, and says that it stops.
func TestRolesTellTheServiceManager(t *testing.T) {
	for _, r := range app.Roles() {
		if r.Run == nil {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			home := config.Home(t.TempDir())
			file := r.File(home)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("no: such setting\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "sock"), Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer manager.Close()

			var out, errs bytes.Buffer
			env := &cli.Env{
				Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Home: home, Logger: obs.Discard(), Now: time.Now,
				Lookup: func(name string) (string, bool) {
					return manager.LocalAddr().String(), name == "NOTIFY_SOCKET"
				},
			}
			root := &cobra.Command{Use: "amoskys"}
			root.AddCommand(newRoleCommands(env)...)
			if code := cli.Execute(t.Context(), root, env, []string{r.Name}); code == 0 {
				t.Fatalf("it ran with a faulty file: %s", out.String())
			}
			if err := manager.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			told := make([]byte, 64)
			n, err := manager.Read(told)
			if err != nil || string(told[:n]) != "STOPPING=1" {
				t.Errorf("the service manager was told %q: %v; the command said %s", told[:n], err, errs.String())
			}
		})
	}
}
