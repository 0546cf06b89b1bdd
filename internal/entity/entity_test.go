package entity_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	phoneMAC = "00:00:5e:00:53:07"
	flowID   = "1:wCb3OG7yAFWelaUydu0D+125CLM="
)

func uid(n uint64) string { return entity.ProcessUID("host-id", "boot-id", 42, n) }

// story is what five agents tell of one incident.
func story() map[string]*pb.Event {
	host := func(name, ip string) *pb.Host { return &pb.Host{Name: name, Ip: []string{ip}} }
	curl := &pb.Process{
		Pid: 42, Uid: uid(2), Name: "curl", Executable: "/usr/bin/curl",
		User: &pb.User{Name: `CORP\ann "x"`, Uid: "1000"},
	}
	device := entity.DeviceUID(entity.DeviceFacts{MACs: []string{phoneMAC}})
	sw := entity.DeviceUID(entity.DeviceFacts{EngineID: "800000090300005e005301"})
	scanner := host("web-1", "192.0.2.10")
	return map[string]*pb.Event{
		"finding": {Host: scanner, Body: &pb.Event_Finding{Finding: &pb.DetectionFinding{
			Title: "curl to a device", Observables: map[string]string{"process.entity_id": uid(2), "destination.ip": "192.0.2.77", "nothing.known": "x"},
		}}},
		"process": {Host: scanner, Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Process: curl, Parent: &pb.Process{Pid: 1, Uid: uid(1), Name: "bash"},
		}}},
		"flow": {Host: scanner, Body: &pb.Event_Network{Network: &pb.NetworkActivity{
			SrcEndpoint: &pb.Endpoint{Ip: "192.0.2.10", Port: 40000}, DstEndpoint: &pb.Endpoint{Ip: "::ffff:192.0.2.77", Port: 443},
			CommunityId: flowID, Process: curl, Tls: &pb.Tls{CertificateSha256: strings.Repeat("ab", 32), CertificateSubject: "CN=phone"},
		}}},
		"device": {Host: scanner, Observer: scanner, Body: &pb.Event_Device{Device: &pb.DeviceInventory{
			Uid: device, Ip: []string{"192.0.2.77"}, Mac: []string{"00-00-5E-00-53-07"}, Hostname: "phone",
		}}},
		"switch": {Observer: scanner, About: &pb.Device{Uid: sw, Name: "core-1"}, Body: &pb.Event_Snmp{Snmp: &pb.SnmpReading{
			Target: "192.0.2.2", Interfaces: []*pb.SnmpInterface{{Index: 1, Mac: "00:00:5e:00:53:01"}, {Index: 4294967295, Mac: phoneMAC}},
		}}},
		"login": {Host: host("DC-1.", "192.0.2.11"), Body: &pb.Event_Authentication{Authentication: &pb.Authentication{
			User: &pb.User{Name: "ann"}, SrcEndpoint: &pb.Endpoint{Ip: "fe80::1%eth0"}, Service: "sshd",
		}}},
		"rename": {Host: scanner, Body: &pb.Event_File{File: &pb.FileActivity{
			File: &pb.File{Path: `C:\Users\ann\a.doc`}, FileResult: &pb.File{Path: `C:\Users\ann\a.doc.locked`}, Actor: curl,
		}}},
	}
}

func attrsOf(t *testing.T, ev *pb.Event) *event.Attrs {
	t.Helper()
	ev.Id, ev.Time, ev.Type = []byte("0123456789abcdef"), timestamppb.New(time.Unix(1, 0)), "made.up"
	encoded, err := event.Encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	attrs := &event.Attrs{}
	if err := attrs.Read(encoded); err != nil {
		t.Fatal(err)
	}
	return attrs
}

