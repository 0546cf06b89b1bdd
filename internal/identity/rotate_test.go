package identity

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRotation goes through all steps: what is trusted, who issues and what the hub's
// own certificate is of, after each, and that a step which was cut short is done again.
func TestRotation(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	_, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	clock := newClock(epoch)
	o := RotateOptions{Now: clock.Now}
	at := func(name string) string { return filepath.Join(dir, name) }
	if _, err := SwitchAuthority(dir, o); !errors.Is(err, ErrNotRotating) {
		t.Errorf("switched before it began: %v", err)
	}

	before, err := os.ReadFile(at("store.crt"))
	must(t, err)
	r, err := BeginRotation(dir, o)
	must(t, err)
	if _, err := BeginRotation(dir, o); !errors.Is(err, ErrNotRotating) {
		t.Errorf("begun twice: %v", err)
	}
	roots, err := readAuthorities(at("ca.crt"))
	must(t, err)
	if len(roots) != 2 || Fingerprint(roots[0]) != r.Old || Fingerprint(roots[1]) != r.New || domainOf(roots[0]) != domainOf(roots[1]) {
		t.Fatalf("trusted: %v, %+v", roots, r)
	}
	issues := func(want string) {
		t.Helper()
		ca, err := LoadIssuingCA(at("ca.crt"), at("ca.key"), clock.Now())
		must(t, err)
		if Fingerprint(ca.Cert) != want {
			t.Errorf("%s issues, want %s", Fingerprint(ca.Cert), want)
		}
	}
	issues(r.Old) // not every server trusts the other yet
	if _, err := SwitchAuthority(dir, o); !errors.Is(err, ErrTooEarly) {
		t.Errorf("switched before every server trusts it: %v", err)
	}
	clock.Add(settle)
	issues(r.New)
	own := func(name string) string { return Fingerprint(IssuerOf(readOne(t, at(name+".crt")), roots)) }
	if own("eventbus") != r.Old {
		t.Error("the hub shows a certificate that nobody trusts yet")
	}
	// What up and the timer do meanwhile stays of the old one.
	_, err = Renew(dir, RenewOptions{Names: []string{"eventbus"}, Now: clock.Now})
	must(t, err)
	if own("eventbus") != r.Old {
		t.Error("the hub's certificate was renewed of the new one")
	}
	if _, findings := Verify(dir, VerifyOptions{Now: clock.Now()}); len(findings) > 0 {
		t.Errorf("verify finds %+v", findings)
	}

	o.Awaited = []string{"spiffe://amoskys.local/store/hub1"}
	done, err := SwitchAuthority(dir, o)
	must(t, err)
	if at, err := ReadRotation(dir); err != nil || !slices.Equal(at.Awaited, o.Awaited) {
		t.Errorf("awaited are %v, %v", at.Awaited, err)
	}
	if len(done) != 6 || own("eventbus") != r.New || own("store") != r.New || own("operator") != r.New {
		t.Errorf("renewed %+v", done)
	}
	issues(r.New)
	if _, err := LoadCA(at("ca.crt"), at("ca.key")); err != nil {
		t.Error(err)
	}
	report, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	if len(report.Created) > 0 || len(report.Warnings) > 0 {
		t.Errorf("the layout: %+v", report)
	}

	// Somebody has put back what they had copied elsewhere.
	fresh, err := os.ReadFile(at("store.crt"))
	must(t, err)
	must(t, os.WriteFile(at("store.crt"), before, 0o644))
	behind := &LeavesError{}
	if _, err := FinishRotation(dir, o); !errors.As(err, &behind) || !slices.Equal(behind.Files, []string{"store.crt"}) {
		t.Errorf("ended although a certificate would be refused: %v", err)
	}
	must(t, os.WriteFile(at("store.crt"), fresh, 0o644))
	aside, err := FinishRotation(dir, o)
	must(t, err)
	roots, err = readAuthorities(at("ca.crt"))
	must(t, err)
	if len(roots) != 1 || Fingerprint(roots[0]) != r.New {
		t.Errorf("trusted at the end: %v", roots)
	}
	old, err := LoadCA(filepath.Join(aside, "ca.crt"), filepath.Join(aside, "ca.key"))
	must(t, err)
	if Fingerprint(old.Cert) != r.Old {
		t.Error("another authority was set aside")
	}
	if left, err := ReadRotation(dir); err != nil || left.Stage != StageNone {
		t.Errorf("left: %+v, %v", left, err)
	}
	if _, findings := Verify(dir, VerifyOptions{Now: clock.Now()}); len(findings) > 0 {
		t.Errorf("verify finds %+v", findings)
	}
	if _, err := BeginRotation(dir, o); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestRotationIsCutShort: whatever a crash leaves of a step, the next call finishes it.
func TestRotationIsCutShort(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(t *testing.T, dir string){
		"it is trusted already, and not noted": func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, rotationName)))
		},
		"its key alone is there": func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, rotationName)))
			old := readOne(t, filepath.Join(dir, "ca.crt"))
			must(t, writeFile(dir, "ca.crt", marshalCerts(old), certMode))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "certs")
			_, err := EnsureLayout(dir, layoutOptions())
			must(t, err)
			_, err = BeginRotation(dir, RotateOptions{Now: atEpoch})
			must(t, err)
			cut(t, dir)
			r, err := BeginRotation(dir, RotateOptions{Now: atEpoch})
			must(t, err)
			roots, err := readAuthorities(filepath.Join(dir, "ca.crt"))
			must(t, err)
			if len(roots) != 2 || Fingerprint(roots[1]) != r.New {
				t.Errorf("trusted: %d", len(roots))
			}
			later := func() time.Time { return epoch.Add(settle) }
			_, err = SwitchAuthority(dir, RotateOptions{Now: later})
			must(t, err)
			// Behind the keys, and before it was noted.
			r.Stage = StageTrusting
			must(t, r.write(dir))
			if done, err := SwitchAuthority(dir, RotateOptions{Now: later}); err != nil || len(done) > 0 {
				t.Errorf("again: %v, %v", done, err)
			}
		})
	}
}

func certsOf(list ...*x509.Certificate) []*x509.Certificate { return list }

func TestAuthoritiesDigest(t *testing.T) {
	t.Parallel()
	a, b := newAuthority(t, DefaultDomain, atEpoch), newAuthority(t, DefaultDomain, atEpoch)
	one := readOne(t, filepath.Join(a.dir, "ca.crt"))
	other := readOne(t, filepath.Join(b.dir, "ca.crt"))
	both := AuthoritiesDigest(certsOf(one, other))
	if diff := cmp.Diff(both, AuthoritiesDigest(certsOf(other, one, other))); diff != "" {
		t.Errorf("the order counts: %s", diff)
	}
	if AuthoritiesDigest(certsOf(one)) == both || DigestOf(filepath.Join(a.dir, "ca.crt")) != AuthoritiesDigest(certsOf(one)) || DigestOf("nowhere") != "" {
		t.Error("digests are mixed up")
	}
}

// FuzzRotation: whatever lies in the file is refused, or a stage that there is.
func FuzzRotation(f *testing.F) {
	for _, s := range []string{`{"stage":"trusting"}`, `{"stage":"switched","begun":"2026-01-01T00:00:00Z"}`, `{"stage":"later"}`, "{", "", `{"begun":1}`} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		must(t, os.WriteFile(filepath.Join(dir, rotationName), []byte(text), 0o600))
		if r, err := ReadRotation(dir); err == nil && r.Stage != StageTrusting && r.Stage != StageSwitched {
			t.Errorf("%q is %+v", text, r)
		}
	})
}
