package place

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// vlanSwitch is a switch that lists its VLANs and shows the table of VLAN 1 alone.
const vlanSwitch = `1.3.6.1.2.1.17.1.1.0|4x|00005e000100
1.3.6.1.2.1.17.1.4.1.2.1|2|101
1.3.6.1.2.1.17.4.3.1.2.0.0.94.0.0.1|2|1
1.3.6.1.4.1.9.9.46.1.3.1.1.2.1.1|2|1
1.3.6.1.4.1.9.9.46.1.3.1.1.2.1.10|2|1
1.3.6.1.4.1.9.9.46.1.3.1.1.2.1.20|2|1
1.3.6.1.4.1.9.9.46.1.3.1.1.2.1.30|2|1
1.3.6.1.4.1.9.9.46.1.3.1.1.2.1.40|2|2
1.3.6.1.4.1.9.9.46.1.3.1.1.2.1.1002|2|1
`

// inside is the table of one VLAN: a MAC of its number at its own port of the bridge.
func inside(vlan int) string {
	return fmt.Sprintf("1.3.6.1.2.1.17.1.4.1.2.%d|2|%d\n1.3.6.1.2.1.17.4.3.1.2.0.0.94.0.0.%d|2|%d\n1.3.6.1.2.1.17.4.3.1.3.0.0.94.0.0.%d|2|3\n",
		vlan, 100+vlan, vlan, vlan, vlan)
}

// mute is a device that answers nothing.
type mute struct{}

func (mute) Get(context.Context, ...string) ([]snmp.Variable, error) { return nil, snmp.ErrTimeout }
func (mute) Walk(context.Context, string, func(snmp.Variable) error) error {
	return snmp.ErrTimeout
}

// TestTablesOfVLANs: a switch of Cisco's kind is asked for each VLAN's table; one that does
// not answer costs itself, and two in a row end it.
func TestTablesOfVLANs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		silent []uint16
		asked  string
		want   string
		faults int
	}{
		{"all", nil, "1 10 20 30", "1@101 10@110 20@120 30@130", 0},
		{"one is silent", []uint16{10}, "1 10 20 30", "1@101 20@120 30@130", 1},
		{"it knows no VLANs", []uint16{1, 10}, "1 10", "0@101", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			closed := 0
			got := Read(t.Context(), snmptest.Load(t, vlanSwitch), func(vlan uint16) (snmp.Getter, func(), error) {
				asked = append(asked, fmt.Sprint(vlan))
				if slices.Contains(tt.silent, vlan) {
					return mute{}, func() { closed++ }, nil
				}
				return snmptest.Load(t, inside(int(vlan))), func() { closed++ }, nil
			})
			var found []string
			for _, e := range got.Forwards {
				found = append(found, fmt.Sprintf("%d@%d", e.VLAN, e.Port))
			}
			if strings.Join(asked, " ") != tt.asked || strings.Join(found, " ") != tt.want || len(got.Faults) != tt.faults || closed != len(asked) {
				t.Errorf("asked %v, found %v, faults %q, %d closed", asked, found, got.Faults, closed)
			}
		})
	}
	got := Read(t.Context(), snmptest.Load(t, vlanSwitch), func(uint16) (snmp.Getter, func(), error) { return nil, nil, errors.New("no more") })
	if len(got.Forwards) != 1 || len(got.Faults) != 1 {
		t.Errorf("without a way in: %+v", got)
	}
}
