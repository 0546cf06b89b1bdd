package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestFlood: a hundred thousand made-up devices leave those that were known.
func TestFlood(t *testing.T) {
	b := New(Options{MaxDevices: 200})
	at := day0
	for i := range 100 {
		d := arp(fmt.Sprintf("00:00:5e:00:53:%02x", i), fmt.Sprintf("192.0.2.%d", i))
		b.Observe(at, us, d)
		b.Observe(at.Add(time.Hour), us, d)
	}
	at = at.Add(time.Hour)
	many := uint64(100_000)
	if testing.Short() {
		many = 10_000
	}
	for i := range many {
		b.Observe(at, us, arp(fmt.Sprintf("02:00:5e:%02x:%02x:%02x", i>>16, i>>8&255, i&255), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)))
	}
	s := b.Stats()
	if s.Devices != 200 || s.Evicted != many-100 || len(b.keys) > 200*8 {
		t.Errorf("stats %+v, %d keys", s, len(b.keys))
	}
	for i := range 100 {
		one(t, b, fmt.Sprintf("00:00:5e:00:53:%02x", i))
	}
}

// TestFloodOfAttributes: one device cannot take more than its room.
func TestFloodOfAttributes(t *testing.T) {
	b := New(Options{MaxPorts: 100})
	for i := range 300 {
		d := arp(mac1, fmt.Sprintf("2001:db8::%x", i+1))
		d.Names, d.Aliases = []string{fmt.Sprintf("n%d", i)}, []string{fmt.Sprintf("id:%d", i)}
		d.Ports = []*pb.Port{{Port: uint32(i + 1), Protocol: "tcp", Banner: strings.Repeat("x", 100)}}
		d.Links = []*pb.DeviceLink{{Source: "lldp", Name: fmt.Sprint(i)}}
		d.Plugged = []*pb.SwitchPort{{DeviceUid: "s", Port: fmt.Sprint(i)}}
		d.Sources = []string{"mdns", fmt.Sprint(i)}
		b.Observe(day0.Add(time.Duration(i)*time.Second), us, d)
	}
	d := one(t, b, mac1)
	if len(d.GetIp()) > 64 || len(d.GetNames()) > 16 || len(d.GetAliases()) > 32 || len(d.GetPorts()) > 100 || len(d.GetLinks()) > 256 ||
		len(d.GetPlugged()) > 16 || len(d.GetSources()) > 32 || proto.Size(d) > 256<<10 {
		t.Errorf("%d bytes: %d addresses, %d names, %d ids, %d ports", proto.Size(d), len(d.GetIp()), len(d.GetNames()), len(d.GetAliases()), len(d.GetPorts()))
	}
	if b.Stats().Cut == 0 {
		t.Error("nothing counted")
	}
}

