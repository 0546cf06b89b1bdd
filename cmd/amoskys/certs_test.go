package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// certs runs `amoskys certs …` in a home folder.
func runCerts(t *testing.T, home string, now time.Time, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Logger: obs.Discard(),
		Now: func() time.Time { return now }, Lookup: func(string) (string, bool) { return "", false },
	}
	root := &cobra.Command{Use: "amoskys"}
	env.BindHome(root)
	root.AddCommand(newCertsCommand(env))
	code = cli.Execute(t.Context(), root, env, append([]string{"--home", home, "certs"}, args...))
	return code, out.String(), errs.String()
}

func TestCerts(t *testing.T) {
	t.Parallel()
	home, now := t.TempDir(), time.Now()
	certs := filepath.Join(home, "certs")
	day := 24 * time.Hour
	for _, step := range []struct {
		name string
		now  time.Time
		args string
		prep func()
		code int
		says []string // in stdout and stderr together
	}{
		{"no home", now, "list", nil, 1, []string{"there is no AMOSKYS home here", "--home"}},
		{"verify in no home", now, "verify", nil, 1, []string{"there is no AMOSKYS home here"}},
		{"nothing there", now, "list", func() { mustMake(t, filepath.Join(home, "config", "agents")) }, 1, []string{"certs init"}},
		{"verify nothing", now, "verify", nil, 1, []string{"wrong: " + certs + " is missing", "fix: amoskys --home " + home + " certs init"}},
		{"init", now, "init --host hub.example,192.0.2.1 --ttl 30d", nil, 0, []string{"created " + certs + "/ca.crt", "created " + certs + "/client.key"}},
		{"again", now, "init", nil, 0, []string{"Nothing to do: all 16 files"}},
		{"roles that few need", now, "init --with store,analysis --with subscriber", nil, 0, []string{"created " + certs + "/subscriber.key", "created " + certs + "/analysis.crt", "created " + certs + "/subscriber.crt"}},
		{"roles that nobody has", now, "init --with king", nil, 1, []string{"there are analysis, subscriber"}},
		{"other domain", now, "init --domain corp.example", nil, 1, []string{"is the authority of domain amoskys.local"}},
		{"list", now, "list", nil, 0, []string{"client.crt → agent.crt", "spiffe://amoskys.local/eventbus/", "localhost", "ok"}},
		{"verify", now, "verify --host hub.example", nil, 0, []string{"all well"}},
		{"verify a name", now, "verify --host hub9.example", nil, 0, []string{"warning: ", "certs renew eventbus --host hub9.example"}},
		{"due", now.Add(22 * day), "list", nil, 0, []string{"due", "certs renew agent"}},
		{"expired", now.Add(40 * day), "verify", nil, 1, []string{"expired on", "fix: amoskys --home " + home + " certs renew node"}},
		{"renew what", now, "renew", nil, 2, []string{"name certificates to renew"}},
		{"renew both", now, "renew agent --all", nil, 2, []string{"not both"}},
		{"renew nobody", now, "renew nobody", nil, 1, []string{"there is no certificate"}},
		{"renew not due", now, "renew --due", nil, 0, []string{"agent.crt is not due"}},
		{"renew", now, "renew eventbus --host hub9.example", nil, 0, []string{"renewed " + certs + "/eventbus.crt"}},
		{"renewed", now, "verify --host hub9.example", nil, 0, []string{"all well"}},
		{"bad ttl", now, "init --ttl 3h90d", nil, 2, []string{"want a duration"}},
		{"long ttl", now, "init --ttl 9000d", nil, 2, []string{"want a duration"}},
		{"extra words", now, "init all", nil, 2, []string{"unknown command"}},
		{"open key", now, "verify", func() { _ = os.Chmod(filepath.Join(certs, "agent.key"), 0o644) }, 1, []string{
			"wrong: " + certs + "/agent.key is open to other users (mode 0644)", "fix: chmod 600 " + certs + "/agent.key",
		}},
		{"force", now, "init --force", nil, 0, []string{"The old files are in " + certs + "/replaced-", "created " + certs + "/ca.key"}},
		{"sound again", now, "verify", nil, 0, []string{"all well"}},
	} {
		if step.prep != nil {
			step.prep()
		}
		code, stdout, stderr := runCerts(t, home, step.now, strings.Fields(step.args)...)
		if code != step.code {
			t.Errorf("%s: exit code %d, want %d\n%s%s", step.name, code, step.code, stdout, stderr)
		}
		for _, words := range step.says {
			if !strings.Contains(stdout+stderr, words) {
				t.Errorf("%s: does not say %q:\n%s%s", step.name, words, stdout, stderr)
			}
		}
	}
}

func TestCertsJSON(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for args, key := range map[string]string{
		"init --json": "created", "list --json": "certificates", "renew --all --json": "certificates", "verify --json": "findings",
	} {
		if args != "init --json" {
			runCerts(t, home, time.Now(), "init")
		}
		code, stdout, _ := runCerts(t, home, time.Now(), strings.Fields(args)...)
		var got map[string]any
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || got[key] == nil {
			t.Errorf("%s: exit code %d, %v:\n%s", args, code, err, stdout)
		}
	}
}

func TestCertsConnect(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	runCerts(t, home, time.Now(), "init")
	cfg, err := identity.ServerConfig(identity.FilesFor(filepath.Join(home, "certs"), "eventbus"),
		identity.ServerOptions{Allow: []identity.Role{identity.RoleAgent}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := identity.NewListener(inner, cfg, identity.ListenerOptions{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 512))
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
			_ = c.Close()
		}
	})
	defer wg.Wait()
	defer func() { _ = ln.Close() }()
	for args, want := range map[string][]string{
		"":                {"0", "TLS 1.3", "accepts this certificate", "GET /health: HTTP/1.1 200 OK"},
		" --as dashboard": {"1", "refused by the other side", "dashboard.crt", "its log says why"},
	} {
		code, stdout, stderr := runCerts(t, home, time.Now(), strings.Fields("verify --connect "+ln.Addr().String()+args)...)
		if got := string(rune('0' + code)); got != want[0] {
			t.Errorf("%q: exit code %s\n%s%s", args, got, stdout, stderr)
		}
		for _, words := range want[1:] {
			if !strings.Contains(stdout, words) {
				t.Errorf("%q does not say %q:\n%s%s", args, words, stdout, stderr)
			}
		}
	}
}

func mustMake(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}
