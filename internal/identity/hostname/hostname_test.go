package hostname_test

import (
	"testing"

	"github.com/amoskys/amoskys/internal/identity/hostname"
)

func TestNormal(t *testing.T) {
	for in, want := range map[string]string{
		"vm": "vm", "VM": "vm", "vm ": "vm", " vm": "vm", "vm.": "vm", "vm. ": "vm", "\tWeb-1.Example.COM..": "web-1.example.com",
		"": "", ".": "", " . ": "", ".vm": ".vm", "v m": "v m", "Ärger": "Ärger", "\u212Aelvin": "\u212Aelvin",
	} {
		if got := hostname.Normal(in); got != want {
			t.Errorf("Normal(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzNormal(f *testing.F) {
	for _, s := range []string{"VM", "vm. ", " . ", "\u212A", "a\x00", "web-1.example.com", "\xff."} {
		f.Add(s, "vm")
	}
	f.Fuzz(func(t *testing.T, s, other string) {
		n := hostname.Normal(s)
		if hostname.Normal(n) != n {
			t.Errorf("Normal(%q) = %q, which is not normal", s, n)
		}
		if b := hostname.NormalBytes([]byte(s)); string(b) != n {
			t.Errorf("NormalBytes(%q) = %q", s, b)
		}
		if !hostname.Is([]byte(s), n) || !hostname.Same(s, n) {
			t.Errorf("%q is not %q", s, n)
		}
		if o := hostname.Normal(other); hostname.Is([]byte(s), o) != (n == o) {
			t.Errorf("Is(%q, %q) is %v", s, o, n != o)
		}
	})
}

func TestIsAllocatesNothing(t *testing.T) {
	host := []byte(" Web-1.Example. ")
	if n := testing.AllocsPerRun(100, func() { _ = hostname.Is(host, "web-1.example") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