func TestThingsOfAnEvent(t *testing.T) {
	want := map[string][]string{
		"finding": {"address address:192.0.2.10", "host host:web-1", "observable address:192.0.2.77", "observable process:" + uid(2)},
		"process": {
			"address address:192.0.2.10", "file file:web-1/usr/bin/curl", "host host:web-1", "parent process:" + uid(1) + " bash",
			"process process:" + uid(2) + " curl", `user user:web-1/CORP\ann "x"`,
		},
		"flow": {
			"address address:192.0.2.10", "destination address:192.0.2.77", "file file:web-1/usr/bin/curl", "flow flow:" + flowID, "host host:web-1",
			"process process:" + uid(2) + " curl", "server certificate:" + strings.Repeat("ab", 32) + " CN=phone", "source address:192.0.2.10",
			`user user:web-1/CORP\ann "x"`,
		},
		"device": {
			"address address:" + phoneMAC, "address address:192.0.2.10", "address address:192.0.2.77", "device device:mac-00005e005307 phone",
			"host host:web-1", "observer host:web-1",
		},
		"switch": {
			"address address:00:00:5e:00:53:01", "address address:" + phoneMAC, "device device:engine-800000090300005e005301 core-1",
			"interface interface:engine-800000090300005e005301/1", "interface interface:engine-800000090300005e005301/4294967295",
			"observer host:web-1",
		},
		"login": {"address address:192.0.2.11", "host host:dc-1", "source address:fe80::1", "user user:dc-1/ann"},
		"rename": {
			"address address:192.0.2.10", `file file:web-1/C:\Users\ann\a.doc`, "file file:web-1/usr/bin/curl",
			`file_result file:web-1/C:\Users\ann\a.doc.locked`, "host host:web-1", "process process:" + uid(2) + " curl", `user user:web-1/CORP\ann "x"`,
		},
	}
	for name, ev := range story() {
		var got []string
		for _, r := range entity.Of(attrsOf(t, ev)) {
			got = append(got, strings.TrimSpace(string(r.Role)+" "+r.Key.String()+" "+r.Name))
			if back, err := entity.ParseKey(r.Key.String()); err != nil || back != r.Key {
				t.Errorf("%s: %s reads as %v, %v", name, r.Key, back, err)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want[name], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAFindingLeadsToTheSwitchPort: from link to link over what five agents said.
func TestAFindingLeadsToTheSwitchPort(t *testing.T) {
	var links []entity.Link
	var begin entity.Key
	for name, ev := range story() {
		attrs := attrsOf(t, ev)
		refs := entity.Of(attrs)
		links = append(links, entity.Links(attrs, refs)...)
		if name == "finding" {
			i := slices.IndexFunc(refs, func(r entity.Ref) bool { return r.Key.Kind == entity.KindProcess })
			begin = refs[i].Key
		}
	}
	reached := map[entity.Key]bool{begin: true}
	for grown := true; grown; {
		grown = false
		for _, l := range links {
			if reached[l.From] != reached[l.To] {
				reached[l.From], reached[l.To], grown = true, true, true
			}
		}
	}
	for _, want := range []string{
		"flow:" + flowID, "address:192.0.2.77", "device:mac-00005e005307", "address:" + phoneMAC,
		"interface:engine-800000090300005e005301/4294967295", "device:engine-800000090300005e005301", "process:" + uid(1),
		"user:web-1/CORP\\ann \"x\"", "certificate:" + strings.Repeat("ab", 32),
	} {
		key, err := entity.ParseKey(want)
		if err != nil || !reached[key] {
			t.Errorf("%s is not reached from %s: %v", want, begin, err)
		}
	}
	if other, _ := entity.ParseKey("address:192.0.2.11"); reached[other] {
		t.Error("an address that nothing connects is reached")
	}
}

func TestDeviceUID(t *testing.T) {
	for name, tt := range map[string]struct {
		facts entity.DeviceFacts
		want  string
	}{
		"a serial number first": {entity.DeviceFacts{Vendor: "Cisco Systems, Inc.", Serial: "FOC1234X0AB", EngineID: "800000090300005e005301", IP: "192.0.2.1"}, "sn-cisco-systems-inc.-foc1234x0ab"},
		"an engine":             {entity.DeviceFacts{EngineID: "800000090300005E005301", MACs: []string{phoneMAC}}, "engine-800000090300005e005301"},
		"a short engine":        {entity.DeviceFacts{EngineID: "8000", MACs: []string{phoneMAC}}, "mac-00005e005307"},
		"the universal address": {entity.DeviceFacts{MACs: []string{"02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "00-00-5E-00-53-09", phoneMAC}}, "mac-00005e005307"},
		"a local address":       {entity.DeviceFacts{MACs: []string{"06:00:00:00:00:02", "02:00:00:00:00:03"}, IP: "192.0.2.1"}, "mac-020000000003"},
		"an address in a scope": {entity.DeviceFacts{IP: "::ffff:192.0.2.1", Scope: "Site A/192.0.2.0"}, "ip-192.0.2.1-site-a-192.0.2.0"},
		"nothing":               {entity.DeviceFacts{MACs: []string{"x"}, IP: "y"}, ""},
	} {
		if got := entity.DeviceUID(tt.facts); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestKeys(t *testing.T) {
	for want, got := range map[string]entity.Key{
		"host:vm":                   entity.Host(" VM. "),
		"user:S-1-5-18":             entity.User("web-1", "SYSTEM", "S-1-5-18"),
		"user:web-1/0":              entity.User("WEB-1", "", "0"),
		"address:2001:db8::1":       entity.Address("2001:0DB8:0::1"),
		"address:192.0.2.1":         entity.Address("::ffff:192.0.2.1"),
		"address:00:00:5e:00:53:01": entity.Address("0000.5E00.5301"),
		"file:h/etc/passwd":         entity.File("h", "/etc/passwd"),
		"interface:d/7":             entity.Interface("d", 7),
	} {
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, zero := range []entity.Key{
		entity.Host(" . "), entity.User("", "a", ""), entity.User("h", "", ""), entity.File("h", ""), entity.Address("web-1"),
		entity.Interface("", 1), entity.Process(""), entity.File("h", "/"+strings.Repeat("x", 5_000)),
	} {
		if !zero.IsZero() {
			t.Errorf("%s names something", zero)
		}
	}
	for _, bad := range []string{"", "x", "host", "host:", "ship:1", "address:x", "address:0000.5e00.5301", "host:" + strings.Repeat("x", 5_000)} {
		if k, err := entity.ParseKey(bad); err == nil {
			t.Errorf("%.20q reads as %s", bad, k)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"host:vm", "address:192.0.2.1", `file:web-1/C:\x`, "user:web-1/a\"b", "interface:d/7", "x:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := entity.ParseKey(s)
		if err != nil {
			return
		}
		if k.String() != s {
			t.Errorf("%q reads as %q", s, k)
		}
	})
}
