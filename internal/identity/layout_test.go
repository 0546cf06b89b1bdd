package identity

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func layoutOptions() LayoutOptions {
	return LayoutOptions{
		Host: "web1", Hosts: []string{"hub.example", "192.0.2.10"}, Now: atEpoch,
		Canonical: func(h string) string { return h + ".corp.example." },
	}
}

func layoutFiles() []string {
	return []string{
		"agent.crt", "agent.key", "ca.crt", "ca.key", "client.crt", "client.key", "dashboard.crt", "dashboard.key",
		"eventbus.crt", "eventbus.key", "node.crt", "node.key", "operator.crt", "operator.key",
		"store.crt", "store.key",
	}
}

func TestEnsureLayout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "home", "certs")
	report, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	if diff := cmp.Diff(layoutFiles(), report.Created); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if len(report.Warnings)+len(report.Kept)+len(report.Due) != 0 {
		t.Errorf("unexpected report %+v", report)
	}
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %o", info.Mode().Perm())
	}
	for _, name := range layoutFiles() {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if filepath.Ext(name) == ".key" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, "client.key")); err != nil || target != "agent.key" {
		t.Errorf("client.key links to %q, %v", target, err)
	}
	if _, findings := Verify(dir, VerifyOptions{Now: epoch, Hosts: []string{"localhost", "web1", "web1.corp.example", "hub.example", "192.0.2.10", "::1"}}); len(findings) > 0 {
		t.Errorf("verify finds %+v", findings)
	}

	before := snapshot(t, dir)
	again, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	if len(again.Created) != 0 || len(again.Kept) != len(layoutFiles()) {
		t.Errorf("second run created %v, kept %v", again.Created, again.Kept)
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("second run changed files:\n%s", diff)
	}
}

func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		out[e.Name()] = string(b)
	}
	return out
}

func TestIssuedCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700))
	_, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	ca := readOne(t, filepath.Join(dir, "ca.crt"))
	if !ca.IsCA || ca.MaxPathLen != 0 || !ca.MaxPathLenZero || ca.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("authority: CA %v path %d usage %b", ca.IsCA, ca.MaxPathLen, ca.KeyUsage)
	}
	if life := ca.NotAfter.Sub(ca.NotBefore); life != DefaultCATTL {
		t.Errorf("authority lives %s", life)
	}
	serials := map[string]bool{}
	for name, role := range map[string]Role{
		"eventbus": RoleHub, "agent": RoleAgent, "dashboard": RoleDashboard, "node": RoleNode, "operator": RoleOperator, "store": RoleStore,
	} {
		c := readOne(t, filepath.Join(dir, name+".crt"))
		id, err := FromCertificate(c)
		if want := (ID{DefaultDomain, role, "web1"}); err != nil || id != want {
			t.Errorf("%s: identity %s, %v", name, id, err)
		}
		if string(c.AuthorityKeyId) != string(ca.SubjectKeyId) || len(c.SubjectKeyId) != 20 {
			t.Errorf("%s: key ids do not chain", name)
		}
		if c.NotAfter.Sub(c.NotBefore) != DefaultLeafTTL || !c.NotBefore.Equal(epoch.Add(-5*time.Minute)) {
			t.Errorf("%s: valid %s to %s", name, c.NotBefore, c.NotAfter)
		}
		if c.IsCA || c.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%s: CA %v usage %b", name, c.IsCA, c.KeyUsage)
		}
		if serves := slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth); serves != (role == RoleHub || role == RoleStore || role == RoleDashboard) {
			t.Errorf("%s: server usage is %v", name, serves)
		}
		if serials[c.SerialNumber.String()] || c.SerialNumber.BitLen() < 64 || c.SerialNumber.Sign() <= 0 {
			t.Errorf("%s: serial %s", name, c.SerialNumber)
		}
		serials[c.SerialNumber.String()] = true
	}
	want := []string{"localhost", "web1", "web1.corp.example", "hub.example", "127.0.0.1", "::1", "192.0.2.10"}
	if diff := cmp.Diff(want, hostsOf(readOne(t, filepath.Join(dir, "eventbus.crt")))); diff != "" {
		t.Errorf("hub's hosts (-want +got):\n%s", diff)
	}
}

