package ask_test

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/app/ask"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/obs"
)

// TestTheNextStoreIsAsked: while the first store is away, commands ask those that the
// dashboard's configuration names; where all are away, they say where they asked.
func TestTheNextStoreIsAsked(t *testing.T) {
	s := newSite(t, 3)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, away, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"STORE_HOST": "localhost", "STORE_PORT": away}
	run := func(others string, o ask.Options) (string, error) {
		t.Helper()
		if err := os.WriteFile(s.home.DashboardConfig(), []byte("store: {others: ["+others+"]}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		e := &cli.Env{Stdout: &out, Stderr: &out, Home: s.home, Now: now, Logger: obs.Discard(), Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}
		err := ask.Run(t.Context(), e, o)
		return out.String(), err
	}
	for what, o := range map[string]ask.Options{
		"a question": {Count: true, Since: "all", Format: "text"},
		"a stream":   {Query: "* | stats count() n", Since: "all", Format: "csv"},
	} {
		if out, err := run(`"`+s.addr+`"`, o); err != nil || strings.TrimPrefix(strings.TrimSpace(out), "n\n") != "3" {
			t.Errorf("%s: %q, %v", what, out, err)
		}
	}
	_, err = run(`"localhost:1"`, ask.Options{Count: true, Format: "text"})
	if err == nil || !strings.Contains(err.Error(), "the store is not running at localhost:"+away) || !strings.Contains(err.Error(), "nor is one at localhost:1") {
		t.Errorf("%v", err)
	}
}
