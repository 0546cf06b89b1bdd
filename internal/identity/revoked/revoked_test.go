package revoked

import (
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/identity"
)

func TestRefusal(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	l := New(
		Entry{Target: "agent/web-1/*", Time: at},
		Entry{Target: "node/web-1", Time: at, Reason: "stolen"},
		Entry{Target: "serial:ff", Time: at},
	)
	for _, tt := range []struct {
		name    string
		role    identity.Role
		serial  int64
		begin   time.Duration // after at
		refused bool
	}{
		{"web-1/proc_agent", identity.RoleAgent, 1, -time.Second, true},
		{"WEB-1./proc_agent", identity.RoleAgent, 1, -time.Second, true},
		{"web-1", identity.RoleAgent, 1, -time.Second, false},
		{"web-1", identity.RoleNode, 1, -time.Second, true},
		{"web-1", identity.RoleNode, 1, 0, false},
		{"web-2", identity.RoleNode, 1, -time.Second, false},
		{"ann", identity.RoleOperator, 0xff, time.Hour, true},
	} {
		id := identity.ID{Domain: "d", Role: tt.role, Name: tt.name}
		why := l.Refusal(id, &x509.Certificate{SerialNumber: big.NewInt(tt.serial), NotBefore: at.Add(tt.begin)})
		if (why != "") != tt.refused || tt.role == identity.RoleNode && tt.refused && !strings.Contains(why, "stolen") {
			t.Errorf("%+v: %q", tt, why)
		}
	}
	if got := l.Since(identity.ID{Role: identity.RoleNode, Name: "web-1"}); !got.Equal(at) {
		t.Error(got)
	}
}

// TestAfter: whoever follows hears of each entry that counts, once and in order.
func TestAfter(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	a, b, later := Entry{Target: "node/a", Time: at}, Entry{Target: "node/b", Time: at}, Entry{Target: "node/a", Time: at.Add(1)}
	l := New(b)
	_, more := l.After(0)
	if n := l.Add(a, b, later, a); n != 2 {
		t.Errorf("%d were new", n)
	}
	select {
	case <-more:
	default:
		t.Error("nobody is told")
	}
	got, more := l.After(1)
	if diff := cmp.Diff([]Entry{a, later}, got); diff != "" {
		t.Error(diff)
	}
	if n := l.Add(later, b); n != 0 {
		t.Errorf("%d repeated ones were new", n)
	}
	select {
	case <-more:
		t.Error("somebody is told of nothing")
	default:
	}
	if diff := cmp.Diff([]Entry{later, b}, l.All()); diff != "" {
		t.Error(diff)
	}
	if got, _ := l.After(7); len(got) != 0 {
		t.Errorf("beyond the end: %v", got)
	}
}
