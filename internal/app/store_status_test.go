package app

import (
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestWithFaults: what is told of a part that is well degrades nothing.
func TestWithFaults(t *testing.T) {
	t.Parallel()
	part := func(state, reason string) func() (string, string) {
		return func() (string, string) { return state, reason }
	}
	told, quiet, bad := part("ok", "rules: a.yml:5: no"), part("ok", ""), part("degraded", "metrics: away")
	for _, c := range []struct {
		parts         []func() (string, string)
		state, reason string
	}{
		{[]func() (string, string){quiet}, "ok", ""},
		{[]func() (string, string){quiet, told}, "ok", "rules: a.yml:5: no"},
		{[]func() (string, string){bad, told}, "degraded", "metrics: away; rules: a.yml:5: no"},
	} {
		if s := withFaults(&pb.StoreStatus{State: "ok"}, c.parts...); s.GetState() != c.state || s.GetReason() != c.reason {
			t.Errorf("%s %q, want %s %q", s.GetState(), s.GetReason(), c.state, c.reason)
		}
	}
}
