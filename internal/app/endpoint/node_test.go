package endpoint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/vfs"
)

// TestNodeName: a node is called what its certificate says, and a configuration
// that says otherwise is an error with both names.
func TestNodeName(t *testing.T) {
	e, _ := patient(t) // its certificates are of the host test
	for id, want := range map[string]string{"": "test", "test": "test", " TEST.": "test"} {
		cfg := node.DefaultConfig()
		cfg.Node.ID = id
		if got, err := NodeName(e, &cfg); err != nil || got != want {
			t.Errorf("node.id %q: %q, %v", id, got, err)
		}
	}
	cfg := node.DefaultConfig()
	cfg.Node.ID = "vm"
	_, err := NodeName(e, &cfg)
	for _, part := range []string{`node.id is "vm"`, `host "test"`, filepath.Join(e.Home.Certs(), "node.crt"), e.Home.NodeConfig()} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("another name: %v lacks %s", err, part)
		}
	}
	e.Home = config.Home(t.TempDir())
	cfg.Node.ID = ""
	if got, err := NodeName(e, &cfg); err != nil || got != agent.Machine().GetName() {
		t.Errorf("without a certificate: %q, %v", got, err)
	}
}

// TestOneNodeOfAHome: a second node would take the first one's agents from it, over
// and over.
func TestOneNodeOfAHome(t *testing.T) {
	e, _ := patient(t)
	if err := os.MkdirAll(e.Home.Data(), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := vfs.OS{}.Lock(filepath.Join(e.Home.Data(), "node.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	want := fmt.Sprintf("a node of %s runs already (process %d)", e.Home, os.Getpid())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := RunNode(ctx, e, NodeOptions{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v lacks %q", err, want)
	}
}

// TestObserving: the kinds that name other hosts are those whose events do.
func TestObserving(t *testing.T) {
	if got := strings.Join(Observing(), " "); got != "snmp scanner macos synth" {
		t.Errorf("observing kinds: %s", got)
	}
}
