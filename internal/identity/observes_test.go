package identity

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestObserves: what watches others is in the certificate of the host's agents,
// stays there, and is added when the program has learnt a new kind.
func TestObserves(t *testing.T) {
	t.Parallel()
	dir, now := certsDir(t), time.Now()
	layout := func(kinds ...string) LayoutReport {
		t.Helper()
		report, err := EnsureLayout(dir, LayoutOptions{
			Host: "VM.", Observes: kinds, With: []string{"store"}, Canonical: func(string) string { return "" },
		})
		must(t, err)
		return report
	}
	holder := func(name string) Holder {
		t.Helper()
		h, err := ReadHolder(filepath.Join(dir, name+".crt"))
		must(t, err)
		return h
	}
	if _, err := ReadHolder(filepath.Join(dir, "certs", "agent.crt")); err == nil || !strings.Contains(err.Error(), "there is no AMOSKYS home here") {
		t.Errorf("without certificates: %v", err)
	}
	layout("synth", "flow")
	if h := holder("agent"); h.ID.String() != "spiffe://amoskys.local/agent/vm" || !slices.Equal(h.Observes, []string{"flow", "synth"}) {
		t.Errorf("a new certificate: %+v", h)
	}
	for _, name := range []string{"node", "store", "operator"} {
		if h := holder(name); h.Observes != nil || h.ID.Host() != "vm" {
			t.Errorf("%s: %+v", name, h)
		}
	}
	infos, err := List(dir, now)
	must(t, err)
	for _, i := range infos {
		if (i.Role == RoleAgent) != (len(i.Observes) == 2) {
			t.Errorf("listed: %s observes %v", i.Name, i.Observes)
		}
	}
	if report := layout("synth"); len(report.Due) > 0 {
		t.Errorf("a kind less is due: %v", report.Due)
	}
	if report := layout("snmp"); !slices.Equal(report.Due, []string{"agent"}) {
		t.Errorf("a new kind: due %v", report.Due)
	}
	done, err := Renew(dir, RenewOptions{Due: true, Observes: []string{"snmp"}, Now: func() time.Time { return now }})
	must(t, err)
	for _, d := range done {
		if d.Skipped != (d.Name != "agent") {
			t.Errorf("%s: skipped %t", d.Name, d.Skipped)
		}
	}
	if h := holder("agent"); !slices.Equal(h.Observes, []string{"flow", "snmp", "synth"}) {
		t.Errorf("after renewal: %+v", h)
	}
	ca, err := LoadCA(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	must(t, err)
	for _, bad := range []string{"", "SNMP", "a b", "a:b", "observes-x"} {
		if _, err := ca.Issue(IssueOptions{ID: ID{DefaultDomain, RoleAgent, "vm"}, Observes: []string{bad}}); err == nil {
			t.Errorf("a certificate for the kind %q was issued", bad)
		}
	}
}
