package exposure

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

var today = time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)

func watch(t *testing.T, disabled ...Kind) *Watch {
	t.Helper()
	f, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return NewWatch(f, disabled...)
}

// TestKinds: each kind is found in a device that has it, and in no other.
func TestKinds(t *testing.T) {
	old := timestamppb.New(today.AddDate(0, -1, 0))
	for _, c := range []struct {
		want Kind
		d    *pb.DeviceInventory
	}{
		{TelnetOpen, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 23, Service: "telnet"}}}},
		{"", &pb.DeviceInventory{Ports: []*pb.Port{{Port: 23, Service: "telnet", Remarks: []string{"not confirmed: named by its port alone"}}}}},
		{CleartextShell, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 513, Service: "login"}}}},
		{CertificateExpired, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 443, Service: "https", CertificateNotAfter: old}}}},
		{"", &pb.DeviceInventory{Ports: []*pb.Port{{Port: 443, Service: "https", CertificateNotAfter: timestamppb.New(today.Add(-time.Hour))}}}},
		{OldTLS, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 443, Service: "https", TlsVersion: "TLS 1.0"}}}},
		{OpenDatabase, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 6379, Service: "redis", Remarks: []string{"no password"}}}}},
		{OpenControl, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 2375, Service: "docker", Remarks: []string{"answers without a certificate"}}}}},
		{AnonymousFTP, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 21, Service: "ftp", Remarks: []string{"anonymous login, as the greeting says"}}}}},
		{SMB1, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 445, Service: "microsoft-ds", Remarks: []string{"SMBv1 is offered"}}}}},
		{SSH1, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 22, Service: "ssh", Remarks: []string{"SSH protocol 1 is offered"}}}}},
		{EndOfLife, &pb.DeviceInventory{OsName: "Debian", OsVersion: "10.3"}},
		{EndOfLife, &pb.DeviceInventory{OsName: "Windows 10", OsVersion: "10.0.19045"}},
		{EndOfLife, &pb.DeviceInventory{Ports: []*pb.Port{{Port: 80, Product: "Apache httpd", Version: "2.2.34"}}}},
		{"", &pb.DeviceInventory{Ports: []*pb.Port{{Port: 80, Product: "Apache httpd", Version: "2.4.57"}}}},
		{"", &pb.DeviceInventory{OsName: "Debian", OsVersion: "12"}},
		{"", &pb.DeviceInventory{OsName: "Debian"}},
		{"", &pb.DeviceInventory{OsName: "Debian", OsVersion: "100"}},
	} {
		c.d.Uid = "mac-020000000001"
		c.d.Ip = []string{"192.0.2.1"}
		events := watch(t).Observe(today, c.d)
		switch {
		case c.want == "" && len(events) != 0:
			t.Errorf("%v: found %v", c.d, events)
		case c.want == "":
		case len(events) != 1 || events[0].GetType() != TypePrefix+string(c.want):
			t.Errorf("%s: found %v", c.want, events)
		default:
			f := events[0].GetFinding()
			if f.GetUid() == "" || f.GetDescription() == "" || f.GetStatus() != "new" || !event.IsType(events[0].GetType()) || f.GetObservables()["device.ip"] != "192.0.2.1" {
				t.Errorf("%s: %v", c.want, f)
			}
		}
	}
}

// TestDocs: docs/fingerprints.md has a row for each kind.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../docs/fingerprints.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Kinds() {
		if !strings.Contains(string(text), "| `"+TypePrefix+string(k)+"` |") {
			t.Errorf("no row of %s%s", TypePrefix, k)
		}
	}
}

// TestOnce: a finding is told once, is resolved when it is over, and is the same after
// a restart.
func TestOnce(t *testing.T) {
	w := watch(t)
	open := &pb.DeviceInventory{Uid: "a", Ports: []*pb.Port{{Port: 23, Protocol: "tcp", Service: "telnet"}}}
	first := w.Observe(today, open)
	if len(first) != 1 || len(w.Observe(today, open)) != 0 {
		t.Fatalf("told %v first", first)
	}
	uid := first[0].GetFinding().GetUid()
	if again := watch(t).Observe(today, open); again[0].GetFinding().GetUid() != uid {
		t.Error("a restart makes another finding of it")
	}
	over := w.Observe(today, &pb.DeviceInventory{Uid: "a"})
	if len(over) != 1 || over[0].GetFinding().GetStatus() != "resolved" || over[0].GetFinding().GetUid() != uid {
		t.Errorf("told %v of its end", over)
	}
	if n := len(watch(t, TelnetOpen).Observe(today, open)); n != 0 {
		t.Errorf("%d findings of a kind that is off", n)
	}
}

