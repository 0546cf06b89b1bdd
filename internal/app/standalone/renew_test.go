package standalone

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
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
	for _, want := range []string{"made 16 certificates", "password: "} {
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
	if want := "renewed certificates: agent, dashboard, eventbus, node, operator, store\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

// TestNodeRenewsItsOwn: while up runs, it leaves to the node what the node renews
// over the hub, and takes it up only when the hub lets it in no more.
func TestNodeRenewsItsOwn(t *testing.T) {
	home := testHome(t)
	now := time.Now()
	e := &cli.Env{Home: home, Now: func() time.Time { return now }, Lookup: noLookup}
	if _, err := prepare(t.Context(), e, Options{}, io.Discard); err != nil {
		t.Fatal(err)
	}
	all := []string{"agent", "dashboard", "eventbus", "node", "operator"}
	now = now.Add(70 * 24 * time.Hour) // of 90 days
	if got := withoutHosts(e, all); !slices.Equal(got, []string{"dashboard", "eventbus", "operator"}) {
		t.Errorf("due: %q", got)
	}
	now = now.Add(30 * 24 * time.Hour)
	if got := withoutHosts(e, all); !slices.Equal(got, all) {
		t.Errorf("expired: %q", got)
	}
}

// TestPrepareRenewsForNewKinds: an agent.crt that is older than a kind of agent
// that watches others is renewed at the next start, and nothing else is.
func TestPrepareRenewsForNewKinds(t *testing.T) {
	home := testHome(t)
	e := &cli.Env{Home: home, Now: time.Now, Lookup: noLookup}
	if _, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{Host: "vm", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p, err := prepare(t.Context(), e, Options{}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "renewed certificates: agent\n") || p.host() != "vm" {
		t.Errorf("host %q, printed %q", p.host(), out.String())
	}
	holder, err := identity.ReadHolder(identity.FilesFor(home.Certs(), "agent").Cert)
	if err != nil || !slices.Equal(holder.Observes, slices.Sorted(slices.Values(endpoint.Observing()))) || holder.ID.Host() != "vm" {
		t.Errorf("certificate of %+v, %v", holder, err)
	}
}
