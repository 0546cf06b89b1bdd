package flow

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/geo"
	"github.com/amoskys/amoskys/internal/flow/geo/geotest"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/obs"
)

// pings gives datagrams of two flows in turn, then nothing, which it tells once.
type pings struct {
	left int
	done chan struct{}
}

func (p *pings) Next(f *packet.Frame) error {
	if p.left--; p.left < 0 {
		if p.left == -1 {
			close(p.done)
		}
		return capture.ErrQuiet
	}
	b := make([]byte, 60)
	copy(b[12:], []byte{0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 16, byte(p.left % 2), 0, 53, 0, 26})
	*f = packet.Frame{Time: time.Now().UnixNano(), Data: b, Wire: 60, Link: packet.LinkEthernet}
	return nil
}
func (p *pings) Stats() capture.Stats { return capture.Stats{} }
func (p *pings) Close() error         { return nil }

// newKeeper is an agent with these packets settings that captures from source.
func newKeeper(t *testing.T, p Packets, dataDir string, source capture.Source) (*Agent, *agenttest.Recorder) {
	t.Helper()
	told := agenttest.NewRecorder()
	cfg := DefaultConfig()
	cfg.Packets, cfg.Capture.Interface = p, loopback(t)
	cfg.Geo = geo.Config{CityOrCountryDB: "country.mmdb", ASNDB: "asn.mmdb"}
	a, err := New(cfg, agent.Options{
		ID: defaultID, Host: "h", HostID: "h", Interval: time.Minute, Logger: obs.Discard(), DataDir: dataDir,
		Home: config.Home(dataDir), Registerer: prometheus.NewRegistry(), Publisher: told, Condition: func(name string, err error) {
			if err != nil && name == conditionGeo && !strings.Contains(err.Error(), "asn.mmdb: no such file") {
				t.Errorf("%s: %v", name, err)
			}
		},
		Now: time.Now, Note: func(string, string) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.helm.open = func(capture.Options) ([]capture.Source, error) { return []capture.Source{source}, nil }
	return a, told
}

func ask(t *testing.T, a *Agent, given map[string]string) (file []byte, said string, err error) {
	t.Helper()
	values, err := tasks()[0].Parse(given)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = a.RunTask(t.Context(), task.NewCall(taskSave, values, &out, func(p task.Progress) { said = p.Text }))
	return out.Bytes(), said, err
}

// TestSavesPackets: what was captured is there after the agent's end, by Community ID
// and by its ends, until the ring is switched off.
func TestSavesPackets(t *testing.T) {
	dir := t.TempDir()
	countries := geotest.Database("Country", time.Now(), geotest.Entry{Network: "192.0.2.2/32", Country: "NL"})
	if err := os.WriteFile(filepath.Join(dir, "country.mmdb"), countries, 0o600); err != nil {
		t.Fatal(err)
	}
	source := &pings{left: 10, done: make(chan struct{})}
	a, told := newKeeper(t, Packets{RingMB: 4, SnapLength: 50}, dir, source)
	if why := a.TaskUnavailable(taskSave); why != "" {
		t.Errorf("unavailable: %q", why)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-source.done
		cancel()
	}()
	if err := a.Run(ctx); err != nil {
		t.Fatal(err)
	}
	flow := told.Events()[0].GetNetwork().GetCommunityId() // as it is told, so it is found
	if n := told.Events()[0].GetNetwork(); n.GetDstEndpoint().GetCountry() != "NL" || n.GetSrcEndpoint().GetCountry() != "" {
		t.Errorf("it is in %q and %q", n.GetSrcEndpoint().GetCountry(), n.GetDstEndpoint().GetCountry())
	}
	ends := map[string]string{"address": "192.0.2.2", "port": "53", "peer": "192.0.2.1", "peer_port": "4097", "protocol": "udp"}
	for name, given := range map[string]map[string]string{
		"its ends":     ends,
		"community id": {"community_id": flow},
		"an address":   {"address": "192.0.2.1"},
		"a later time": {"address": "192.0.2.1", "since": time.Now().Add(time.Hour).Format(time.RFC3339)},
	} {
		file, said, err := ask(t, a, given)
		want := map[string]int{"an address": 10, "a later time": 0}[name]
		if name == "its ends" || name == "community id" {
			want = 5
		}
		switch {
		case want == 0:
			if err == nil || !strings.Contains(err.Error(), "has no packet of it") || len(file) != 0 {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || len(file) != 24+want*(16+50):
			t.Errorf("%s: %d bytes, %v", name, len(file), err)
		case !strings.Contains(said, "packets from") || !strings.Contains(said, "beginning only"):
			t.Errorf("%s: says %q", name, said)
		}
	}
	for _, wrong := range []map[string]string{{}, {"address": "example.com"}, {"address": "::1", "since": "yesterday"}, {"port": "53"}} {
		if _, _, err := ask(t, a, wrong); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
	off, _ := newKeeper(t, Packets{SnapLength: 50}, dir, source)
	if _, _, err := ask(t, off, ends); err == nil || off.TaskUnavailable(taskSave) != err.Error() || !strings.Contains(err.Error(), "packets.ring_mb") {
		t.Errorf("without a ring: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "packets")); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestRingThatMoved: packets stay nowhere that the configuration does not name.
func TestRingThatMoved(t *testing.T) {
	dir := t.TempDir()
	country := geotest.Database("Country", time.Now(), geotest.Entry{Network: "192.0.2.2/32", Country: "NL"})
	if err := os.WriteFile(filepath.Join(dir, "country.mmdb"), country, 0o600); err != nil {
		t.Fatal(err)
	}
	left := func(at string) int {
		entries, err := os.ReadDir(filepath.Join(dir, at))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return len(entries)
	}
	places := []struct{ path, dir string }{{"", "packets"}, {"one", "one/" + defaultID}, {"two", "two/" + defaultID}, {"", "packets"}}
	for i, place := range places {
		source := &pings{left: 10, done: make(chan struct{})}
		a, _ := newKeeper(t, Packets{RingMB: 4, SnapLength: 50, Path: place.path}, dir, source)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-source.done
			cancel()
		}()
		if err := a.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if left(place.dir) == 0 {
			t.Errorf("nothing is kept in %s", place.dir)
		}
		if i > 0 && left(places[i-1].dir) != 0 {
			t.Errorf("packets stay in %s", places[i-1].dir)
		}
	}
	newKeeper(t, Packets{SnapLength: 50, Path: "three"}, dir, &pings{})
	for _, place := range places {
		if left(place.dir) != 0 {
			t.Errorf("packets stay in %s", place.dir)
		}
	}
}