// TestStoreComesLater: a home from before there were stores gets a certificate for
// one that is reached by the hub's names, and one that only dialled is made anew.
func TestStoreComesLater(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	o := layoutOptions()
	o.Names = []string{"eventbus", "operator"}
	_, err := EnsureLayout(dir, o)
	must(t, err)
	o = layoutOptions()
	o.Hosts = nil
	_, err = EnsureLayout(dir, o)
	must(t, err)
	hub, store := readOne(t, filepath.Join(dir, "eventbus.crt")), readOne(t, filepath.Join(dir, "store.crt"))
	if diff := cmp.Diff(hostsOf(hub), hostsOf(store)); diff != "" {
		t.Errorf("hosts (-hub +store):\n%s", diff)
	}
	ca, err := LoadCA(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	must(t, err)
	pair, err := ca.Issue(IssueOptions{ID: ID{DefaultDomain, RoleStore, "web1"}, NotBefore: epoch})
	must(t, err)
	must(t, swapPair(dir, "store", pair))
	report, err := EnsureLayout(dir, o)
	must(t, err)
	if !slices.Equal(report.Due, []string{"store"}) {
		t.Fatalf("due: %v", report.Due)
	}
	_, err = Renew(dir, RenewOptions{Names: report.Due, Due: true, Now: atEpoch})
	must(t, err)
	if hosts := hostsOf(readOne(t, filepath.Join(dir, "store.crt"))); !slices.Contains(hosts, "localhost") {
		t.Errorf("renewed for %v", hosts)
	}
}

func readOne(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	certs, err := readCerts(file)
	must(t, err)
	return certs[0]
}

func TestEnsureLayoutAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	var wg sync.WaitGroup
	reports := make([]LayoutReport, 8)
	errs := make([]error, len(reports))
	for i := range reports {
		wg.Go(func() { reports[i], errs[i] = EnsureLayout(dir, layoutOptions()) })
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	var created []string
	for _, r := range reports {
		created = append(created, r.Created...)
	}
	slices.Sort(created)
	if diff := cmp.Diff(layoutFiles(), created); diff != "" {
		t.Errorf("created by all together (-want +got):\n%s", diff)
	}
	if _, findings := Verify(dir, VerifyOptions{Now: epoch}); len(findings) > 0 {
		t.Errorf("verify finds %+v", findings)
	}
}

// TestEnsureLayoutCompletes removes files, as a crash or a person would have, and
// lets EnsureLayout complete what is left.
func TestEnsureLayoutCompletes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		remove []string
		want   []string // created
		err    string
	}{
		"leaf":                      {[]string{"node.crt", "node.key"}, []string{"node.crt", "node.key"}, ""},
		"certificate after its key": {[]string{"node.crt"}, []string{"node.crt"}, ""},
		"link":                      {[]string{"client.key"}, []string{"client.key"}, ""},
		"agent below its links": {
			[]string{"agent.crt", "agent.key"},
			[]string{"agent.crt", "agent.key"},
			"",
		},
		"key of a certificate": {[]string{"node.key"}, nil, "exists without its key node.key"},
		"authority":            {[]string{"ca.crt"}, nil, "put back the authority"},
		"authority and key":    {[]string{"ca.crt", "ca.key"}, nil, "put back the authority"},
		"authority's key":      {[]string{"ca.key"}, []string{}, ""},
		"authority's key and a leaf": {
			[]string{"ca.key", "node.crt", "node.key"}, nil, "cannot be issued because",
		},
		"authority's key and the store, which came later": {
			[]string{"ca.key", "store.crt", "store.key"}, []string{}, "",
		},
		"all but the authority's key": {
			slices.DeleteFunc(layoutFiles(), func(s string) bool { return s == "ca.key" }),
			slices.DeleteFunc(layoutFiles(), func(s string) bool { return s == "ca.key" }), "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "certs")
			_, err := EnsureLayout(dir, layoutOptions())
			must(t, err)
			for _, f := range tc.remove {
				must(t, os.Remove(filepath.Join(dir, f)))
			}
			report, err := EnsureLayout(dir, layoutOptions())
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got %v, want words %q", err, tc.err)
				}
				return
			}
			must(t, err)
			if diff := cmp.Diff(tc.want, append([]string{}, report.Created...)); diff != "" {
				t.Errorf("created (-want +got):\n%s", diff)
			}
			if _, findings := Verify(dir, VerifyOptions{Now: epoch}); len(findings) > 0 {
				t.Errorf("verify finds %+v", findings)
			}
		})
	}
}

