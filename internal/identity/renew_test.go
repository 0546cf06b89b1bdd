package identity

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRenew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	_, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	old, oldKey := readOne(t, filepath.Join(dir, "eventbus.crt")), snapshot(t, dir)["eventbus.key"]
	later := func() time.Time { return epoch.AddDate(0, 0, 30) }

	due, err := Renew(dir, RenewOptions{Due: true, Now: later})
	must(t, err)
	if len(due) != 6 || !due[0].Skipped {
		t.Errorf("nothing is due, yet %+v", due)
	}
	done, err := Renew(dir, RenewOptions{Names: []string{"eventbus", "client"}, Hosts: []string{"new.example"}, Now: later, TTL: 24 * time.Hour})
	must(t, err)
	if len(done) != 2 || done[0].Name != "eventbus" || done[1].Name != "agent" || done[0].Skipped {
		t.Errorf("renewed %+v", done)
	}
	fresh := readOne(t, filepath.Join(dir, "eventbus.crt"))
	if snapshot(t, dir)["eventbus.key"] == oldKey || fresh.SerialNumber.Cmp(old.SerialNumber) == 0 {
		t.Error("the key or the serial is the old one")
	}
	if diff := cmp.Diff(append([]string{"localhost", "web1", "web1.corp.example", "hub.example", "new.example"}, "127.0.0.1", "::1", "192.0.2.10"), hostsOf(fresh)); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if want := later().Add(24*time.Hour - backdate); !fresh.NotAfter.Equal(want) {
		t.Errorf("ends %s, want %s", fresh.NotAfter, want)
	}
	if !isLink(filepath.Join(dir, "client.crt")) {
		t.Error("client.crt is no link any more")
	}
	due, err = Renew(dir, RenewOptions{Due: true, Now: func() time.Time { return epoch.AddDate(0, 0, 61) }})
	must(t, err)
	for _, r := range due {
		if r.Skipped {
			t.Errorf("%s was not renewed", r.Name)
		}
	}
	_, findings := Verify(dir, VerifyOptions{Now: epoch.AddDate(0, 0, 61)})
	if len(findings) > 0 {
		t.Errorf("verify finds %+v", findings)
	}
	for name, want := range map[string]string{"ca": "certs init --force", "nobody": "there are agent, client"} {
		if _, err := Renew(dir, RenewOptions{Names: []string{name}, Now: later}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("renew %s: %v", name, err)
		}
	}
	must(t, os.Remove(filepath.Join(dir, "ca.key")))
	if _, err := Renew(dir, RenewOptions{Now: later}); err == nil || !strings.Contains(err.Error(), "ca.key") {
		t.Errorf("without the authority's key: %v", err)
	}
}

// TestInterruptedSwap stops a replacement after each of its steps. What is left
// must serve, and the next run must tidy up.
func TestInterruptedSwap(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]int{"staged": 1, "key renamed": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			pair, err := s.own.Issue(IssueOptions{ID: hubID(), Hosts: []string{"localhost"}, NotBefore: epoch.Add(-time.Hour)})
			must(t, err)
			must(t, writeFile(s.own.dir, nextName("eventbus.crt"), pair.CertPEM, certMode))
			if steps == 2 {
				must(t, writeFile(s.own.dir, "eventbus.key", pair.KeyPEM, keyMode))
			}
			must(t, os.WriteFile(filepath.Join(s.own.dir, ".agent.key"+tmpMark+"123"), []byte("half"), 0o600))
			if _, err := ServerConfig(s.server, s.serverOpts); err != nil {
				t.Errorf("what is left does not serve: %v", err)
			}
			link := Files{Cert: filepath.Join(s.own.dir, "linked.crt"), Key: filepath.Join(s.own.dir, "linked.key")}
			must(t, errors.Join(os.Symlink("eventbus.crt", link.Cert), os.Symlink("eventbus.key", link.Key)))
			if _, _, err := loadPair(link.Cert, link.Key); err != nil {
				t.Errorf("what is left does not serve by a link to it: %v", err)
			}
			must(t, errors.Join(os.Remove(link.Cert), os.Remove(link.Key)))
			_, findings := Verify(s.own.dir, VerifyOptions{Now: epoch})
			for _, f := range findings {
				if strings.Contains(f.File, "eventbus") {
					t.Errorf("what serves is found wrong: %s %s", f.File, f.Problem)
				}
			}
			o := layoutOptions()
			_, err = EnsureLayout(s.own.dir, o)
			must(t, err)
			got := readOne(t, s.server.Cert)
			if renewed := got.SerialNumber.Cmp(pair.Cert.SerialNumber) == 0; renewed != (steps == 2) {
				t.Errorf("after tidying up the new certificate is in place: %v", renewed)
			}
			for f := range snapshot(t, s.own.dir) {
				if strings.HasPrefix(f, ".") && f != lockName {
					t.Errorf("%s was left behind", f)
				}
			}
		})
	}
}

func TestSetAside(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	if moved, err := SetAside(dir, epoch); moved != "" || err != nil {
		t.Errorf("nothing there: %q, %v", moved, err)
	}
	_, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	before := snapshot(t, dir)
	moved, err := SetAside(dir, epoch)
	must(t, err)
	after := snapshot(t, moved)
	delete(before, lockName)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
	report, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	if len(report.Created) != len(layoutFiles()) {
		t.Errorf("created %v", report.Created)
	}
}

// TestForeignAuthorities: what lies in certs/ to trust somebody else by is no certificate of
// ours, and is left alone.
func TestForeignAuthorities(t *testing.T) {
	dir, elsewhere := filepath.Join(t.TempDir(), "certs"), filepath.Join(t.TempDir(), "certs")
	for _, d := range []string{dir, elsewhere} {
		_, err := EnsureLayout(d, layoutOptions())
		must(t, err)
	}
	foreign, err := os.ReadFile(filepath.Join(elsewhere, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "collector-ca.crt"), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := renewable(dir, nil)
	if err != nil || len(names) == 0 || slices.Contains(names, "collector-ca") {
		t.Errorf("renewed would be %v, %v", names, err)
	}
}
