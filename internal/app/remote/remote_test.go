package remote

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestAddress(t *testing.T) {
	e := &cli.Env{Home: config.Home(t.TempDir())}
	for want, vars := range map[string]map[string]string{
		"localhost:5000":       {"EVENTBUS_HOST": "", "EVENTBUS_PORT": ""},
		"localhost:6000":       {"AMOSKYS_SERVER_PORT": "6000"},
		"hub.example.org:7000": {"EVENTBUS_HOST": "hub.example.org", "EVENTBUS_PORT": "7000"},
		"[2001:db8::1]:5000":   {"EVENTBUS_HOST": "2001:db8::1"},
		"localhost:5001":       {"AMOSKYS_SERVER_HOST": "0.0.0.0", "AMOSKYS_SERVER_PORT": "5001"},
		"192.0.2.1:5000":       {"AMOSKYS_SERVER_HOST": "192.0.2.1"},
	} {
		e.Lookup = func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
		got, err := Address(e)
		if err != nil || got != want {
			t.Errorf("%v: got %q, %v, want %q", vars, got, err, want)
		}
	}
}

func TestAddressOfNoPort(t *testing.T) {
	for _, port := range []string{"abc", "0", "65536", "-1"} {
		e := &cli.Env{Home: config.Home(t.TempDir()), Lookup: func(name string) (string, bool) { return port, name == config.EnvHubPort }}
		if got, err := Address(e); err == nil || !strings.Contains(err.Error(), "EVENTBUS_PORT") {
			t.Errorf("%q: got %q, %v", port, got, err)
		}
	}
}

func TestDialWithoutCertificates(t *testing.T) {
	for name, tc := range map[string]struct {
		there []string // files in certs/
		says  string
	}{
		"no home":        {nil, "there is no AMOSKYS home here"},
		"a hub's":        {[]string{"ca.key", "eventbus.crt"}, "amoskys certs init makes what is missing"},
		"a watched host": {[]string{"node.crt", "agent.crt"}, "this host has joined a hub"},
	} {
		e := &cli.Env{Home: config.Home(t.TempDir()), Now: time.Now}
		for _, file := range tc.there {
			if err := errors.Join(os.MkdirAll(e.Home.Certs(), 0o700), os.WriteFile(filepath.Join(e.Home.Certs(), file), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Dial(e, "localhost:5000")
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		} else if name != "a hub's" && strings.Contains(err.Error(), "certs init") {
			t.Errorf("%s: advises certs init: %v", name, err)
		}
	}
}

func TestNothingListens(t *testing.T) {
	home := config.Home(t.TempDir())
	if _, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(&cli.Env{Home: home, Now: time.Now}, "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Status(t.Context())
	if !errors.Is(err, ErrNotRunning) || s.Hub.State != "down" || s.Agents == nil {
		t.Errorf("got %+v, %v", s, err)
	}
	if !strings.HasSuffix(err.Error(), "(connect: connection refused)") && !strings.HasSuffix(err.Error(), "(connection refused)") {
		t.Errorf("the error does not end with the system's words: %v", err)
	}
}

func TestHubHangs(t *testing.T) {
	c := &Client{line: &line{end: hubEnd(), addr: "localhost:5000", now: time.Now}}
	for _, err := range []error{
		status.Error(codes.DeadlineExceeded, "context deadline exceeded while waiting for connections to become ready"),
		status.FromContextError(context.DeadlineExceeded).Err(),
		// Its port is open, and nobody takes what comes.
		status.Error(codes.Unavailable, `connection error: desc = "transport: authentication handshake failed: context deadline exceeded"`),
	} {
		got := c.Explain(err)
		if errors.Is(got, ErrNotRunning) || !strings.HasPrefix(got.Error(), "the hub at localhost:5000 does not answer") {
			t.Errorf("got %v", got)
		}
	}
	refused := status.Error(codes.DeadlineExceeded, `latest balancer error: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:5000: connect: connection refused"`)
	if got := c.Explain(refused); !errors.Is(got, ErrNotRunning) {
		t.Errorf("got %v", got)
	}
}

func TestExplainGivesTheHubsWords(t *testing.T) {
	c := &Client{line: &line{end: hubEnd(), addr: "localhost:5000", now: time.Now}}
	if err := c.Explain(nil); err != nil {
		t.Error(err)
	}
	for _, code := range []codes.Code{codes.NotFound, codes.Unavailable, codes.FailedPrecondition, codes.DeadlineExceeded} {
		err := c.Explain(status.Error(code, "the node of web-1 is not there"))
		if err == nil || err.Error() != "the node of web-1 is not there" {
			t.Errorf("%s: got %v", code, err)
		}
	}
}

func TestNames(t *testing.T) {
	got := []string{
		StateName(pb.AgentState_AGENT_STATE_RUNNING), StateName(pb.AgentState_AGENT_STATE_CRASHED), StateName(0),
		HealthName(pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN), HealthName(0),
	}
	if diff := cmp.Diff([]string{"running", "crashed", "unknown", "green", "unknown"}, got); diff != "" {
		t.Error(diff)
	}
}
