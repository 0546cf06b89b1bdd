package snmp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// TestValueThatCannotBeRead: one value that is not well-formed is one value, and where an
// answer cannot be mended, since it is encrypted, it costs what stands behind it in its column.
func TestValueThatCannotBeRead(t *testing.T) {
	t.Parallel()
	const bad = "1.3.6.1.2.1.2.2.1.2.5"
	recording := strings.Replace(interfaces(12), bad+"|4|", bad+"|68x|9f7803000000\n1.3.6.1.2.1.2.2.1.2.5.1|4|", 1)
	user := snmp.Credential{Version: snmp.V3, User: "monitor", Auth: snmp.SHA256, AuthPassword: "authent1cation", Privacy: snmp.AES, PrivacyPassword: "pr1vacy pr1vacy"}
	for _, test := range []struct {
		name       string
		credential snmp.Credential
		least      int // of column 2
		whole      bool
	}{
		{"2c", snmp.Credential{Community: "public"}, 12, true},
		{"1", snmp.Credential{Version: snmp.V1, Community: "public"}, 12, true},
		{"3", user, 4, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := play.NewDevice("public", snmptest.Load(t, recording))
			d.Users = []snmp.Credential{user}
			_, at := snmptest.Start(t, d)
			c := open(t, at, func(target *snmp.Target) { target.Credential, target.Timeout = test.credential, time.Second })
			got := map[string]int{}
			err := c.WalkColumns(t.Context(), []string{"1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.2.2.1.10"}, func(v snmp.Variable) error {
				got[v.OID[:len("1.3.6.1.2.1.2.2.1.1")]]++
				if v.OID == bad && !v.Missing() {
					t.Errorf("it reads %+v", v)
				}
				return nil
			})
			if test.whole != (err == nil) || !test.whole && !errors.Is(err, snmp.ErrMalformed) {
				t.Errorf("walk: %v", err)
			}
			if got["1.3.6.1.2.1.2.2.1.2"] < test.least || got["1.3.6.1.2.1.2.2.1.1"] != 12 {
				t.Errorf("rows: %v", got)
			}
			if test.whole && c.Counts().Unreadable == 0 {
				t.Error("it is not counted")
			}
		})
	}
}
