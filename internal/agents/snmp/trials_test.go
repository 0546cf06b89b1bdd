package snmp

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// TestLockOut: a device that knows a user by another password meets two wrong ones within
// a quarter of an hour, whoever asks, and over a restart; the right one is found then. A
// password that worked and is refused rests too, until somebody has the device polled.
func TestLockOut(t *testing.T) {
	t.Parallel()
	d := snmptest.NewDevice("", snmptest.Load(t, edgeSwitch))
	d.Users, d.Addr = []snmp.Credential{monitor()}, netip.MustParseAddr("127.0.5.1")
	_, at := snmptest.Start(t, d)
	user := `{username: monitor, auth_protocol: SHA256, auth_password: %s, privacy_protocol: AES, privacy_password: privpassword}`
	yaml := fmt.Sprintf(`snmp:
  version: "3"
  scan_subnets: [127.0.5.1]
  port: %d
  credentials: [`+user+", "+user+", "+user+", "+user+`]
discovery: {rate_per_second: 1000, timeout_seconds: 1, retries: 0}
places: {enabled: false}
traps: {listen: ""}
`, at.Port(), "firstpassword", "secondpassword", "thirdpassword", "authpassword")
	now := time.Now()
	dir := t.TempDir()
	l := prepare(t, dir, yaml)
	visit := func(refused uint64) *device {
		t.Helper()
		found := l.search.visit(t.Context(), d.Addr, true, now)
		if n := l.search.trials.refused.Load(); n != refused {
			t.Fatalf("the device has refused %d times, want %d", n, refused)
		}
		return found
	}
	visit(2)
	visit(2)
	l.keep()
	l = prepare(t, dir, yaml)
	now = now.Add(14 * time.Minute)
	visit(0)
	now = now.Add(2 * time.Minute)
	found := visit(1)
	if found == nil || found.Credential != "snmp.credentials[3]" {
		t.Fatalf("found %+v", found)
	}
	l.o.Now = func() time.Time { return now }
	poll := func(refused uint64) {
		t.Helper()
		l.poll(context.Background(), found)
		if n := l.search.trials.refused.Load(); n != refused {
			t.Fatalf("the device has refused %d times, want %d", n, refused)
		}
	}
	if poll(1); found.fault != "" {
		t.Fatal(found.fault)
	}
	found.Credential = "snmp.credentials[0]" // as if the password had been changed
	now = now.Add(time.Hour)
	poll(2)
	now = now.Add(20 * time.Minute)
	if poll(2); !found.barred {
		t.Errorf("fault %q", found.fault)
	}
	l.search.trials.forgive(found.at)
	if poll(4); !found.barred { // and another one, as it has failed three times
		t.Errorf("fault %q", found.fault)
	}
	found.Credential, now = "snmp.credentials[3]", now.Add(time.Hour)
	if poll(4); found.fault != "" {
		t.Error(found.fault)
	}
}
