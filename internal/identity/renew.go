package identity

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// RenewOptions says which leaves to replace and how.
type RenewOptions struct {
	// Names are the leaves, such as "eventbus"; all that exist when nil.
	Names []string
	// Due limits the work to leaves past two thirds of their life.
	Due   bool
	TTL   time.Duration // DefaultLeafTTL
	Hosts []string      // names and addresses to add to those the leaf has
	// Observes are kinds of agents that the certificate of a host's agents shall let
	// speak of others, beside those it has; one that lacks some is due.
	Observes []string
	Now      func() time.Time
}

// Renewed is one leaf that Renew looked at.
type Renewed struct {
	Name     string    `json:"name"`
	File     string    `json:"file"`
	ID       string    `json:"id"`
	Hosts    []string  `json:"hosts"`
	Was      time.Time `json:"was_not_after"`
	NotAfter time.Time `json:"not_after"`
	Skipped  bool      `json:"skipped"` // not due yet
}

// Renew replaces leaves in a certs/ folder with a new key and a new certificate of
// the same identity and hosts. Each pair changes as one, also across a crash, and
// running servers take it up without a restart. A leaf of another tool gets the
// identity its file name stands for. The authority itself cannot be renewed: every
// certificate hangs from it.
func Renew(dir string, o RenewOptions) (done []Renewed, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("renew certificates: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	// Read behind the lock: a rotation may have put another authority there meanwhile.
	ca, err := LoadCA(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, fmt.Errorf("renew certificates: %w", missingHint(filepath.Join(dir, "ca.key"), err))
	}
	if err := finishSwaps(dir); err != nil {
		return nil, fmt.Errorf("renew certificates: %w", err)
	}
	names, err := renewable(dir, o.Names)
	if err != nil {
		return nil, fmt.Errorf("renew certificates: %w", err)
	}
	for _, name := range names {
		one, err := renewOne(dir, name, ca, o)
		if err != nil {
			return done, fmt.Errorf("renew %s: %w", filepath.Join(dir, name+".crt"), err)
		}
		done = append(done, one)
	}
	return done, nil
}

// renewable resolves names to leaves that exist: client, a link, is the agent's.
func renewable(dir string, names []string) ([]string, error) {
	leaves, err := leafNames(dir)
	if err != nil {
		return nil, err
	}
	if names == nil {
		return slices.DeleteFunc(leaves, func(n string) bool {
			file := filepath.Join(dir, n+".crt")
			return isLink(file) || holdsAuthority(file)
		}), nil
	}
	var out []string
	for _, n := range names {
		n = strings.TrimSuffix(n, ".crt")
		if n == "ca" {
			return nil, errors.New("the authority cannot be renewed in place: amoskys certs rotate-ca replaces it while all goes on, " +
				"amoskys certs init --force at once, with every certificate it issued")
		}
		if !slices.Contains(leaves, n) {
			return nil, fmt.Errorf("there is no certificate %s: there are %s", filepath.Join(dir, n+".crt"), strings.Join(leaves, ", "))
		}
		if target, err := os.Readlink(filepath.Join(dir, n+".crt")); err == nil {
			n = strings.TrimSuffix(filepath.Base(target), ".crt")
		}
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out, nil
}

// leafNames lists the certificates in dir that are not the authority's, sorted.
func leafNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".crt")
		if ok && name != "ca" && !strings.HasPrefix(name, ".") && !e.IsDir() {
			out = append(out, name)
		}
	}
	return out, nil
}

// holdsAuthority reports whether a file holds the certificate of an authority, such as that of
// a collector: it is somebody else's, and never replaced.
func holdsAuthority(file string) bool {
	certs, err := readCerts(file)
	return err == nil && len(certs) > 0 && (certs[0].IsCA || bytes.Equal(certs[0].RawIssuer, certs[0].RawSubject))
}

func isLink(file string) bool {
	info, err := os.Lstat(file)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}

func renewOne(dir, name string, ca *CA, o RenewOptions) (Renewed, error) {
	file := filepath.Join(dir, name+".crt")
	certs, err := readCerts(file)
	if err != nil {
		return Renewed{}, err
	}
	old := certs[0]
	now := o.Now()
	out := Renewed{Name: name, File: file, ID: subjectOf(old), Hosts: hostsOf(old), Was: old.NotAfter, NotAfter: old.NotAfter}
	if o.Due && !dueForRenewal(old, now) && !lacks(old, o.Observes) {
		out.Skipped = true
		return out, nil
	}
	assume := RoleAgent
	for _, s := range layoutLeaves() {
		if s.name == name {
			assume = s.role
		}
	}
	id, named, err := identify(old, assume)
	if !named {
		host, hostErr := os.Hostname()
		if hostErr != nil {
			return Renewed{}, hostErr
		}
		if err != nil { // it names nobody: name it after this machine
			id = ID{Domain: DefaultDomain, Role: assume, Name: cleanName(host)}
		}
		if d := ca.Domain(); d != "" {
			id.Domain = d
		}
		out.Hosts = append(out.Hosts, hostsFor(id.Role, LayoutOptions{Host: host, Canonical: canonicalName})...)
	} else if err != nil {
		return Renewed{}, err
	}
	if id.Role == RoleStore && len(out.Hosts) == 0 {
		host, err := os.Hostname()
		if err != nil {
			return Renewed{}, err
		}
		out.Hosts = hostsFor(id.Role, LayoutOptions{Host: host, Canonical: canonicalName})
	}
	pair, err := ca.Issue(IssueOptions{
		ID: id, Hosts: append(out.Hosts, o.Hosts...), Observes: append(Observes(old), observedBy(id, o.Observes)...),
		TTL: o.TTL, NotBefore: now.Add(-backdate),
	})
	if err != nil {
		return Renewed{}, err
	}
	if err := swapPair(dir, name, pair); err != nil {
		return Renewed{}, err
	}
	out.ID, out.Hosts, out.NotAfter = id.String(), hostsOf(pair.Cert), pair.Cert.NotAfter
	return out, nil
}

// SetAside moves what is in a certs/ folder into a folder of its own inside it, so
// that EnsureLayout starts anew with another authority. It returns that folder, ""
// when there was nothing to move.
func SetAside(dir string, now time.Time) (moved string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("set certificates aside: %w", err)
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return "", fmt.Errorf("set certificates aside: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	moved = filepath.Join(dir, "replaced-"+now.UTC().Format("20060102T150405.000Z"))
	some := false
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if e.IsDir() || ext != ".crt" && ext != ".key" && ext != nextMark && e.Name() != rotationName {
			continue
		}
		if !some {
			if err := os.Mkdir(moved, folderMode); err != nil {
				return "", fmt.Errorf("set certificates aside: %w", err)
			}
			some = true
		}
		if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(moved, e.Name())); err != nil {
			return "", fmt.Errorf("set certificates aside: %w", err)
		}
	}
	if !some {
		return "", nil
	}
	return moved, errors.Join(syncDir(moved), syncDir(dir))
}
