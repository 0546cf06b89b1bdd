package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agents/synth"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/dial/dialtest"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/tail"
)

// dialler is one who dials the hub at e's EVENTBUS_HOST and _PORT; run returns why
// it did not get there.
type dialler struct {
	name string
	run  func(ctx context.Context, t *testing.T, h *enrolHub, e *cli.Env, addr string) error
}

// diallers are all of them.
func diallers() []dialler {
	return []dialler{
		{"enroll", func(ctx context.Context, t *testing.T, h *enrolHub, _ *cli.Env, addr string) error {
			e := &cli.Env{Home: config.Home(t.TempDir()), Now: time.Now}
			_, err := endpoint.Enroll(ctx, e, endpoint.EnrollOptions{Hub: addr, Token: h.token(t, ""), Host: "web-1"}) //nolint:contextcheck // the token has the test's
			return err
		}},
		{"command", func(ctx context.Context, _ *testing.T, _ *enrolHub, e *cli.Env, _ string) error {
			c, err := remote.Dial(e, "")
			if err != nil {
				return err
			}
			_, err = c.Enrollment.ListTokens(ctx, &pb.ListTokensRequest{})
			return errors.Join(c.Explain(err), c.Close())
		}},
		{"tail", func(ctx context.Context, _ *testing.T, _ *enrolHub, e *cli.Env, addr string) error {
			d, err := dial.ForCommand(e.Lookup, e.Home)
			if err != nil {
				return err
			}
			request, err := (&tail.Want{All: true, NoFollow: true, From: -1}).Request()
			if err != nil {
				return err
			}
			files := identity.FilesFor(e.Home.Certs(), "operator")
			return tail.Run(ctx, tail.Options{
				Hub: addr, Dial: d.Dial, Files: files, Request: request,
				Print: func(*reader.Event) error { return nil }, Notice: func(string) {},
				Explain: func(err error) error { return remote.Explain(err, addr, d.Via(addr), files, time.Now()) },
			})
		}},
		{"doctor", func(ctx context.Context, t *testing.T, _ *enrolHub, e *cli.Env, addr string) error {
			named := false
			for _, c := range endpoint.Doctor(ctx, e, "amoskys-agent") {
				named = named || strings.HasPrefix(c.Name, "proxy http://127.0.0.1:")
				if c.Name == "hub "+addr && c.Verdict == endpoint.VerdictFail {
					return errors.New(c.Detail)
				}
			}
			if !named {
				t.Error("the doctor does not name the proxy")
			}
			return nil
		}},
		{"node", func(ctx context.Context, _ *testing.T, _ *enrolHub, e *cli.Env, _ string) error {
			cfg := node.DefaultConfig()
			if err := config.Load(e.Home.NodeConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
				return err
			}
			stream, err := node.Connector(cfg.Hub, e.Home, obs.Discard())(ctx)
			if err == nil {
				stream.Close()
			}
			return err
		}},
		{"agent", runGenerator},
		{"dashboard", func(ctx context.Context, _ *testing.T, _ *enrolHub, e *cli.Env, _ string) error {
			cfg := dashboard.DefaultConfig()
			if err := config.Load(e.Home.DashboardConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
				return err
			}
			cfg.Server.Port = 0
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			s, err := dashboard.New(dashboard.Options{Config: cfg, Home: e.Home}) //nolint:contextcheck // it opens its port and returns
			if err != nil {
				return err
			}
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			defer func() { cancel(); <-done }()
			for {
				// Until its first try has ended it has nothing to say of the way.
				err := login(ctx, s.Addr())
				if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "has not been reached yet") {
					return err
				}
			}
		}},
	}
}

// login asks a dashboard for what only the hub can answer.
func login(ctx context.Context, dashboard net.Addr) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+dashboard.String()+"/api/login", strings.NewReader(`{"username":"a","password":"b"}`))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadGateway { // what an rpc gives that this hub lacks
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return err
}

