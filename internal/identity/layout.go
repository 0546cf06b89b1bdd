package identity

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// LayoutOptions says how to fill a certs/ folder. Zero fields take the defaults.
type LayoutOptions struct {
	Domain string   // the authority's domain, or DefaultDomain for a new one
	Host   string   // name of this machine in IDs; os.Hostname
	Hosts  []string // more names and addresses the hub and the dashboard are reached by
	// Names limits the leaves to these, of "eventbus", "store", "agent", "dashboard",
	// "node" and "operator"; all when nil.
	Names []string
	// With are leaves that only some installations need, to be made beside those:
	// of "analysis" and "subscriber". "store", which once was one, is no fault.
	With []string
	// Observes are the kinds of agents of this machine that may speak of other
	// hosts and devices. A new agent.crt allows them; one that this package made
	// and that lacks some is due, where it can be renewed.
	Observes []string
	TTL      time.Duration    // of leaves; DefaultLeafTTL
	CATTL    time.Duration    // of a new authority; DefaultCATTL
	Now      func() time.Time // time.Now
	// Canonical returns the full name of a host, or "". It asks the system's
	// resolver for a second when nil.
	Canonical func(host string) string
}

// LayoutReport is what EnsureLayout did. Names are relative to Dir.
type LayoutReport struct {
	Dir      string   `json:"dir"`
	Created  []string `json:"created"`
	Kept     []string `json:"kept"`
	Due      []string `json:"due"` // leaves to be renewed: past two thirds of their life, or lacking what is new
	Warnings []string `json:"warnings"`
}

// leafSpec is one certificate of the layout; an extra one is made on demand. A later
// one came after homes had been made: where the authority cannot issue it, they work
// without it.
type leafSpec struct {
	name         string
	role         Role
	extra, later bool
}

func layoutLeaves() []leafSpec {
	return []leafSpec{
		{name: "eventbus", role: RoleHub},
		{name: "store", role: RoleStore, later: true},
		{name: "agent", role: RoleAgent},
		{name: "dashboard", role: RoleDashboard},
		{name: "node", role: RoleNode},
		{name: "operator", role: RoleOperator},
		{name: "analysis", role: RoleAnalysis, extra: true},
		{name: "subscriber", role: RoleSubscriber, extra: true},
	}
}

// ExtraLeaves are the names that LayoutOptions.With takes.
func ExtraLeaves() []string {
	var names []string
	for _, s := range layoutLeaves() {
		if s.extra {
			names = append(names, s.name)
		}
	}
	return names
}

// FilesFor returns the three files of the certificate called name in a certs/ folder.
func FilesFor(dir, name string) Files {
	return Files{
		CA:   filepath.Join(dir, "ca.crt"),
		Cert: filepath.Join(dir, name+".crt"),
		Key:  filepath.Join(dir, name+".key"),
	}
}

func (o *LayoutOptions) defaults() error {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find this machine's name: %w", err)
		}
		o.Host = host
	}
	if o.Canonical == nil {
		o.Canonical = canonicalName
	}
	if o.Domain != "" {
		if err := checkDomain(o.Domain); err != nil {
			return err
		}
	}
	for _, n := range o.Names {
		if !slices.ContainsFunc(layoutLeaves(), func(s leafSpec) bool { return s.name == n }) {
			return fmt.Errorf("no certificate of the layout is called %q", n)
		}
	}
	for _, n := range o.With {
		if extra := ExtraLeaves(); n != "store" && !slices.Contains(extra, n) {
			return fmt.Errorf("no certificate that is made on demand is called %q: there are %s", n, strings.Join(extra, ", "))
		}
	}
	if name := cleanName(o.Host); name == "" {
		return fmt.Errorf("host name %q is not usable", o.Host)
	}
	return nil
}

