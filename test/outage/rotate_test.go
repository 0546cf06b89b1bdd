package outage_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
)

// TestRotateAuthority replaces the authority under a hub, a store, a dashboard, a node
// with an agent that publishes, and a host that has joined. Nothing is started again, no
// event is lost or comes twice, a host that is revoked meanwhile stays out, and one that
// was away is named until it has come over.
func TestRotateAuthority(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a whole system for some seconds")
	}
	t.Parallel()
	h := newHome(t)
	ports := freePorts(t, 4)
	hub := fmt.Sprintf("hub: {port: %d}\n", h.hubPort)
	h.write(t, map[string]string{
		"store_config.yaml":     fmt.Sprintf("server: {host: 127.0.0.1, port: %d}\nmetrics: {enabled: false}\nstore: {min_free_mb: 50}\n", ports[0]) + hub,
		"dashboard_config.yaml": fmt.Sprintf("server: {port: %d}\nstore: {port: %d}\n", ports[1], ports[0]) + hub,
		"node_config.yaml":      hub,
	})
	h.run(t, "amoskys", "up", "--detach", "--agents", "synth")
	t.Cleanup(func() { _ = h.command(t, "amoskys", "down").Run() })
	web, lost := h.joined(t, "web-1", ports[2]), h.joined(t, "lost-1", ports[3])
	webNode, lostNode := web.start(t, "amoskys-agent", "node", "--agents", "eventbus"), lost.start(t, "amoskys-agent", "node", "--agents", "eventbus")
	h.until(t, "events are acknowledged", func(s status) bool { return s.Acked > rate/10 })
	wait(t, "both hosts are connected", func() bool {
		out := h.try(t, "amoskys", "agents", "hosts", "--json")
		return strings.Count(out, `"connected":true`)+strings.Count(out, `"connected": true`) >= 3
	})
	before := h.children(t)
	lostNode.stop(t, syscall.SIGTERM)

	h.run(t, "amoskys", "certs", "rotate-ca")
	wait(t, "web-1 has come over", func() bool {
		out := h.try(t, "amoskys", "certs", "status", "--json")
		return strings.Contains(out, "trusting") && !strings.Contains(out, "web-1")
	})
	if out, err := h.command(t, "amoskys", "certs", "rotate-ca").CombinedOutput(); err == nil || !strings.Contains(string(out), "lost-1") {
		t.Fatalf("a host that is away is left behind: %v, %s", err, out)
	}
	lostNode = lost.start(t, "amoskys-agent", "node", "--agents", "eventbus")
	h.run(t, "amoskys", "certs", "rotate-ca", "--wait", "60s")
	lostNode.stop(t, syscall.SIGTERM)

	for _, one := range []*home{h, web, lost} {
		roots, err := os.ReadFile(filepath.Join(one.dir, "certs", "ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		certs, err := identity.ParseCertificates(roots)
		if err != nil {
			t.Fatal(err)
		}
		infos, err := identity.List(filepath.Join(one.dir, "certs"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			held, err := identity.Hold(identity.FilesFor(filepath.Join(one.dir, "certs"), i.Name))
			if i.Name != "ca" && (err != nil || identity.IssuerOf(held.Cert, certs[len(certs)-1:]) == nil) {
				t.Errorf("%s of %s is not of the new authority: %v", i.Name, one.dir, err)
			}
		}
	}
	wait(t, "web-1 trusts the new authority alone", func() bool { return identity.DigestOf(web.ca()) == identity.DigestOf(h.ca()) })
	h.run(t, "amoskys", "agents", "revoke", "web-1", "--yes")
	if out, err := web.command(t, "amoskys-agent", "certs", "renew").CombinedOutput(); err == nil {
		t.Errorf("a revoked host renews: %s", out)
	}
	webNode.stop(t, syscall.SIGTERM)
	if after := h.children(t); after != before {
		t.Errorf("processes were started again: %s, before %s", after, before)
	}
	h.run(t, "amoskys", "query", "*", "--limit", "1") // hub and store over the new ones

	published := h.status(t).Total
	h.run(t, "amoskys", "agents", "stop", "synth_agent", "--host", h.name(t))
	got := h.subscribe(t)
	check(t, got, published)
	h.run(t, "amoskys", "down")
}

func (h *home) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(h.dir, "config", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs a command that must succeed.
func (h *home) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := h.command(t, program, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}

// try runs a command that may fail.
func (h *home) try(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, _ := h.command(t, program, args...).Output()
	return string(out)
}

func (h *home) ca() string { return filepath.Join(h.dir, "certs", "ca.crt") }

// name is what the home's node is called.
func (h *home) name(t *testing.T) string {
	t.Helper()
	holder, err := identity.ReadHolder(filepath.Join(h.dir, "certs", "node.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return holder.ID.Host()
}

// children are the roles that up runs, with their process ids.
func (h *home) children(t *testing.T) string {
	t.Helper()
	var s struct {
		Roles []struct {
			Name string `json:"name"`
			PID  int    `json:"pid"`
		} `json:"roles"`
	}
	if err := json.Unmarshal([]byte(h.run(t, "amoskys", "status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Roles) < 4 {
		t.Fatalf("roles: %+v", s.Roles)
	}
	return fmt.Sprint(s.Roles)
}

// joined is the home of a host that has joined h.
func (h *home) joined(t *testing.T, host string, port int) *home {
	t.Helper()
	var token struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(h.run(t, "amoskys", "token", "create", "--host", host, "--json")), &token); err != nil {
		t.Fatal(err)
	}
	j := &home{dir: t.TempDir(), hubPort: h.hubPort, agentPort: port}
	j.write(t, map[string]string{
		"agents/eventbus_agent_config.yaml": fmt.Sprintf("hub: {port: %d}\nhttp: {port: %d}\nmonitoring: {eventbus_port: %d, metrics_export_port: 0}\n", h.hubPort, port, h.hubPort),
	})
	j.run(t, "amoskys-agent", "enroll", "--hub", fmt.Sprintf("localhost:%d", h.hubPort), "--token", token.Token, "--host", host)
	return j
}

// wait polls for a minute.
func wait(t *testing.T, what string, good func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !good(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		<-time.After(200 * time.Millisecond)
	}
}
