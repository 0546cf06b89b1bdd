package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Stage is how far the change of an authority has got.
type Stage string

// The stages. Each ends when a person says so, which amoskys certs rotate-ca lets them
// do when nobody would be left behind:
//
//	stage     | trusted  | node and agents get theirs of | hub, store, dashboard have | ca.key is
//	----------+----------+-------------------------------+----------------------------+----------
//	(none)    | old      | old                           | old                        | old
//	trusting  | old, new | new                           | old                        | old
//	switched  | old, new | new                           | new                        | new
//	(none)    | new      | new                           | new                        | new
//
// A host gets what it is to trust together with its new certificate, so one that shows a
// certificate of the new authority trusts that: the hub may then show one itself.
const (
	StageNone     Stage = ""
	StageTrusting Stage = "trusting"
	StageSwitched Stage = "switched"
)

const (
	rotationName = "rotation.json"
	nextKeyName  = "ca-next.key"
	oldKeyName   = "ca-old.key"
	// settle is how long the new authority is trusted before it issues: every server
	// looks at its files once a second.
	settle = 3 * time.Second
)

// Rotation is the change of an authority that is under way in a certs/ folder.
type Rotation struct {
	Stage Stage     `json:"stage"`
	Begun time.Time `json:"begun"`
	// Old and New are the fingerprints of the authorities' certificates.
	Old string `json:"old_sha256"`
	New string `json:"new_sha256"`
	// Awaited are identities of this folder that were connected when hub, store and
	// dashboard went over, and are to be again before the old authority ends: where copies
	// of their files lie elsewhere, a person takes the new ones there.
	Awaited []string `json:"awaited,omitempty"`
}

// ErrNotRotating says that no authority is being replaced, or not at the stage that the
// step is for.
var ErrNotRotating = errors.New("the authority is not at this step of its rotation")

// ErrTooEarly says that the new authority is trusted for too short a time: some servers may
// not have looked at their files since.
var ErrTooEarly = errors.New("the new authority is trusted since a moment ago: wait some seconds")

// LeavesError names certificates of a folder which the new authority has not issued.
type LeavesError struct{ Files []string }

// Error says what to do.
func (e *LeavesError) Error() string {
	return fmt.Sprintf("not of the new authority: %s; renew them by amoskys certs renew, or remove those that nobody uses", strings.Join(e.Files, ", "))
}

// ReadRotation returns the rotation that is under way in a certs/ folder; its stage is
// StageNone where there is none.
func ReadRotation(dir string) (Rotation, error) {
	text, err := readPEM(filepath.Join(dir, rotationName))
	if errors.Is(err, os.ErrNotExist) {
		return Rotation{}, nil
	}
	var r Rotation
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err == nil && r.Stage != StageTrusting && r.Stage != StageSwitched {
		err = fmt.Errorf("stage %q is not known: a newer version began it", r.Stage)
	}
	if err != nil {
		return Rotation{}, fmt.Errorf("read %s: %w", filepath.Join(dir, rotationName), err)
	}
	return r, nil
}

// Issues is from when on the new authority is the one that issues.
func (r Rotation) Issues() time.Time { return r.Begun.Add(settle) }

func (r Rotation) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(dir, rotationName, append(text, '\n'), certMode)
}

// IssuerOf returns the authority among roots that issued cert, whatever its dates; nil
// if none did.
func IssuerOf(cert *x509.Certificate, roots []*x509.Certificate) *x509.Certificate {
	p := policy{roots: roots}
	_, root := p.path([]*x509.Certificate{cert})
	return root
}