// EnsureLayout makes what is missing in a certs/ folder and leaves the rest as it
// is. It may run twice and at once, in one process or several; after a crash it
// completes what was begun. It refuses, changing nothing more, when a key does not
// belong to its certificate, a certificate was issued by another authority, a key
// is open to other users, or others may write the folder.
func EnsureLayout(dir string, o LayoutOptions) (LayoutReport, error) {
	report := LayoutReport{Dir: dir, Created: []string{}, Kept: []string{}, Due: []string{}, Warnings: []string{}}
	if err := o.defaults(); err != nil {
		return report, fmt.Errorf("certificates in %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return report, fmt.Errorf("certificates in %s: %w", dir, err)
	}
	if err := refuseOpenFolder(dir); err != nil {
		return report, fmt.Errorf("certificates: %w", err)
	}
	l := &layout{dir: dir, o: o, report: &report}
	if err := l.run(); err != nil {
		return report, fmt.Errorf("certificates: %w", err)
	}
	slices.Sort(report.Created)
	slices.Sort(report.Kept)
	return report, nil
}

// layout is one run of EnsureLayout.
type layout struct {
	dir    string
	o      LayoutOptions
	report *LayoutReport
	roots  []*x509.Certificate
	ca     *CA // with its key; loaded when something has to be issued
}

func (l *layout) run() (err error) {
	if !l.complete() {
		unlock, err := lockFolder(l.dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unlock()) }()
		if err := finishSwaps(l.dir); err != nil {
			return err
		}
	}
	l.warnOpen(l.dir, folderMode)
	if err := l.ensureCA(); err != nil {
		return err
	}
	for _, spec := range l.leaves() {
		if err := l.ensureLeaf(spec); err != nil {
			return err
		}
	}
	return l.ensureLinks()
}

// complete reports whether every file is there, so that a folder mounted
// read-only serves as well as one that can be locked.
func (l *layout) complete() bool {
	names := []string{"ca.crt"}
	for _, s := range l.leaves() {
		names = append(names, s.name+".crt", s.name+".key")
	}
	if l.wantsLinks() {
		names = append(names, "client.crt", "client.key")
	}
	for _, n := range names {
		if !exists(filepath.Join(l.dir, n)) || exists(filepath.Join(l.dir, nextName(n))) {
			return false
		}
	}
	return true
}

func (l *layout) leaves() []leafSpec {
	return slices.DeleteFunc(layoutLeaves(), func(s leafSpec) bool {
		if l.o.Names == nil && !s.extra {
			return false
		}
		return !slices.Contains(l.o.Names, s.name) && !slices.Contains(l.o.With, s.name)
	})
}

func (l *layout) wantsLinks() bool {
	return slices.ContainsFunc(l.leaves(), func(s leafSpec) bool { return s.role == RoleAgent })
}

func (l *layout) path(name string) string { return filepath.Join(l.dir, name) }

func (l *layout) firstLeaf() string {
	for _, s := range layoutLeaves() {
		if crt := l.path(s.name + ".crt"); exists(crt) {
			return crt
		}
	}
	return ""
}

func (l *layout) ensureLeaf(spec leafSpec) error {
	crt, key := l.path(spec.name+".crt"), l.path(spec.name+".key")
	hasCrt, hasKey := exists(crt), exists(key)
	switch {
	case hasCrt && hasKey:
		return l.keepLeaf(spec, crt, key)
	case hasCrt:
		return fmt.Errorf("%s exists without its key %s: put the key back, or run amoskys certs renew %s", crt, base(key), spec.name)
	}
	if l.ca == nil && spec.later && !slices.Contains(l.o.Names, spec.name) {
		l.report.Warnings = append(l.report.Warnings, fmt.Sprintf("%s is missing and cannot be issued because %s is not here: "+
			"there is no %s until it is issued where the authority's key is", crt, l.path("ca.key"), spec.name))
		return nil
	}
	if l.ca == nil {
		return fmt.Errorf("%s is missing and cannot be issued because %s is not here: "+
			"issue it where the authority's key is and copy %s.crt and %s.key here", crt, l.path("ca.key"), spec.name, spec.name)
	}
	var public crypto.PublicKey
	if hasKey { // a crash came between the key and its certificate, or the key was made by hand
		signer, err := readKey(key)
		if err != nil {
			return err
		}
		public = signer.Public()
	}
	id := ID{Domain: l.domain(), Role: spec.role, Name: cleanName(l.o.Host)}
	pair, err := l.ca.Issue(IssueOptions{
		ID:        id,
		Hosts:     append(hostsFor(spec.role, l.o), l.hubHosts(spec)...),
		Observes:  observedBy(id, l.o.Observes),
		TTL:       l.o.TTL,
		NotBefore: l.o.Now().Add(-backdate),
		PublicKey: public,
	})
	if err != nil {
		return err
	}
	if !hasKey {
		if err := writeFile(l.dir, base(key), pair.KeyPEM, keyMode); err != nil {
			return err
		}
		l.report.Created = append(l.report.Created, base(key))
	}
	if err := writeFile(l.dir, base(crt), pair.CertPEM, certMode); err != nil {
		return err
	}
	l.report.Created = append(l.report.Created, base(crt))
	return nil
}

