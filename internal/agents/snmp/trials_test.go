package snmp

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// TestRightUserComesToItsTurn: wrong users that are due again whenever an address is asked
// do not keep the right one behind them from being tried.
func TestRightUserComesToItsTurn(t *testing.T) {
	t.Parallel()
	names := []string{"first", "second", "right"}
	var list []credential
	for _, name := range names {
		c := monitor()
		c.User = name
		list = append(list, credential{name, c})
	}
	trials, at, now := newTrials(list), netip.MustParseAddrPort("192.0.2.1:161"), time.Now()
	for range 3 { // each after the longest rest
		for _, i := range trials.order(at) {
			if trials.rests(at, names[i], now) {
				continue
			}
			if names[i] == "right" {
				return
			}
			trials.note(at, names[i], snmp.ErrPassword, now)
		}
		now = now.Add(24 * time.Hour)
	}
	t.Error("the right one was never tried")
}

// TestRestsEndWithTheAgent: a restart ends rests, but not the quarter of an hour in which
// a device meets two wrong users; a clock that was wrong holds nobody back.
func TestRestsEndWithTheAgent(t *testing.T) {
	t.Parallel()
	c, now := monitor(), time.Now()
	at := netip.MustParseAddrPort("192.0.2.1:161")
	list := []credential{{"a", c}, {"b", c}}
	for name, last := range map[string]time.Time{"refused now": now, "refused in the future": now.AddDate(50, 0, 0)} {
		trials := newTrials(list)
		var kept []wrong
		for _, name := range []string{"a", "b"} {
			kept = append(kept, wrong{Addr: at.String(), Credential: name, Tries: 9, Last: last, Until: last.Add(24 * time.Hour)})
		}
		trials.restore(kept, now)
		if !trials.rests(at, "a", now.Add(14*time.Minute)) || trials.rests(at, "a", now.Add(15*time.Minute)) {
			t.Errorf("%s: due %s after", name, trials.due(at, "a").Sub(now))
		}
	}
}

// TestLockOut: a device that knows a user by another password meets two wrong ones within
// a quarter of an hour, whoever asks, and over a restart; the right one is found then. A
// password that worked and is refused rests too, until somebody has the device polled.
func TestLockOut(t *testing.T) {
	t.Parallel()
	d := play.NewDevice("", snmptest.Load(t, edgeSwitch))
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
	if poll(3); found.fault != "" || found.Credential != "snmp.credentials[3]" { // as it has failed three times
		t.Errorf("fault %q, opened by %s", found.fault, found.Credential)
	}
	now = now.Add(time.Hour)
	if poll(3); found.fault != "" {
		t.Error(found.fault)
	}
}

// TestExposedKeepsItsFinding: a device that gets another uid is not told of under another
// finding, which would leave the first open for ever.
func TestExposedKeepsItsFinding(t *testing.T) {
	t.Parallel()
	l := prepare(t, t.TempDir(), "snmp: {communities: [public]}\n")
	d, now := newDevice(netip.MustParseAddrPort("192.0.2.1:161"), ""), time.Now()
	d.Credential, d.UID = l.credentials[0].name, "ip-192.0.2.1"
	first := l.exposed(d, now)
	d.UID = "sn-7"
	second := l.exposed(d, now.Add(2*refreshEvery))
	if first.GetFinding().GetUid() == "" || first.GetFinding().GetUid() != second.GetFinding().GetUid() || second.GetFinding().GetStatus() != "update" {
		t.Errorf("first %v, then %v", first.GetFinding(), second.GetFinding())
	}
}

// TestPasswordIsNotDropped: a password without its protocol, or that refers to nothing,
// is a fault. Without it the user would be asked unproven or in the clear.
func TestPasswordIsNotDropped(t *testing.T) {
	t.Setenv("NOTHING", "")
	for want, c := range map[string]V3Credentials{
		"auth_protocol":    {Username: "u", AuthPassword: "12345678"},
		"privacy_protocol": {Username: "u", AuthProtocol: "SHA", AuthPassword: "12345678", PrivacyPassword: "12345678"},
		"auth_password":    {Username: "u", AuthProtocol: "SHA", AuthPassword: "1234567"},
		"":                 {Username: "u", AuthProtocol: "SHA", AuthPassword: "12345678", PrivacyProtocol: "AES", PrivacyPassword: "12345678"},
	} {
		check := config.NewCheck()
		c.validate(check)
		faults := check.Faults()
		if (want != "") != (len(faults) == 1) || want != "" && !strings.Contains(fmt.Sprint(faults), want) {
			t.Errorf("%q: %v", want, faults)
		}
	}
	for want, c := range map[string]V3Credentials{
		"auth_password refers to is empty":    {Username: "u", AuthProtocol: "SHA", AuthPassword: "env:NOTHING"},
		"privacy_password refers to is empty": {Username: "u", AuthProtocol: "SHA", AuthPassword: "12345678", PrivacyProtocol: "AES", PrivacyPassword: "env:NOTHING"},
	} {
		if got, err := c.reveal(config.Home(t.TempDir())); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, got, err)
		}
	}
}
