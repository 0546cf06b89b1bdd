package all

import (
	"testing"
)

// TestNamesAreUnique: kinds and ids name one agent each. A configuration file and
// a port may be shared only by macos and synth, of which a machine runs one.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]string{}
	claim := func(what, name, kind string) {
		if other, taken := seen[what+name]; taken && kind+other != "synthmacos" {
			t.Errorf("%s %q belongs to %s and %s", what, name, other, kind)
		}
		seen[what+name] = kind
	}
	for _, d := range Definitions() {
		claim("kind ", d.Kind, d.Kind)
		claim("id ", d.ID, d.Kind)
		claim("configuration ", d.ConfigName, d.Kind)
		claim("port ", string(rune(d.Port)), d.Kind)
	}
}