// runGenerator runs an agent until it is connected, or says why it is not.
func runGenerator(ctx context.Context, t *testing.T, _ *enrolHub, e *cli.Env, _ string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	at := make(chan net.Addr, 1)
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, agent.RunOptions{
			Definition: synth.Definition(), Home: e.Home, Decode: config.DecodeOptions{Env: e.Lookup},
			OnReady: func(addr net.Addr) { at <- addr },
		})
	}()
	defer func() { cancel(); <-done }()
	var addr net.Addr
	select {
	case addr = <-at:
	case err := <-done:
		done <- err
		return err
	}
	for {
		status, err := agentStatus(ctx, addr)
		switch {
		case err != nil:
			return err
		case status.Hub.Connected:
			if !strings.HasPrefix(status.Hub.Proxy, "http://127.0.0.1:") {
				t.Errorf("/status names the proxy %q", status.Hub.Proxy)
			}
			return nil
		case status.Hub.LastError != "":
			return errors.New(status.Hub.LastError)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func agentStatus(ctx context.Context, addr net.Addr) (s agent.Status, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+"/status", http.NoBody)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// farHub is a home from which the hub h is reached through a proxy alone, as hub1.
func farHub(t *testing.T, h *enrolHub, o dialtest.Options) (*dialtest.Proxy, *cli.Env, string) {
	t.Helper()
	_, port, err := net.SplitHostPort(h.addr)
	if err != nil {
		t.Fatal(err)
	}
	addr := "hub1:" + port
	o.Route, o.Credentials = map[string]string{addr: h.addr}, "zoe:s3cret"
	p := dialtest.Start(t, o)
	dialtest.NoProxy(t)
	t.Setenv("HTTPS_PROXY", p.URL())
	vars := map[string]string{
		"EVENTBUS_HOST": "hub1", "EVENTBUS_PORT": port, "AMOSKYS_NODE_AGENTS": "synth",
		"AMOSKYS_AGENT_HEALTH_INTERVAL_SECONDS": "1", "AMOSKYS_AGENT_STOP_TIMEOUT_SECONDS": "0", "AMOSKYS_HTTP_PORT": "0",
	}
	home := config.Home(t.TempDir())
	if err := os.CopyFS(home.Certs(), os.DirFS(h.home.Certs())); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"node", "agent", "client", "operator", "dashboard", "ca", "eventbus"} {
		if err := os.Chmod(home.Certs()+"/"+key+".key", 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p, &cli.Env{Home: home, Now: time.Now, Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok }}, addr
}

// TestAllDialThroughTheProxy: whoever dials the hub obeys HTTPS_PROXY, mutual TLS
// passes through, and the hub's name is left for the proxy to look up.
func TestAllDialThroughTheProxy(t *testing.T) {
	h := startEnrolHub(t, true)
	for _, d := range diallers() {
		t.Run(d.name, func(t *testing.T) {
			dialtest.NoDNS(t)
			p, e, addr := farHub(t, h, dialtest.Options{})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := d.run(ctx, t, h, e, addr); err != nil {
				t.Error(err)
			}
			targets := slices.Compact(p.Targets())
			if got := fmt.Sprint(targets); got != "[CONNECT "+addr+"]" {
				t.Errorf("the proxy was asked for %s", got)
			}
		})
	}
}

// TestAllBlameTheProxy: whoever cannot get through says that it is the proxy and
// which, and not that the hub is not running; the password stays out of it.
func TestAllBlameTheProxy(t *testing.T) {
	h := startEnrolHub(t, true)
	for _, d := range diallers() {
		t.Run(d.name, func(t *testing.T) {
			p, e, addr := farHub(t, h, dialtest.Options{Answer: "HTTP/1.1 403 Forbidden\r\n\r\n"})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := d.run(ctx, t, h, e, addr)
			if err == nil {
				t.Fatal("no error")
			}
			if text := err.Error(); !strings.Contains(text, "the proxy http://"+p.Addr+" (HTTPS_PROXY) forbids connections to "+addr) ||
				strings.Contains(text, "s3cret") || errors.Is(err, remote.ErrNotRunning) {
				t.Error(text)
			}
		})
	}
}
