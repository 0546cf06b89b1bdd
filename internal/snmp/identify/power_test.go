package identify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// powered is a recording of a switch of two ports with ifIndex 101 and 102.
func powered(object string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "1.3.6.1.2.1.1.1.0|4|A switch\n1.3.6.1.2.1.1.2.0|6|%s\n1.3.6.1.2.1.1.5.0|4|sw\n", object)
	for i := range 2 {
		n := 101 + i
		fmt.Fprintf(&b, "1.3.6.1.2.1.2.2.1.2.%d|4|GigabitEthernet1/0/%d\n1.3.6.1.2.1.2.2.1.3.%d|2|6\n1.3.6.1.2.1.2.2.1.8.%d|2|1\n", n, i+1, n, n)
		fmt.Fprintf(&b, "1.3.6.1.2.1.31.1.1.1.1.%d|4|Gi1/0/%d\n1.3.6.1.2.1.17.1.4.1.2.%d|2|%d\n", n, i+1, i+1, n)
	}
	b.WriteString("1.3.6.1.2.1.105.1.3.1.1.2.1|66|370\n1.3.6.1.2.1.105.1.3.1.1.3.1|2|1\n1.3.6.1.2.1.105.1.3.1.1.4.1|66|16\n")
	b.WriteString(strings.Join(lines, "\n") + "\n")
	return b.String()
}

// TestPower: the watts of a port come to its interface, whichever way a maker names it, and to
// none where nobody knows.
func TestPower(t *testing.T) {
	t.Parallel()
	prober, err := identify.NewBuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, record string
		want         string
	}{
		{"a part of ENTITY-MIB", powered("1.3.6.1.4.1.9.1.1208",
			"1.3.6.1.2.1.47.1.1.1.1.5.1001|2|10", "1.3.6.1.2.1.47.1.1.1.1.7.1001|4|GigabitEthernet1/0/2",
			"1.3.6.1.4.1.9.9.402.1.2.1.9.1.2|66|15400", "1.3.6.1.4.1.9.9.402.1.2.1.11.1.2|2|1001"), "0 15.4"},
		{"an ifIndex", powered("1.3.6.1.4.1.1916.2.1", "1.3.6.1.4.1.1916.1.27.2.1.1.6.1.101|66|4700"), "4.7 0"},
		{"a port of the bridge", powered("1.3.6.1.4.1.11.2.3.7.11.1", "1.3.6.1.4.1.11.2.14.11.1.9.1.1.1.3.1.2|2|1800"), "0 1.8"},
		{"a column", powered("1.3.6.1.4.1.14988.1", "1.3.6.1.4.1.14988.1.1.15.1.1.1.5|2|102", "1.3.6.1.4.1.14988.1.1.15.1.1.6.5|2|65"), "0 6.5"},
		{"two groups", powered("1.3.6.1.4.1.11.2.3.7.11.1", "1.3.6.1.4.1.11.2.14.11.1.9.1.1.1.3.1.2|2|1800", "1.3.6.1.4.1.11.2.14.11.1.9.1.1.1.3.2.2|2|1900"), "0 0"},
		{"nonsense", powered("1.3.6.1.4.1.11.2.3.7.11.1", "1.3.6.1.4.1.11.2.14.11.1.9.1.1.1.3.1.2|2|2147483647"), "0 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, _, err := prober.Probe(t.Context(), snmptest.Load(t, tt.record))
			if err != nil || len(r.GetInterfaces()) != 2 {
				t.Fatalf("%v, %v", err, r)
			}
			if got := fmt.Sprint(r.GetInterfaces()[0].GetPoeWatts(), " ", r.GetInterfaces()[1].GetPoeWatts()); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if s := r.GetSensors(); len(s) != 2 || s[0].GetName() != "PoE consumption" || s[0].GetValue() != 16 || s[1].GetName() != "PoE budget" || s[1].GetValue() != 370 {
				t.Errorf("sensors %v", s)
			}
		})
	}
}