// trouble is something wrong in a folder: what EnsureLayout says of it ("" when it
// lets it pass) and what Verify does.
type trouble struct {
	spoil  func(f folder)
	ensure string
	file   string
	verify string
	fix    string
}

func troubles() map[string]trouble {
	return map[string]trouble{
		"key of another certificate": {
			func(f folder) { f.copy("node.key", "agent.key") },
			"agent.key does not belong to", "agent.key", "does not belong to", "amoskys certs renew agent",
		},
		"key of another authority": {
			func(f folder) { f.copy("node.key", "ca.key") },
			"ca.key does not belong to", "ca.key", "does not belong to", "put back",
		},
		"leaf of another authority": {
			func(f folder) {
				other := newAuthority(f.t, "", atEpoch)
				files := other.leaf(f.t, "node", IssueOptions{ID: ID{DefaultDomain, RoleNode, "web1"}})
				text, err := os.ReadFile(files.Cert)
				must(f.t, err)
				must(f.t, os.WriteFile(filepath.Join(f.dir, "node.crt"), text, 0o600))
				text, err = os.ReadFile(files.Key)
				must(f.t, err)
				must(f.t, os.WriteFile(filepath.Join(f.dir, "node.key"), text, 0o600))
			},
			"was not issued by", "node.crt", "another authority that is also called", "amoskys certs renew node",
		},
		"open key": {
			func(f folder) { must(f.t, os.Chmod(filepath.Join(f.dir, "agent.key"), 0o644)) },
			"chmod 600", "agent.key", "is open to other users (mode 0644)", "chmod 600 ",
		},
		"open key of the authority": {
			func(f folder) { must(f.t, os.Chmod(filepath.Join(f.dir, "ca.key"), 0o604)) },
			"chmod 600", "ca.key", "is open to other users (mode 0604)", "chmod 600 ",
		},
		"group reads key": {
			func(f folder) { must(f.t, os.Chmod(filepath.Join(f.dir, "agent.key"), 0o640)) },
			"", "agent.key", "may be read by its group", "chmod 600 ",
		},
		"open folder": {
			func(f folder) { must(f.t, os.Chmod(f.dir, 0o755)) },
			"", "certs", "may be read by other users", "chmod 700 ",
		},
		"writable folder": {
			func(f folder) { must(f.t, os.Chmod(f.dir, 0o770)) },
			"may be written by other users", "certs", "may be written by other users", "chmod 700 ",
		},
		"garbage certificate": {
			func(f folder) {
				must(f.t, os.WriteFile(filepath.Join(f.dir, "agent.crt"), []byte("garbage"), 0o600))
			},
			"holds no PEM certificate", "agent.crt", "holds no PEM certificate", "amoskys certs renew agent",
		},
		"leaf as authority": {
			func(f folder) { f.copy("agent.crt", "ca.crt") },
			"is not an authority's certificate", "ca.crt", "is not an authority's certificate", "copy the authority",
		},
		"authority as leaf": {
			func(f folder) {
				f.copy("ca.crt", "agent.crt")
				f.copy("ca.key", "agent.key")
			},
			"is an authority's certificate", "agent.crt", "is an authority's certificate", "amoskys certs renew agent",
		},
		"dangling link": {
			func(f folder) {
				must(f.t, os.Remove(filepath.Join(f.dir, "client.crt")))
				must(f.t, os.Symlink("nowhere.crt", filepath.Join(f.dir, "client.crt")))
			},
			"is a link to a file that does not exist", "client.crt", "is missing", "",
		},
		"wrong role": {
			func(f folder) {
				f.copy("operator.crt", "node.crt")
				f.copy("operator.key", "node.key")
			},
			"", "node.crt", "has role operator, this file is for role node", "certs init",
		},
	}
}

