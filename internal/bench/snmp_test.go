package bench

import (
	"bytes"
	"strings"
	"testing"
)

func TestSNMP(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{false, true} {
		r, err := RunSNMP(t.Context(), SNMPOptions{Devices: 3, Ports: 4, Cycles: 2, Workers: 2, PortsOnly: only})
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed > 0 || r.Variables < 6*22*4 || r.Requests == 0 || !r.Served {
			t.Errorf("got %+v", r)
		}
		var out bytes.Buffer
		if err := r.Write(&out); err != nil || !strings.HasPrefix(out.String(), "3 devices of 4 interfaces, 2 cycles") {
			t.Errorf("got %v\n%s", err, out.String())
		}
	}
	if _, err := RunSNMP(t.Context(), SNMPOptions{Devices: 1, Cycles: 1, Workers: 1, Target: "nowhere"}); err == nil {
		t.Error("nowhere was polled")
	}
}