func TestNothingToTell(t *testing.T) {
	b := New(Options{})
	for _, d := range []*pb.DeviceInventory{
		nil,
		{},
		{Vendor: "x"},
		{Mac: []string{"ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "x"}},
		{Ip: []string{"127.0.0.1", "0.0.0.0", "224.0.0.1", "x"}},
		{SerialNumber: "N/A"},
		{EngineId: "80001f88"},
	} {
		if c := b.Observe(day0, us, d); c != nil || b.Len() != 0 {
			t.Errorf("%v makes %+v", d, c)
		}
	}
	if b.Stats().Unidentified != 7 {
		t.Errorf("stats %+v", b.Stats())
	}
}

func TestPlugged(t *testing.T) {
	b := New(Options{})
	at := func(port string) *pb.DeviceInventory {
		return &pb.DeviceInventory{Mac: []string{mac1}, Plugged: []*pb.SwitchPort{{DeviceIp: "192.0.2.254", Port: port}}, Sources: []string{"snmp"}}
	}
	changes := tell(b, step{see: at("Gi1/0/7")}, step{see: at("Gi1/0/7")}, step{see: at("Gi1/0/9")})
	d := one(t, b, mac1)
	if len(changes) != 2 || len(d.GetPlugged()) != 2 || d.GetPlugged()[0].GetPort() != "Gi1/0/9" || d.GetPlugged()[1].GetUntilTime() == nil {
		t.Errorf("changes %+v, plugged %v", changes, d.GetPlugged())
	}
}

func TestDurable(t *testing.T) {
	b := New(Options{})
	tell(b, step{see: named(arp(mac1, "10.0.0.1"), "mdns", "alpha.local")}, step{see: named(arp(mac1, "10.0.0.2"), "mdns", "beta.local")},
		step{see: ssh(arp(mac2, "192.0.2.3"), "SHA256:a")}, step{see: &pb.DeviceInventory{Ip: []string{"192.0.2.4"}, Vendor: "Example", Sources: []string{"snmp"}}})
	var first, second bytes.Buffer
	if err := b.Encode(&first); err != nil {
		t.Fatal(err)
	}
	again, err := Decode(bytes.NewReader(first.Bytes()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Encode(&second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) || len(again.keys) != len(b.keys) {
		t.Error("what was decoded is not what was encoded")
	}
	if c := again.Observe(day0.Add(time.Hour), us, arp(mac1, "10.0.0.2")); len(c) != 0 {
		t.Errorf("it has forgotten: %+v", c)
	}
	for i := 0; i < first.Len(); i += 5 {
		damaged := bytes.Clone(first.Bytes())
		damaged[i] ^= 0x40
		if _, err := Decode(bytes.NewReader(damaged), Options{}); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d of %d: error %v", i, first.Len(), err)
		}
		if _, err := Decode(bytes.NewReader(first.Bytes()[:i]), Options{}); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: error %v", i, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b := New(Options{})
	tell(b, step{see: ssh(arp(mac2, "192.0.2.3"), "SHA256:a")})
	var out bytes.Buffer
	if err := b.Encode(&out); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte(magic + "\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := Decode(bytes.NewReader(text), Options{MaxDevices: 10})
		if err == nil && b.Len() > 10 {
			t.Error("more devices than allowed")
		}
	})
}

// FuzzObserve: whatever is observed, the Book stays within its bounds and its index true.
func FuzzObserve(f *testing.F) {
	seed := func(ds ...*pb.DeviceInventory) {
		var all []byte
		for _, d := range ds {
			text, err := proto.Marshal(d)
			if err != nil {
				f.Fatal(err)
			}
			all = append(append(all, byte(len(text)), byte(len(text)>>8)), text...)
		}
		f.Add(all)
	}
	seed(arp(mac1, "192.0.2.1"), ssh(arp(mac2, "192.0.2.1"), "SHA256:a"), named(arp(random1, "192.0.2.2"), "dhcp", "alpha"))
	seed(&pb.DeviceInventory{SerialNumber: "SN12345678", Mac: []string{mac1, mac2}, Sources: []string{"snmp"}})
	f.Fuzz(func(t *testing.T, text []byte) {
		b := New(Options{MaxDevices: 4, MaxAddresses: 4, AddressesPerMAC: 1})
		at := day0
		for n := 0; len(text) > 2; n++ {
			size := min(int(text[0])|int(text[1])<<8, len(text)-2)
			d := &pb.DeviceInventory{}
			if proto.Unmarshal(text[2:2+size], d) == nil {
				switch n % 3 {
				case 0:
					b.Observe(at, us, d)
				case 1:
					b.ObserveState(at, us, d)
				default:
					b.ObserveScan(at, "other/x", d, everything)
				}
			}
			text, at = text[2+size:], at.Add(time.Minute)
		}
		b.Expire(at.Add(time.Hour))
		seen := map[string]bool{}
		for r := range b.all {
			if r.d.GetUid() == "" || seen[r.d.GetUid()] || len(r.d.GetPorts()) != len(r.Ports) || len(r.Held) > 4 {
				t.Fatalf("device %v", r.d)
			}
			seen[r.d.GetUid()] = true
		}
		if b.Len() > 4 {
			t.Fatal("more devices than allowed")
		}
		for k, rs := range b.keys {
			for _, r := range rs {
				if _, is := b.all[r]; !is {
					t.Fatalf("key %q leads to a device that is not", k)
				}
			}
		}
	})
}
