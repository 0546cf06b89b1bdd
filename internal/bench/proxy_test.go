package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial/dialtest"
	"github.com/amoskys/amoskys/internal/identity"
)

// TestTargetIsDialledAsAllHubs: through the proxy of the environment.
func TestTargetIsDialledAsAllHubs(t *testing.T) {
	dialtest.NoProxy(t)
	p := dialtest.Start(t, dialtest.Options{Answer: "HTTP/1.1 403 Forbidden\r\n\r\n"})
	t.Setenv("HTTPS_PROXY", p.URL())
	home := config.Home(t.TempDir())
	if _, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	_, err := RunHub(t.Context(), HubOptions{
		Agents: 1, Batch: 10, Size: 400, InFlight: 1, Duration: time.Millisecond, Target: "hub.example:5000", Home: home,
	}, nil)
	if err == nil || !strings.Contains(err.Error(), "the proxy http://"+p.Addr) {
		t.Error(err)
	}
}
