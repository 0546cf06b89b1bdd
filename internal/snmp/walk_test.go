package snmp

import (
	"errors"
	"testing"

	"github.com/gosnmp/gosnmp"
)

// TestTablesThatGoBack: what follows and is not greater is a circle within the table, and where
// it is the same; what lies before the table is its end.
func TestTablesThatGoBack(t *testing.T) {
	t.Parallel()
	pdu := func(oid string) gosnmp.SnmpPDU {
		return gosnmp.SnmpPDU{Name: "." + oid, Type: gosnmp.Integer, Value: 1}
	}
	for name, tt := range map[string]struct {
		answers []string
		loop    bool
	}{
		"on, and over":          {[]string{"1.3.5.1", "1.3.6.1"}, false},
		"back to the beginning": {[]string{"1.3.5.1", "1.3.1"}, false},
		"back in the table":     {[]string{"1.3.5.2", "1.3.5.1"}, true},
		"the same":              {[]string{"1.3.5"}, true},
		"the same row":          {[]string{"1.3.5.1", "1.3.5.1"}, true},
		"nothing of it":         {[]string{"1.3.1"}, false},
	} {
		w := &walk{root: "1.3.5", last: "1.3.5", limits: Limits{}.withDefaults()}
		var err error
		for _, oid := range tt.answers {
			if err == nil {
				err = w.take([]gosnmp.SnmpPDU{pdu(oid)}, func(Variable) error { return nil })
			}
		}
		if errors.Is(err, ErrLoop) != tt.loop || !tt.loop && (err != nil || !w.done) {
			t.Errorf("%s: %v, done %t", name, err, w.done)
		}
	}
}