// AuthoritiesDigest names a set of authorities: the SHA-256 over their certificates'
// own, sorted, in hexadecimal.
func AuthoritiesDigest(roots []*x509.Certificate) string {
	prints := make([]string, 0, len(roots))
	for _, c := range roots {
		prints = append(prints, Fingerprint(c))
	}
	slices.Sort(prints)
	sum := sha256.New()
	for _, p := range slices.Compact(prints) {
		_, _ = sum.Write([]byte(p)) // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// DigestOf is AuthoritiesDigest of a file, "" where it cannot be read.
func DigestOf(caFile string) string {
	roots, err := readAuthorities(caFile)
	if err != nil {
		return ""
	}
	return AuthoritiesDigest(roots)
}

// LoadIssuingCA reads the authority from which node and agents get their certificates:
// that of caKey, or the new one while it takes that one's place.
func LoadIssuingCA(caCert, caKey string, now time.Time) (*CA, error) {
	dir := filepath.Dir(caKey)
	r, err := ReadRotation(dir)
	if err != nil {
		return nil, err
	}
	if r.Stage == StageTrusting && !now.Before(r.Issues()) {
		return LoadCA(caCert, filepath.Join(dir, nextKeyName))
	}
	return LoadCA(caCert, caKey)
}

// RotateOptions say how to replace an authority. Zero fields take the defaults.
type RotateOptions struct {
	TTL   time.Duration // of the new authority; DefaultCATTL
	Hosts []string      // names and addresses to add to those of the hub's certificate
	// Awaited is kept as [Rotation.Awaited] when the certificates go over.
	Awaited []string
	// Force leaves behind whoever is not ready.
	Force bool
	Now   func() time.Time
}

// BeginRotation makes a new authority beside the one of a certs/ folder and has it
// trusted. Some seconds later node and agents get their certificates of it. After a
// crash it may be called again.
func BeginRotation(dir string, o RotateOptions) (r Rotation, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("begin to replace the authority: %w", err)
		}
	}()
	if o.Now == nil {
		o.Now = time.Now
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return Rotation{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if r, err = ReadRotation(dir); err != nil || r.Stage != StageNone {
		return r, errors.Join(err, errIf(r.Stage != StageNone, ErrNotRotating))
	}
	old, err := LoadCA(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return Rotation{}, missingHint(filepath.Join(dir, "ca.key"), err)
	}
	fresh, err := nextAuthority(dir, old, o)
	if err != nil {
		return Rotation{}, err
	}
	r = Rotation{Stage: StageTrusting, Begun: o.Now().UTC(), Old: Fingerprint(old.Cert), New: Fingerprint(fresh)}
	return r, r.write(dir)
}

func errIf(wrong bool, err error) error {
	if wrong {
		return err
	}
	return nil
}

// nextAuthority makes the new authority, key first, and adds it to those that are
// trusted. What a crash left of it is used.
func nextAuthority(dir string, old *CA, o RotateOptions) (*x509.Certificate, error) {
	roots, err := readAuthorities(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	co := CAOptions{Domain: domainIn(dir, old), TTL: o.TTL, Now: o.Now}
	key := filepath.Join(dir, nextKeyName)
	if exists(key) {
		if co.key, err = readKey(key); err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(roots, func(c *x509.Certificate) bool { return belongs(co.key, c) }); i >= 0 {
			return roots[i], nil
		}
	}
	ca, pair, err := CreateCA(co)
	if err != nil {
		return nil, err
	}
	if co.key == nil {
		if err := writeFile(dir, nextKeyName, pair.KeyPEM, keyMode); err != nil {
			return nil, err
		}
	}
	return ca.Cert, writeFile(dir, "ca.crt", marshalCerts(append(roots, ca.Cert)...), certMode)
}

// domainIn is the trust domain of an authority, or else that of the hub's certificate.
func domainIn(dir string, ca *CA) string {
	if d := ca.Domain(); d != "" {
		return d
	}
	if certs, err := readCerts(filepath.Join(dir, "eventbus.crt")); err == nil {
		return domainOf(certs[0])
	}
	return ""
}

// SwitchAuthority gives every certificate of a certs/ folder, the hub's first of all, a
// successor of the new authority, and makes that the one which issues. Hosts that do not
// trust it yet refuse the hub from then on. Before [Rotation.Issues] it is [ErrTooEarly],
// unless o.Force says so. After a crash it may be called again.
func SwitchAuthority(dir string, o RotateOptions) (done []Renewed, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("go over to the new authority: %w", err)
		}
	}()
	if o.Now == nil {
		o.Now = time.Now
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r, err := ReadRotation(dir)
	if err != nil || r.Stage != StageTrusting {
		return nil, errors.Join(err, errIf(r.Stage != StageTrusting, ErrNotRotating))
	}
	if o.Now().Before(r.Issues()) && !o.Force {
		return nil, ErrTooEarly
	}
	if err := finishSwaps(dir); err != nil {
		return nil, err
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	next := nextKeyName
	if !exists(at(next)) { // a crash came behind the keys
		next = "ca.key"
	}
	ca, err := LoadCA(at("ca.crt"), at(next))
	if err != nil {
		return nil, err
	}
	if Fingerprint(ca.Cert) != r.New {
		return nil, fmt.Errorf("%s is not the key of the authority %s…, which is to be the new one", at(next), r.New[:min(16, len(r.New))])
	}
	if done, err = switchLeaves(dir, ca, o); err != nil {
		return done, err
	}
	if next == nextKeyName {
		if exists(at("ca.key")) {
			if err := os.Rename(at("ca.key"), at(oldKeyName)); err != nil {
				return done, err
			}
		}
		if err := os.Rename(at(nextKeyName), at("ca.key")); err != nil {
			return done, err
		}
	}
	r.Stage, r.Awaited = StageSwitched, o.Awaited
	return done, r.write(dir)
}

// switchLeaves renews what ca has not issued.
func switchLeaves(dir string, ca *CA, o RotateOptions) (done []Renewed, err error) {
	names, err := renewable(dir, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		certs, err := readCerts(filepath.Join(dir, name+".crt"))
		if err != nil {
			return done, err
		}
		if IssuerOf(certs[0], []*x509.Certificate{ca.Cert}) != nil {
			continue
		}
		ro := RenewOptions{Now: o.Now}
		if name == "eventbus" {
			ro.Hosts = o.Hosts
		}
		one, err := renewOne(dir, name, ca, ro)
		if err != nil {
			return done, fmt.Errorf("renew %s: %w", filepath.Join(dir, name+".crt"), err)
		}
		done = append(done, one)
	}
	return done, nil
}

// checkLeaves says which certificates of a folder, of those that [SwitchAuthority] renews,
// are of none of the authorities that stay.
func checkLeaves(dir string, roots []*x509.Certificate) error {
	names, err := renewable(dir, nil)
	if err != nil {
		return err
	}
	var behind []string
	for _, name := range names {
		certs, err := readCerts(filepath.Join(dir, name+".crt"))
		if err != nil {
			return err
		}
		if IssuerOf(certs[0], roots) == nil {
			behind = append(behind, name+".crt")
		}
	}
	if len(behind) > 0 {
		return &LeavesError{Files: behind}
	}
	return nil
}

// FinishRotation ends the trust in the old authority, and sets it and its key aside in
// the folder that it returns. Whoever has a certificate of it alone is refused from then
// on; while such a certificate lies in the folder itself nothing is done and the error is a
// [*LeavesError], unless o.Force says so.
func FinishRotation(dir string, o RotateOptions) (aside string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("end the trust in the old authority: %w", err)
		}
	}()
	if o.Now == nil {
		o.Now = time.Now
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r, err := ReadRotation(dir)
	if err != nil || r.Stage != StageSwitched {
		return "", errors.Join(err, errIf(r.Stage != StageSwitched, ErrNotRotating))
	}
	roots, err := readAuthorities(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return "", err
	}
	isOld := func(c *x509.Certificate) bool { return Fingerprint(c) == r.Old }
	left := slices.DeleteFunc(slices.Clone(roots), isOld)
	if len(left) == 0 {
		return "", errors.New("ca.crt would be empty: put the new authority back into it")
	}
	if !o.Force {
		if err := checkLeaves(dir, left); err != nil {
			return "", err
		}
	}
	aside = filepath.Join(dir, "replaced-"+o.Now().UTC().Format("20060102T150405.000Z"))
	if err := os.Mkdir(aside, folderMode); err != nil {
		return "", err
	}
	if i := slices.IndexFunc(roots, isOld); i >= 0 {
		if err := writeFile(aside, "ca.crt", marshalCerts(roots[i]), certMode); err != nil {
			return "", err
		}
	}
	if exists(filepath.Join(dir, oldKeyName)) {
		if err := os.Rename(filepath.Join(dir, oldKeyName), filepath.Join(aside, "ca.key")); err != nil {
			return "", err
		}
	}
	if err := writeFile(dir, "ca.crt", marshalCerts(left...), certMode); err != nil {
		return "", err
	}
	if err := os.Remove(filepath.Join(dir, rotationName)); err != nil {
		return "", err
	}
	return aside, syncDir(dir)
}
