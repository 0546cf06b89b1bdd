package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/wal"
)

func TestWALCursors(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	dir := filepath.Join(home, "data", "wal")
	writeLog(t, dir)
	code, stdout, _ := runWAL(t, "cursors", "list", "--home", home)
	if code != cli.ExitOK || !strings.Contains(stdout, "store") || !strings.Contains(stdout, "yes") || !strings.Contains(stdout, " 3 ") {
		t.Fatalf("exit %d: %s", code, stdout)
	}
	var list struct {
		Cursors    []cursorOutput `json:"cursors"`
		NextOffset wal.Offset     `json:"next_offset"`
	}
	_, stdout, _ = runWAL(t, "cursors", "list", "--dir", dir, "--json")
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list.Cursors) != 1 || list.NextOffset != 3 {
		t.Fatalf("%v: %s", err, stdout)
	}
	if c := list.Cursors[0]; c.Name != "store" || c.LagEvents != 3 || !c.Hold || c.Updated.IsZero() {
		t.Errorf("%+v", c)
	}
	for _, tt := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"store"}, cli.ExitUsage, "--yes"},
		{[]string{"nobody", "--yes"}, cli.ExitFailed, "there is no cursor nobody"},
		{[]string{"../HEAD", "--yes"}, cli.ExitFailed, "invalid"},
		{[]string{"store", "--yes"}, cli.ExitOK, "it stood at offset 0"},
		{[]string{"store", "--yes"}, cli.ExitFailed, "there is no cursor store"},
	} {
		code, stdout, stderr := runWAL(t, append([]string{"cursors", "remove", "--home", home}, tt.args...)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.text) {
			t.Errorf("remove %v: exit %d, %s%s", tt.args, code, stdout, stderr)
		}
	}
	if code, stdout, _ = runWAL(t, "cursors", "list", "--home", home); code != cli.ExitOK || !strings.Contains(stdout, "there are no cursors") {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

// TestWALCursorsWithTheHubRunning: the hub removes the cursor from its own memory,
// and says who asked.
func TestWALCursorsWithTheHubRunning(t *testing.T) {
	t.Parallel()
	home := config.Home(t.TempDir())
	if err := home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{Host: "h", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	l, err := wal.Open(t.Context(), wal.Options{Dir: home.WAL(), Logger: obs.Discard()})
	if err == nil {
		_, err = l.Cursor("subscriber@old@main", true)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	env, out, stop := runningHub(t, home)
	f := walFlags{env: env, asJSON: true}
	if err := f.removeCursor(t.Context(), "subscriber@old@main"); err != nil {
		t.Fatal(err)
	}
	stop()
	var removed removedOutput
	if err := json.Unmarshal(out.Bytes(), &removed); err != nil || !removed.ByHub {
		t.Errorf("%v: %s", err, out.String())
	}
	code, stdout, _ := runWAL(t, "cursors", "list", "--home", string(home))
	if code != cli.ExitOK || !strings.Contains(stdout, "there are no cursors") {
		t.Errorf("after the hub has stopped: exit %d, %s", code, stdout)
	}
	if _, stdout, _ = runWAL(t, "dump", "--home", string(home), "--json"); !strings.Contains(stdout, "cursor.remove") {
		t.Errorf("nothing of it is in the log: %s", stdout)
	}
}

// runningHub runs a hub with the log of a home until stop, and returns what commands see.
func runningHub(t *testing.T, home config.Home) (env *cli.Env, out *bytes.Buffer, stop func()) {
	t.Helper()
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(probe.Addr().(*net.TCPAddr).Port)
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{
		"AMOSKYS_SERVER_HOST": "127.0.0.1", "AMOSKYS_SERVER_PORT": port, "AMOSKYS_METRICS_ENABLED": "false",
		"AMOSKYS_WAL_MIN_FREE_MB": "0", "NO_PROXY": "*",
	}
	out = &bytes.Buffer{}
	var errs bytes.Buffer
	env = &cli.Env{
		Stdin: strings.NewReader(""), Stdout: out, Stderr: &errs, Logger: obs.Discard(), Home: home, Now: time.Now,
		Lookup: func(name string) (string, bool) { v, ok := settings[name]; return v, ok },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.RunHub(ctx, env) }()
	deadline := time.Now().Add(30 * time.Second)
	for { // it has the log once its port answers
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return env, out, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
