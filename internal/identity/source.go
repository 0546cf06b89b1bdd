package identity

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// checkEvery is how often, at most, a handshake looks whether files have changed.
const checkEvery = time.Second

// material is one reading of the three files. It never changes.
type material struct {
	cert       tls.Certificate
	leaf       *x509.Certificate
	roots      []*x509.Certificate
	pool       *x509.CertPool
	generation [sha256.Size]byte // of everything above, to tell readings apart
}

// source holds the newest good reading of the files. It looks at them when a
// handshake asks, so it needs no goroutine, and keeps the old reading when the new
// files are no good.
type source struct {
	files  Files
	now    func() time.Time
	logger *slog.Logger
	verify func(*material) error // more demands on a reading; may be nil

	current atomic.Pointer[material]
	checked atomic.Int64 // unix nanoseconds of the last look

	mu      sync.Mutex // held while reading; guards the fields below
	seen    [3]fileState
	failing string // the last reading's error
	logged  bool   // failing has been logged
}

// fileState is what tells that a file was replaced or written.
type fileState struct {
	info os.FileInfo
}

func (s fileState) same(t fileState) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return os.SameFile(s.info, t.info) && s.info.Size() == t.info.Size() && s.info.ModTime().Equal(t.info.ModTime())
}

// newSource reads the files and fails when they are no good.
func newSource(f Files, now func() time.Time, logger *slog.Logger, verify func(*material) error) (*source, error) {
	s := &source{files: f, now: now, logger: logger, verify: verify}
	s.seen = s.look()
	m, err := s.read()
	if err != nil {
		return nil, err
	}
	s.checked.Store(now().UnixNano())
	s.current.Store(m)
	return s, nil
}

// get returns the newest good reading. It looks at the files at most once a
// second; callers that come meanwhile are not held up.
func (s *source) get() *material {
	now := s.now().UnixNano()
	last := s.checked.Load()
	// A clock that was set back must not stop the looking.
	if since := now - last; since >= 0 && since < int64(checkEvery) {
		return s.current.Load()
	}
	if !s.mu.TryLock() {
		return s.current.Load()
	}
	defer s.mu.Unlock()
	s.checked.Store(now)
	s.reload()
	return s.current.Load()
}

func (s *source) reload() {
	state := s.look()
	if s.failing == "" && slices.EqualFunc(state[:], s.seen[:], fileState.same) {
		return
	}
	m, err := s.read()
	if err != nil {
		s.fail(err)
		return
	}
	s.seen, s.failing, s.logged = state, "", false
	if m.generation == s.current.Load().generation {
		return
	}
	s.current.Store(m)
	s.logger.Info("certificate read again", obs.KeyPath, s.files.Cert, obs.KeySubject, subjectOf(m.leaf),
		obs.KeyExpires, stamp(m.leaf.NotAfter))
}

// fail logs a bad reading once, and only when it lasts from one look to the next:
// a writer may be half way through its files.
func (s *source) fail(err error) {
	if s.failing != err.Error() {
		s.failing, s.logged = err.Error(), false
		return
	}
	if !s.logged {
		s.logged = true
		s.logger.Warn("changed certificate is no good, the one in use stays", obs.KeyPath, s.files.Cert, obs.KeyError, err)
	}
}

func (s *source) look() [3]fileState {
	var out [3]fileState
	for i, file := range []string{s.files.CA, s.files.Cert, s.files.Key} {
		if info, err := os.Stat(file); err == nil {
			out[i].info = info
		}
	}
	return out
}

func (s *source) read() (*material, error) {
	m, err := readMaterial(s.files)
	if err == nil && s.verify != nil {
		err = s.verify(m)
	}
	return m, err
}

func readMaterial(f Files) (*material, error) {
	roots, err := readAuthorities(f.CA)
	if err != nil {
		return nil, missingHint(f.CA, err)
	}
	certs, key, err := loadPair(f.Cert, f.Key)
	if err != nil {
		return nil, missingHint(f.Cert, err)
	}
	m := &material{leaf: certs[0], roots: roots, pool: poolOf(roots)}
	m.cert = tls.Certificate{PrivateKey: key, Leaf: certs[0]}
	sum := sha256.New()
	for _, c := range roots {
		_, _ = sum.Write(c.Raw)
	}
	for _, c := range certs {
		m.cert.Certificate = append(m.cert.Certificate, c.Raw)
		_, _ = sum.Write(c.Raw)
	}
	sum.Sum(m.generation[:0])
	if m.leaf.IsCA {
		return nil, fmt.Errorf("%s is an authority's certificate; name one that the authority issued", f.Cert)
	}
	return m, nil
}

// missingHint says of a file of certs/ that is not there how it comes there. That
// depends on the place: a folder without anything of ours is the wrong one, and a host
// that has joined a hub gets its certificates there.
func missingHint(file string, err error) error {
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(file)
	has := func(name string) bool { return exists(filepath.Join(dir, name)) }
	switch {
	case !exists(dir):
		return fmt.Errorf("%w: there is no AMOSKYS home here: name yours with --home, or cd to it", err)
	case has("ca.key") || has("eventbus.crt"):
		return fmt.Errorf("%w: amoskys certs init makes what is missing", err)
	case has("node.crt"):
		return fmt.Errorf("%w: this host has joined a hub and holds the certificates of its node and agents alone, "+
			"which amoskys-agent enroll gets: what is asked of the hub, ask there", err)
	}
	return fmt.Errorf("%w: amoskys-agent enroll gets what a watched host needs, amoskys certs init makes what a hub needs", err)
}
