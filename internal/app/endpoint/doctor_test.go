package endpoint

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
)

// patient is a home with certificates and no hub; both ports are free ones.
func patient(t *testing.T) (e *cli.Env, agentPort int) {
	t.Helper()
	hub, port := freePort(t), freePort(t)
	vars := map[string]string{
		"EVENTBUS_HOST": "127.0.0.1", "EVENTBUS_PORT": strconv.Itoa(hub), "AMOSKYS_NODE_AGENTS": "proc",
	}
	home := config.Home(t.TempDir())
	if err := home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{
		Host: "test", Canonical: func(string) string { return "" },
	}); err != nil {
		t.Fatal(err)
	}
	write(t, home.AgentConfig("process_monitor"), "agent: {id: proc_agent}\nhttp: {port: "+strconv.Itoa(port)+"}\n")
	return &cli.Env{Home: home, Now: time.Now, Lookup: func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}}, port
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDoctor(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, e *cli.Env, port int)
		// want are the verdicts expected, by the start of the check's name, and words
		// of detail and fix.
		want map[string]struct {
			verdict Verdict
			words   string
		}
	}{
		{
			"nothing runs", func(*testing.T, *cli.Env, int) {},
			map[string]struct {
				verdict Verdict
				words   string
			}{
				"config": {VerdictOK, "1 agent: proc"}, "certificates": {VerdictOK, "files in"}, "agent proc_agent": {VerdictWarn, " node"},
				"hub 127.0.0.1:": {VerdictFail, "connection refused"}, "port 127.0.0.1:": {VerdictOK, "free for proc_agent"}, "spool proc_agent": {VerdictOK, "64.0 MiB"},
			},
		},
		{
			"a faulty file", func(t *testing.T, e *cli.Env, _ int) {
				t.Helper()
				write(t, e.Home.AgentConfig("process_monitor"), "agent: {id: proc_agent}\nmonitoring: {sampel_rate: 1}\n")
			},
			map[string]struct {
				verdict Verdict
				words   string
			}{"config": {VerdictFail, `2:14: monitoring.sampel_rate: unknown key, did you mean "sample_rate"`}},
		},
		{
			"an open key", func(t *testing.T, e *cli.Env, _ int) {
				t.Helper()
				if err := os.Chmod(e.Home.Certs()+"/agent.key", 0o644); err != nil {
					t.Fatal(err)
				}
			},
			map[string]struct {
				verdict Verdict
				words   string
			}{"certificates": {VerdictFail, "chmod 600"}},
		},
		{
			"a taken port", func(t *testing.T, _ *cli.Env, port int) {
				t.Helper()
				l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = l.Close() })
			},
			map[string]struct {
				verdict Verdict
				words   string
			}{"port 127.0.0.1:": {VerdictFail, "change http.port of proc_agent"}},
		},
		{
			"another host's agent on the port", func(t *testing.T, _ *cli.Env, port int) {
				t.Helper()
				answerStatus(t, port, `{"id":"proc_agent","kind":"proc","host":"another","state":"running","health":{"ok":true}}`)
			},
			map[string]struct {
				verdict Verdict
				words   string
			}{
				"agent proc_agent": {VerdictWarn, "is that of host another, not of test"},
				"port 127.0.0.1:":  {VerdictFail, "change http.port of proc_agent"},
			},
		},
		{
			"another home's agent on the port", func(t *testing.T, _ *cli.Env, port int) {
				t.Helper()
				answerStatus(t, port, `{"id":"proc_agent","kind":"proc","host":"test","home":"/elsewhere","state":"running","health":{"ok":true}}`)
			},
			map[string]struct {
				verdict Verdict
				words   string
			}{
				"agent proc_agent": {VerdictWarn, "of another home, /elsewhere"},
				"port 127.0.0.1:":  {VerdictFail, "change http.port of proc_agent"},
			},
		},
		{
			"no certificates", func(t *testing.T, e *cli.Env, _ int) {
				t.Helper()
				if err := os.RemoveAll(e.Home.Certs()); err != nil {
					t.Fatal(err)
				}
			},
			map[string]struct {
				verdict Verdict
				words   string
			}{
				"certificates":   {VerdictFail, "enroll --hub HOST:PORT --token TOKEN"},
				"hub 127.0.0.1:": {VerdictFail, "enroll --hub HOST:PORT --token TOKEN"},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, port := patient(t)
			tt.spoil(t, e, port)
			checks := Doctor(t.Context(), e, "amoskys-agent")
			for name, want := range tt.want {
				if !said(checks, name, want.verdict, want.words) {
					t.Errorf("no %s of %s with %q in %+v", want.verdict, name, want.words, checks)
				}
			}
		})
	}
}

// answerStatus answers /status of an agent on a port, until the test ends.
func answerStatus(t *testing.T, port int, text string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{
		ReadHeaderTimeout: time.Second,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }),
	}}
	s.Start()
	t.Cleanup(s.Close)
}

func said(checks []Check, name string, v Verdict, words string) bool {
	for _, c := range checks {
		if strings.HasPrefix(c.Name, name) && c.Verdict == v && strings.Contains(c.Detail+" "+c.Fix, words) {
			return true
		}
	}
	return false
}