// folder is a certs/ folder in a test.
type folder struct {
	t   *testing.T
	dir string
}

// copy replaces one file by another.
func (f folder) copy(from, to string) {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, from))
	must(f.t, err)
	must(f.t, os.WriteFile(filepath.Join(f.dir, to), text, 0o600))
}

func TestTroubles(t *testing.T) {
	t.Parallel()
	for name, tc := range troubles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "certs")
			_, err := EnsureLayout(dir, layoutOptions())
			must(t, err)
			tc.spoil(folder{t, dir})
			report, err := EnsureLayout(dir, layoutOptions())
			if tc.ensure == "" {
				must(t, err)
			} else if err == nil || !strings.Contains(err.Error(), tc.ensure) {
				t.Errorf("EnsureLayout: %v, want words %q", err, tc.ensure)
			}
			if tc.ensure == "" && tc.fix == "chmod 600 " && len(report.Warnings) == 0 {
				t.Error("EnsureLayout does not warn")
			}
			_, findings := Verify(dir, VerifyOptions{Now: epoch})
			if !slices.ContainsFunc(findings, func(f Finding) bool {
				return filepath.Base(f.File) == tc.file && strings.Contains(f.Problem, tc.verify) && strings.Contains(f.Fix, tc.fix)
			}) {
				t.Errorf("Verify finds %+v", findings)
			}
		})
	}
}

func TestVerifyTimes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	_, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	for days, want := range map[int]string{
		0: "", 61: "ends in 28 days", 91: "expired on", 365 * 11: "the authority",
	} {
		_, findings := Verify(dir, VerifyOptions{Now: epoch.AddDate(0, 0, days)})
		all := ""
		for _, f := range findings {
			all += f.Problem + "\n"
		}
		if want == "" && all != "" || !strings.Contains(all, want) {
			t.Errorf("after %d days: %q, want words %q", days, all, want)
		}
	}
	infos, err := List(dir, epoch.AddDate(0, 0, 61))
	must(t, err)
	got := map[string]State{}
	for _, i := range infos {
		got[i.Name] = i.State
	}
	want := map[string]State{
		"ca": StateOK, "agent": StateDue, "client": StateDue, "dashboard": StateDue, "eventbus": StateDue, "node": StateDue, "operator": StateDue, "store": StateDue,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if infos[0].Name != "ca" || infos[1].DaysLeft != 28 || len(infos[1].Fingerprint) != 64 || infos[2].LinkTo != "agent.crt" {
		t.Errorf("list is %+v", infos)
	}
}

func TestDomains(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	o := layoutOptions()
	o.Domain, o.Names = "corp.example", []string{"eventbus"}
	report, err := EnsureLayout(dir, o)
	must(t, err)
	if diff := cmp.Diff([]string{"ca.crt", "ca.key", "eventbus.crt", "eventbus.key"}, report.Created); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	o.Domain, o.Names = "", nil // the authority's domain is kept
	_, err = EnsureLayout(dir, o)
	must(t, err)
	if id, err := FromCertificate(readOne(t, filepath.Join(dir, "agent.crt"))); err != nil || id.Domain != "corp.example" {
		t.Errorf("agent is %s, %v", id, err)
	}
	o.Domain = "other.example"
	if _, err := EnsureLayout(dir, o); err == nil || !strings.Contains(err.Error(), "is the authority of domain corp.example, not of other.example") {
		t.Errorf("another domain: %v", err)
	}
	for _, bad := range []LayoutOptions{{Domain: "Not OK"}, {Names: []string{"king"}}} {
		if _, err := EnsureLayout(dir, bad); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := filepath.Join(t.TempDir(), "certs")
	_, err := EnsureLayout(dir, layoutOptions())
	must(t, err)
	must(t, os.Chmod(dir, 0o500))
	_, err = EnsureLayout(dir, layoutOptions())
	must(t, err)
}
