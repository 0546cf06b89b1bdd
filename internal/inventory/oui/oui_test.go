package oui

import (
	"net"
	"testing"
	"time"
)

// TestVendor has assignments that anyone can look up in the registries.
func TestVendor(t *testing.T) {
	tests := []struct{ mac, want string }{
		{"00:00:0c:12:34:56", "Cisco Systems"},
		{"00:00:0C:12:34:56", "Cisco Systems"},
		{"b8-27-eb-00-00-01", "Raspberry Pi Foundation"},
		{"00:00:5e:00:53:01", "ICANN, IANA Department"},
		{"ff:ff:ff:ff:ff:ff", ""},
		{"02:00:00:00:00:01", ""}, // locally administered
		{"01:00:5e:00:00:01", ""}, // many
		{"00:00:0c:12:34", ""},
		{"00:00:0c:12:34:5g", ""},
		{"00:00:0c:12:34_56", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := VendorOf(tt.mac); got != tt.want {
			t.Errorf("%q is of %q, want %q", tt.mac, got, tt.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = VendorOf("00:00:0c:12:34:56") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTable: the table is sorted, whole, small, and as many as the registries have.
func TestTable(t *testing.T) {
	if vendors[:len(magic)] != magic || len(vendors) > 1<<20 {
		t.Fatalf("%d bytes", len(vendors))
	}
	if _, err := time.Parse(time.DateOnly, Date()); err != nil {
		t.Error(err)
	}
	if count(0) < 30_000 || count(1) < 4_000 || count(2) < 4_000 {
		t.Errorf("%d, %d and %d prefixes", count(0), count(1), count(2))
	}
	size := head + count(0)*6 + count(1)*7 + count(2)*8
	if size+count(3) != len(vendors) {
		t.Errorf("%d bytes of %d", size+count(3), len(vendors))
	}
	at := head
	for _, table := range []struct{ n, size int }{{count(0), 3}, {count(1), 4}, {count(2), 5}} {
		for i := range table.n {
			row := at + i*(table.size+3)
			if i > 0 && vendors[row-table.size-3:row-3] >= vendors[row:row+table.size] {
				t.Fatalf("row %d of the prefixes of %d bytes is not sorted", i, table.size)
			}
			var mac [6]byte
			copy(mac[:], vendors[row:row+table.size])
			if mac[0]&3 == 0 && Vendor(mac[:]) == "" {
				t.Fatalf("%s has no name", net.HardwareAddr(mac[:]))
			}
		}
		at += table.n * (table.size + 3)
	}
}

func FuzzVendorOf(f *testing.F) {
	f.Add("00:00:0c:12:34:56")
	f.Add("70-b3-d5-12-3f-ff")
	f.Fuzz(func(_ *testing.T, mac string) { _ = VendorOf(mac) })
}