// hubHosts are the names in the hub's certificate, for a store that comes to its side
// later: it is reached by the same.
func (l *layout) hubHosts(spec leafSpec) []string {
	if !spec.later {
		return nil
	}
	certs, err := readCerts(l.path("eventbus.crt"))
	if err != nil {
		return nil // there is none, or whoever needs it says what is wrong
	}
	return hostsOf(certs[0])
}

func (l *layout) keepLeaf(spec leafSpec, crt, key string) error {
	certs, _, err := loadPair(crt, key)
	if err != nil {
		return fmt.Errorf("%w; or run amoskys certs renew %s", err, spec.name)
	}
	if certs[0].IsCA {
		return fmt.Errorf("%s is an authority's certificate, not one that an authority issued: run amoskys certs renew %s", crt, spec.name)
	}
	if r := checkChain(certs, l.roots); r != nil {
		return fmt.Errorf("%s was not issued by %s (%s): put back the matching files, or run amoskys certs renew %s",
			crt, l.path("ca.crt"), r.Detail, spec.name)
	}
	if dueForRenewal(certs[0], l.o.Now()) || exists(l.path("ca.key")) && lacks(certs[0], l.o.Observes) {
		l.report.Due = append(l.report.Due, spec.name)
	}
	l.warnOpen(key, keyMode)
	l.report.Kept = append(l.report.Kept, base(crt), base(key))
	return nil
}

// ensureLinks makes client.crt and client.key links to the agent's files. Files
// that stand there instead are left alone.
func (l *layout) ensureLinks() error {
	if !l.wantsLinks() {
		return nil
	}
	for _, ext := range []string{".crt", ".key"} {
		link := l.path("client" + ext)
		if _, err := os.Lstat(link); err == nil {
			if !exists(link) {
				return fmt.Errorf("%s is a link to a file that does not exist: remove it", link)
			}
			l.report.Kept = append(l.report.Kept, base(link))
			continue
		}
		if err := os.Symlink("agent"+ext, link); err != nil {
			return fmt.Errorf("link client%s: %w", ext, err)
		}
		l.report.Created = append(l.report.Created, base(link))
	}
	if exists(l.path("client.crt")) {
		if _, _, err := loadPair(l.path("client.crt"), l.path("client.key")); err != nil {
			return err
		}
	}
	return syncDirIfWritten(l.dir, l.report.Created)
}

// syncDirIfWritten spares a read-only folder the sync.
func syncDirIfWritten(dir string, created []string) error {
	if len(created) == 0 {
		return nil
	}
	return syncDir(dir)
}

// warnOpen notes modes wider than ours that are not refused.
func (l *layout) warnOpen(file string, want os.FileMode) {
	info, err := os.Stat(file)
	if err != nil {
		return
	}
	if mode := openBits(info); mode&^want&0o077 != 0 {
		l.report.Warnings = append(l.report.Warnings,
			fmt.Sprintf("%s is readable by other users (mode %04o): run chmod %o %s", file, mode, want, file))
	}
}

func dueForRenewal(cert *x509.Certificate, now time.Time) bool {
	life := cert.NotAfter.Sub(cert.NotBefore)
	return !now.Before(cert.NotBefore.Add(life / 3 * 2))
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
