package certificates

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/revoked"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// fullStore cannot write until there is room.
type fullStore struct {
	nothing
	full   bool
	kept   []state.Revocation
	during func() // what happens while it writes
}

func (f *fullStore) Revoke(_ context.Context, list ...state.Revocation) error {
	if f.during != nil {
		f.during()
	}
	if f.full {
		return errors.New("disk full")
	}
	f.kept = append(f.kept, list...)
	return nil
}

// connected are connections by certificate; cut takes them away.
type connected struct {
	mu    sync.Mutex // guards certs
	certs []*x509.Certificate
}

// left is how many are.
func (c *connected) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.certs)
}

func (c *connected) CutPeers(match func(identity.ID, *x509.Certificate) bool) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var left []*x509.Certificate
	for _, cert := range c.certs {
		if match(operatorID(), cert) {
			n++
		} else {
			left = append(left, cert)
		}
	}
	c.certs = left
	return n
}

func (*connected) EachPeer(func(identity.ID, *x509.Certificate)) {}

func (*connected) EachPeerOf(identity.ID, func(*x509.Certificate)) {}

func operatorID() identity.ID {
	return identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleOperator, Name: "ops"}
}

func revoker(store Store, peers Peers, own *x509.Certificate) *Service {
	return New(Options{
		Store: store, Auditor: &noted{}, Revocations: revoked.New(),
		Peers: func() Peers { return peers }, Own: func() *x509.Certificate { return nil },
		Caller: func(context.Context) (identity.ID, *x509.Certificate, bool) { return operatorID(), own, true },
	})
}

func ofSerial(serial int64) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(serial), Raw: big.NewInt(serial).Bytes()}
}

func bySerial(text string) *pb.RevokeCertificatesRequest {
	return &pb.RevokeCertificatesRequest{Target: &pb.RevokeCertificatesRequest_Serial{Serial: text}}
}

// TestRevokeOnAFullDisk: it is in force at once and cuts, says that it is not on disk,
// and gets there when there is room.
func TestRevokeOnAFullDisk(t *testing.T) {
	store, peers := &fullStore{full: true}, &connected{certs: []*x509.Certificate{ofSerial(0xbad), ofSerial(0x600d)}}
	s := revoker(store, peers, ofSerial(1))
	resp, err := s.RevokeCertificates(t.Context(), bySerial("bad"))
	if err != nil || resp.GetWarning() == "" || resp.GetConnections() != 1 {
		t.Fatalf("%v, %v", resp, err)
	}
	if s.o.Revocations.Refusal(operatorID(), ofSerial(0xbad)) == "" || peers.left() != 1 {
		t.Error("it is not in force")
	}
	s.Flush(t.Context())
	if len(store.kept) != 0 {
		t.Error("a full disk has kept it")
	}
	store.full = false
	store.during = func() { s.Flush(t.Context()) } // somebody lists certificates
	for range 2 {
		s.Flush(t.Context())
	}
	store.during = nil
	if len(store.kept) != 1 || store.kept[0].Target != "serial:bad" {
		t.Errorf("kept %v", store.kept)
	}
	if resp, err := s.RevokeCertificates(t.Context(), bySerial("bad2")); err != nil || resp.GetWarning() != "" {
		t.Errorf("with room: %v, %v", resp, err)
	}
}

// awayStore is a database that does not answer.
type awayStore struct{ Store }

var errAway = errors.New("away")

func (awayStore) Certificate(context.Context, string) (state.Certificate, error) {
	return state.Certificate{}, errAway
}

func (awayStore) Certificates(context.Context, string, time.Time, int) ([]state.Certificate, error) {
	return nil, errAway
}

func (awayStore) NoteCertificates(context.Context, []state.Certificate) error { return errAway }

func (awayStore) Revoke(context.Context, ...state.Revocation) error { return errAway }

// TestRevokeWithoutTheDatabase: it is in force at once and cuts, whether a serial or an
// agent is named. What it would do, nobody can say.
func TestRevokeWithoutTheDatabase(t *testing.T) {
	peers := &connected{certs: []*x509.Certificate{ofSerial(0xbad), ofSerial(0x600d)}}
	s := revoker(awayStore{}, peers, ofSerial(1))
	s.Seen(operatorID(), ofSerial(1))
	trial := bySerial("bad")
	trial.DryRun = true
	if _, err := s.RevokeCertificates(t.Context(), trial); err == nil {
		t.Error("said what it would end")
	}
	resp, err := s.RevokeCertificates(t.Context(), bySerial("bad"))
	if err != nil || resp.GetWarning() == "" || resp.GetConnections() != 1 || peers.left() != 1 {
		t.Fatalf("%v, %v, %d left", resp, err, peers.left())
	}
	node := identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleNode, Name: "web-1"}
	agent := &pb.RevokeCertificatesRequest{Target: &pb.RevokeCertificatesRequest_Agent{Agent: "web-1"}}
	if resp, err := s.RevokeCertificates(t.Context(), agent); err != nil || resp.GetWarning() == "" {
		t.Fatalf("%v, %v", resp, err)
	}
	for id, cert := range map[identity.ID]*x509.Certificate{operatorID(): ofSerial(0xbad), node: ofSerial(7)} {
		if s.o.Revocations.Refusal(id, cert) == "" {
			t.Errorf("%s is not refused", id)
		}
	}
	if s.mu.Lock(); len(s.seen) != 1 {
		t.Errorf("%d certificates wait to be noted", len(s.seen))
	}
	s.mu.Unlock()
}

// TestRevokeOneself: whoever revokes their own certificate hears what it cut, and is
// cut then.
func TestRevokeOneself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := ofSerial(0x0b)
		peers := &connected{certs: []*x509.Certificate{own, ofSerial(0x600d)}}
		s := revoker(&fullStore{}, peers, own)
		resp, err := s.RevokeCertificates(t.Context(), bySerial("b"))
		if err != nil || resp.GetConnections() != 1 || peers.left() != 2 {
			t.Fatalf("%v, %v, %d left", resp, err, peers.left())
		}
		<-time.After(answerTime)
		synctest.Wait()
		if peers.left() != 1 {
			t.Errorf("%d left", peers.left())
		}
	})
}
