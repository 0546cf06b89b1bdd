package module_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/snmp/module"
)

func part(kind module.IndexType) module.IndexPart { return module.IndexPart{Name: "p", Type: kind} }

func TestDecodeIndex(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		parts []module.IndexPart
		index string
		want  []string
	}{
		{"interface", []module.IndexPart{part(module.IndexInteger)}, "4294967295", []string{"4294967295"}},
		{"forwarding entry", []module.IndexPart{part(module.IndexInteger), part(module.IndexMAC)}, "10.0.17.34.51.68.255", []string{"10", "00:11:22:33:44:ff"}},
		{"ARP entry", []module.IndexPart{part(module.IndexInteger), part(module.IndexAddress)}, "3.10.0.0.1", []string{"3", "10.0.0.1"}},
		{"neighbour of IPv6", []module.IndexPart{part(module.IndexInteger), part(module.IndexInet)}, "3.2.16.254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.1", []string{"3", "fe80::1"}},
		{"neighbour with zone", []module.IndexPart{part(module.IndexInet)}, "4.20.254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.2", []string{"fe80::1"}},
		{"text", []module.IndexPart{part(module.IndexText), part(module.IndexInteger)}, "2.97.98.7", []string{"ab", "7"}},
		{"implied text", []module.IndexPart{{Name: "p", Type: module.IndexText, Rest: true}}, "97.98", []string{"ab"}},
		{"octets of a length", []module.IndexPart{{Name: "p", Type: module.IndexOctets, Length: 2}}, "1.255", []string{"01ff"}},
		{"object", []module.IndexPart{part(module.IndexObject), part(module.IndexInteger)}, "2.1.3.9", []string{"1.3", "9"}},
	} {
		got, err := module.DecodeIndex(test.parts, test.index)
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", test.name, err, diff)
		}
	}
	for _, test := range []struct {
		name  string
		parts []module.IndexPart
		index string
	}{
		{"too short", []module.IndexPart{part(module.IndexMAC)}, "1.2.3"},
		{"too long", []module.IndexPart{part(module.IndexInteger)}, "1.2"},
		{"no octet", []module.IndexPart{part(module.IndexAddress)}, "10.0.0.256"},
		{"length past the end", []module.IndexPart{part(module.IndexText)}, "4294967295.97"},
		{"no number", []module.IndexPart{part(module.IndexInteger)}, "x"},
		{"beyond 32 bits", []module.IndexPart{part(module.IndexInteger)}, "4294967296"},
		{"nothing", []module.IndexPart{part(module.IndexInteger)}, ""},
	} {
		if got, err := module.DecodeIndex(test.parts, test.index); !errors.Is(err, module.ErrIndex) {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
}

func FuzzDecodeIndex(f *testing.F) {
	for _, seed := range []string{"", "1", "10.0.17.34.51.68.255", "3.2.16.254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.1", "2.97.98.7", "4294967295", "1..2", "4294967295.1"} {
		f.Add(seed)
	}
	shapes := [][]module.IndexPart{
		{part(module.IndexInteger), part(module.IndexMAC)},
		{part(module.IndexInteger), part(module.IndexInteger), part(module.IndexInteger), part(module.IndexInet)},
		{part(module.IndexText), part(module.IndexObject)},
		{{Name: "p", Type: module.IndexOctets, Length: 3}, {Name: "q", Type: module.IndexText, Rest: true}},
	}
	f.Fuzz(func(t *testing.T, index string) {
		for _, shape := range shapes {
			parts, err := module.DecodeIndex(shape, index)
			if err == nil && len(parts) != len(shape) {
				t.Errorf("%q: %d parts of %d", index, len(parts), len(shape))
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(custom))
	f.Add([]byte("modules:\n  - {module: a, about: x, traps: {1.3.6: t}}\n"))
	f.Add([]byte("modules: [&a {module: *a}]"))
	f.Add([]byte("modules:\n  - module: a\n    about: x\n    groups: [{name: g, oid: object-1, columns: [{id: \"1\", name: c, type: gauge, match: \"(\"}]}]\n"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		modules, err := module.Decode("fuzz.yaml", text, nil)
		if err != nil {
			return
		}
		for _, m := range modules {
			m.Metrics()
		}
	})
}
