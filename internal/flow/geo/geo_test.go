package geo

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/flow/geo/geotest"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

var built = time.Unix(1_700_000_000, 0)

func country() []byte {
	return geotest.Database("GeoLite2-Country", built,
		geotest.Entry{Network: "198.51.100.0/24", Country: "NL"}, geotest.Entry{Network: "2001:4860::/32", Country: "US"},
		geotest.Entry{Network: "203.0.113.0/25", Country: "de\n"})
}

func asn() []byte {
	return geotest.Database("GeoLite2-ASN", built,
		geotest.Entry{Network: "198.51.100.0/25", AS: 64496, Organization: "Example\x07 Net " + strings.Repeat("ä", 100)},
		geotest.Entry{Network: "2001:4860:4860::/48", AS: 64497, Organization: "Six"})
}

// write puts a database down with a time of its own, so that a change is seen however
// coarse the file system's times are.
func write(t *testing.T, path string, data []byte, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	countries, systems := filepath.Join(dir, "country.mmdb"), filepath.Join(dir, "asn.mmdb")
	write(t, countries, country(), built)
	write(t, systems, asn(), built)
	a := New(countries, "", systems)
	if err := a.Refresh(built); err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]Place{
		"198.51.100.7":         {"NL", 64496, "Example Net " + strings.Repeat("ä", 57)},
		"::ffff:198.51.100.7":  {"NL", 64496, "Example Net " + strings.Repeat("ä", 57)},
		"198.51.100.200":       {Country: "NL"},
		"2001:4860:4860::8888": {"US", 64497, "Six"},
		"2001:4860::1":         {Country: "US"},
		"203.0.113.1":          {},
		"192.168.1.1":          {},
		"127.0.0.1":            {},
		"fe80::1%eth0":         {},
		"224.0.0.1":            {},
		"8.8.8.8":              {},
	} {
		for range 2 { // asked, then remembered
			if got := a.Of(netip.MustParseAddr(ip)); got != want {
				t.Errorf("%s: %+v, want %+v", ip, got, want)
			}
		}
	}
	n := &pb.NetworkActivity{SrcEndpoint: &pb.Endpoint{Ip: "10.0.0.1"}, DstEndpoint: &pb.Endpoint{Ip: "198.51.100.7", Country: "XX"}}
	a.Fill(n)
	a.Fill(&pb.NetworkActivity{})
	if d := n.GetDstEndpoint(); d.GetCountry() != "XX" || d.GetAsNumber() != 64496 || n.GetSrcEndpoint().GetCountry() != "" {
		t.Errorf("%v", n)
	}
	for i := range 2 * maxPlaces {
		a.Of(netip.AddrFrom4([4]byte{9, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := len(a.young) + len(a.old); n > maxPlaces {
		t.Errorf("%d places are remembered", n)
	}
}

// TestFilesThatAreNotWell are told, and what was read before is used on.
func TestFilesThatAreNotWell(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	a := New(path)
	told := func(want string) {
		t.Helper()
		err := a.Refresh(built.Add(time.Hour))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("told %v, want %q", err, want)
		}
	}
	ip := netip.MustParseAddr("198.51.100.7")
	told("no such file")
	if got := a.Of(ip); got != (Place{}) {
		t.Errorf("without a file: %+v", got)
	}
	write(t, path, country(), built)
	told("")
	write(t, path, []byte("no database"), built.Add(1*time.Second))
	told("what was read before is still used")
	if got := a.Of(ip); got.Country != "NL" {
		t.Errorf("with a bad file: %+v", got)
	}
	write(t, path, geotest.Database("x", built, geotest.Entry{Network: "198.51.100.0/24", Country: "BE"}), built.Add(2*time.Second))
	told("")
	if got := a.Of(ip); got.Country != "BE" {
		t.Errorf("after a change: %+v", got)
	}
	if err := a.Refresh(built.Add(tooOld + time.Hour)); err == nil || !strings.Contains(err.Error(), "is of 2023-11-14") {
		t.Errorf("too old: %v", err)
	}
	// Its data is gone, and its tree points there.
	hurt := country()
	at := bytes.Index(hurt, []byte("\xab\xcd\xefMaxMind.com"))
	from := bytes.Index(hurt, []byte("country"))
	for i := from - 2; i < at; i++ {
		hurt[i] = 0xff
	}
	write(t, path, hurt, built.Add(3*time.Second))
	told("")
	if got := a.Of(ip); got != (Place{}) {
		t.Errorf("of a damaged record: %+v", got)
	}
	told("1 addresses could not be looked up")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	told("no such file")
	if err := New(t.TempDir()).Refresh(built); err == nil {
		t.Error("a folder is taken for a database")
	}
}

// FuzzDatabase: a user's file may be anything.
func FuzzDatabase(f *testing.F) {
	f.Add(country())
	f.Add(asn())
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.mmdb")
		write(t, path, data, built)
		a := New(path)
		_ = a.Refresh(built)
		for _, ip := range []string{"198.51.100.7", "2001:4860:4860::8888", "8.8.8.8", "255.1.1.1"} {
			p := a.Of(netip.MustParseAddr(ip))
			if len(p.Organization) > maxOrganization || p.Country != "" && !isCountry(p.Country) {
				t.Errorf("%+v", p)
			}
		}
		_ = a.Refresh(built)
	})
}
