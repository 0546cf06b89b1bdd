package certificates

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/state"
)

// Revocations is what was revoked, in memory, because every handshake asks. It is
// bounded by what the store keeps. The package comment says what targets mean.
type Revocations struct {
	mu      sync.RWMutex // guards targets
	targets map[string]state.Revocation
}

// LoadRevocations reads what the store keeps.
func LoadRevocations(ctx context.Context, store interface {
	Revocations(ctx context.Context) ([]state.Revocation, error)
},
) (*Revocations, error) {
	list, err := store.Revocations(ctx)
	if err != nil {
		return nil, fmt.Errorf("load revocations: %w", err)
	}
	r := &Revocations{targets: make(map[string]state.Revocation, len(list))}
	r.add(list)
	return r, nil
}

func (r *Revocations) add(list []state.Revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range list {
		if old, ok := r.targets[one.Target]; !ok || !one.Time.Before(old.Time) {
			r.targets[one.Target] = one
		}
	}
}

// Refusal says why a certificate is refused, for the handshake; empty when it is
// not.
func (r *Revocations) Refusal(id identity.ID, cert *x509.Certificate) string {
	revoked, ok := r.of(id, cert.SerialNumber.Text(16), cert.NotBefore)
	if !ok {
		return ""
	}
	text := fmt.Sprintf("the certificate of %s was revoked on %s", id, revoked.Time.UTC().Format(time.RFC3339))
	if revoked.Reason != "" {
		text += " (" + revoked.Reason + ")"
	}
	return text + ": a host that is to come back enrols again, with a new token"
}

// Since is when an identity was last revoked, in whole seconds as certificates
// count; zero if never. A certificate that begins then or later is not meant.
func (r *Revocations) Since(id identity.ID) time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var last time.Time
	for _, target := range identityTargets(id) {
		if t := r.targets[target].Time.Truncate(time.Second); t.After(last) {
			last = t
		}
	}
	return last
}

// of returns the revocation of a certificate.
func (r *Revocations) of(id identity.ID, serial string, notBefore time.Time) (state.Revocation, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.targets) == 0 {
		return state.Revocation{}, false
	}
	if one, ok := r.targets[serialTarget(serial)]; ok {
		return one, true
	}
	for _, target := range identityTargets(id) {
		if one, ok := r.targets[target]; ok && notBefore.Before(one.Time.Truncate(time.Second)) {
			return one, true
		}
	}
	return state.Revocation{}, false
}

func serialTarget(serial string) string { return "serial:" + serial }

// identityTargets are the targets that mean an identity.
func identityTargets(id identity.ID) []string {
	id = id.Normal()
	targets := []string{string(id.Role) + "/" + id.Name}
	if id.AgentID() != "" {
		targets = append(targets, string(id.Role)+"/"+id.Host()+"/*")
	}
	return targets
}
