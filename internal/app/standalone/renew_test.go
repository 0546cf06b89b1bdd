package standalone

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
)

// TestPrepareRenews: an up that is started when certificates are due renews them,
// and one without a CA key says that it cannot, and goes on.
func TestPrepareRenews(t *testing.T) {
	home := testHome(t)
	now := time.Now()
	e := &cli.Env{Home: home, Now: func() time.Time { return now }, Lookup: noLookup}
	var out bytes.Buffer
	if _, err := prepare(t.Context(), e, Options{}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"made 14 certificates", "password: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	out.Reset()
	if _, err := prepare(t.Context(), e, Options{}, &out); err != nil || out.Len() > 0 {
		t.Errorf("the second time: %v, printed %q", err, out.String())
	}
	now = now.Add(70 * 24 * time.Hour) // of 90 days
	if _, err := prepare(t.Context(), e, Options{}, &out); err != nil {
		t.Fatal(err)
	}
	if want := "renewed certificates: agent, dashboard, eventbus, node, operator\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}
