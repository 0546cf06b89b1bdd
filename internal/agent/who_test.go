package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// scout publishes one event of its own host, and one each of another and a device.
type scout struct{ o agent.Options }

func (a scout) Run(ctx context.Context) error {
	err := a.o.Publisher.Publish(ctx,
		&pb.Event{Type: "test.own", Observer: &pb.Host{Name: "elsewhere"}, Publisher: "spiffe://amoskys.local/agent/elsewhere"},
		&pb.Event{Type: "test.named", Host: &pb.Host{Name: "VM."}},
		&pb.Event{Type: "test.other", Host: &pb.Host{Name: "web-1"}, Observer: &pb.Host{Name: "elsewhere"}},
		&pb.Event{Type: "test.device", About: &pb.Device{Name: "switch-1"}},
	)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// certify replaces the agent's certificate.
func (w *world) certify(t *testing.T, name string, observes ...string) {
	t.Helper()
	dir := w.home.Certs()
	ca, err := identity.LoadCA(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(identity.IssueOptions{
		ID: identity.ID{Domain: ca.Domain(), Role: identity.RoleAgent, Name: name}, Observes: observes,
	})
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{"agent.crt": pair.CertPEM, "agent.key": pair.KeyPEM} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheCertificateNamesTheAgent: events and status bear the name in the
// certificate, and of other hosts and devices this host is the observer alone.
func TestTheCertificateNamesTheAgent(t *testing.T) {
	w := newWorld(t, "")
	w.certify(t, "VM.", "tick")
	d := tickDefinition(func(o agent.Options) (agent.Agent, error) {
		if o.Host != "vm" {
			return nil, errors.New("the agent is told that this is " + o.Host)
		}
		return scout{o}, nil
	})
	d.Observes = true
	addr, stop := w.startAs(t, d)
	events := w.hub.Wait(t, 10*time.Second, "the events", func(events []*pb.Event) bool {
		return len(agenttest.OfType(events, "test.device")) == 1
	})
	for typ, want := range map[string][3]string{
		"agent.health": {"vm", "", ""}, "test.own": {"vm", "", ""}, "test.named": {"VM.", "", ""},
		"test.other": {"web-1", "vm", ""}, "test.device": {"", "vm", "switch-1"},
	} {
		ev := agenttest.OfType(events, typ)[0]
		if got := [3]string{ev.GetHost().GetName(), ev.GetObserver().GetName(), ev.GetAbout().GetName()}; got != want || ev.GetPublisher() != "" {
			t.Errorf("%s: host, observer and about are %q, want %q; publisher %q", typ, got, want, ev.GetPublisher())
		}
	}
	if s := status(t, addr); s.Host != "vm" || s.State != "running" {
		t.Errorf("status of %s, %s: %s", s.Host, s.State, s.Detail)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestAnObserverNeedsItsCertificate: one whose certificate says nothing of its
// kind is degraded and says what to do, until the certificate is renewed.
func TestAnObserverNeedsItsCertificate(t *testing.T) {
	w := newWorld(t, "")
	w.certify(t, "vm", "other")
	d := tickDefinition(func(o agent.Options) (agent.Agent, error) { return scout{o}, nil })
	d.Observes = true
	addr, stop := w.startAs(t, d)
	until(t, "the agent says what it lacks", func() bool {
		s := status(t, addr)
		return s.State == "degraded" && strings.Contains(s.Detail, "kind tick") && strings.Contains(s.Detail, "certs renew agent")
	})
	if _, err := identity.Renew(w.home.Certs(), identity.RenewOptions{Names: []string{"agent"}, Observes: []string{"tick"}}); err != nil {
		t.Fatal(err)
	}
	until(t, "the agent is content", func() bool { return status(t, addr).State == "running" })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestAnotherAgentsCertificate(t *testing.T) {
	w := newWorld(t, "")
	w.certify(t, "vm/flow_agent")
	err := agent.Run(t.Context(), agent.RunOptions{
		Definition: definition(&w.count, nil), Home: w.home, File: w.file, Decode: config.DecodeOptions{Env: config.NoEnv},
	})
	if err == nil || !strings.Contains(err.Error(), `agent.id is "tick_agent"`) || !strings.Contains(err.Error(), `agent "flow_agent" alone`) {
		t.Errorf("got %v", err)
	}
}
