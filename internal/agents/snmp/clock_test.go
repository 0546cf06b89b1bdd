package snmp

import (
	"net/netip"
	"testing"
	"time"
)

// TestClockIsSetBack: what rests until a time that is too far ahead does not rest, what was
// told or learnt in the future is told and learnt again.
func TestClockIsSetBack(t *testing.T) {
	t.Parallel()
	l := prepare(t, t.TempDir(), "snmp: {scan_subnets: [127.0.3.0/30]}\ntraps: {listen: ''}\n")
	silent, now := netip.MustParseAddr("127.0.3.1"), time.Unix(1_700_000_000, 0)
	ahead := now.Add(10 * 365 * 24 * time.Hour)
	l.search.note(silent, false, ahead)
	if !l.search.isSilent(silent, ahead) || l.search.isSilent(silent, now) {
		t.Error("an address rests for years")
	}
	d, _ := l.book.add(netip.MustParseAddrPort("127.0.3.2:161"), "")
	d.Learned, d.Exposed, d.UID = ahead, ahead, "ip-1"
	d.Credential = l.credentials[0].name // public
	if l.target(d, l.credentials[0], now); d.Learned != now {
		t.Errorf("manners are learnt anew after %s", d.Learned)
	}
	if ev := l.exposed(d, now); ev == nil {
		t.Error("a default community is told of in ten years")
	}
	if ev := l.exposed(d, now.Add(time.Hour)); ev != nil {
		t.Error("and then twice")
	}
}