// TestOtherUID: a device that gets another uid keeps its findings, and two that prove to
// be one have each once.
func TestOtherUID(t *testing.T) {
	telnet := []*pb.Port{{Port: 23, Protocol: "tcp", Service: "telnet"}}
	w := watch(t)
	first := w.Observe(today, &pb.DeviceInventory{Uid: "mac", Ports: telnet})[0].GetFinding().GetUid()
	if again := w.Observe(today, &pb.DeviceInventory{Uid: "serial", FormerUids: []string{"mac"}, Ports: telnet}); len(again) != 0 {
		t.Errorf("told again: %v", again)
	}
	second := w.Observe(today, &pb.DeviceInventory{Uid: "other", Ports: telnet})[0].GetFinding().GetUid()
	one := &pb.DeviceInventory{Uid: "serial", FormerUids: []string{"other", "mac"}, Ports: telnet}
	if over := w.Observe(today, one); len(over) != 1 || over[0].GetFinding().GetUid() != second || over[0].GetFinding().GetStatus() != "resolved" {
		t.Errorf("what is told of one device that were two: %v", over)
	}
	one.Ports = nil
	if over := w.Observe(today, one); len(over) != 1 || over[0].GetFinding().GetUid() != first || over[0].GetFinding().GetStatus() != "resolved" {
		t.Errorf("told of its end: %v", over)
	}
}

// TestRestart: what was told is told no more after a restart, and resolved under the uid
// by which it was told, though the device has another one meanwhile.
func TestRestart(t *testing.T) {
	telnet := []*pb.Port{{Port: 23, Protocol: "tcp", Service: "telnet"}}
	before := watch(t)
	first := before.Observe(today, &pb.DeviceInventory{Uid: "mac", Ports: telnet})[0].GetFinding().GetUid()
	var b bytes.Buffer
	if err := before.Encode(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	w, off := watch(t), watch(t, TelnetOpen)
	for _, each := range []*Watch{w, off} {
		if err := each.Decode(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if again := w.Observe(today, &pb.DeviceInventory{Uid: "serial", FormerUids: []string{"mac"}, Ports: telnet}); len(again) != 0 {
		t.Errorf("told again: %v", again)
	}
	if over := w.Observe(today, &pb.DeviceInventory{Uid: "serial", FormerUids: []string{"mac"}}); len(over) != 1 || over[0].GetFinding().GetUid() != first || over[0].GetFinding().GetStatus() != "resolved" {
		t.Errorf("told of its end: %v", over)
	}
	if over := off.Observe(today, &pb.DeviceInventory{Uid: "mac", Ports: telnet}); len(over) != 1 || !strings.HasSuffix(over[0].GetFinding().GetDescription(), "this kind is not looked for any more.") {
		t.Errorf("told of a kind that is off now: %v", over)
	}
	for _, damaged := range []string{"", text[:len(text)/2], `{"version":9}`, "[]"} {
		if err := watch(t).Decode(strings.NewReader(damaged)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", damaged, err)
		}
	}
}

// FuzzDecode: no file stops us, and what it holds is told of devices alone.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"devices":{"mac-1":[{"uid":"a","kind":"telnet_open","port":23,"protocol":"tcp","description":"x"}]}}`))
	f.Add([]byte(`{"version":1,"devices":{"":[{"kind":"x"}],"b":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := NewWatch(&Facts{ends: map[string][]end{}})
		if w.Decode(bytes.NewReader(b)) != nil {
			return
		}
		for _, ev := range w.Observe(today, &pb.DeviceInventory{Uid: "mac-1"}) {
			if ev.GetFinding().GetStatus() != "resolved" {
				t.Errorf("%v", ev)
			}
		}
	})
}

// FuzzFacts: no file of facts stops us.
func FuzzFacts(f *testing.F) {
	f.Add("end_of_life:\n  - {product: A, source: s, versions: {\"1\": \"2020-01-01\"}}\n", "A", "1.2")
	f.Add("end_of_life: [{product: A, source: s, versions: {x: y}}]", "", "")
	f.Fuzz(func(_ *testing.T, text, product, version string) {
		facts := &Facts{ends: map[string][]end{}}
		if facts.add("fuzz", []byte(text)) == nil {
			facts.ended(product, version, today)
		}
	})
}
