//go:build unix

package skew

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/agents/synth"
	"github.com/amoskys/amoskys/internal/event"
)

// loadVariable is how many events a second are published while a hub is upgraded, at the
// full size, where no agent may be red for more than redBar either.
const loadVariable = "AMOSKYS_TEST_UPGRADE"

const redBar = 10 * time.Second

// TestUpgradeUnderLoad ends the previous build's hub in order while an agent publishes,
// and starts this build's in its place, twice: forward, and from this build to itself, as
// later upgrades are. Every event that was made is in the log once and in its order, none
// that was acknowledged is missing, and the agent is green and heard again by itself.
func TestUpgradeUnderLoad(t *testing.T) {
	t.Parallel()
	before, now := Previous(t), Current(t)
	rate, full := 200, false
	if text := os.Getenv(loadVariable); text != "" {
		var err error
		if rate, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", loadVariable, err)
		}
		full = true
	}
	settled := uint64(rate / 2) // acknowledged before a hub is ended: half a second, or five
	if full {
		settled = uint64(5 * rate)
	}
	w := newWorld(t)
	port := freePort(t)
	const start = "2026-01-31T12:00:00Z" // the time of day decides the rate
	w.write("config/agents/mac_telemetry_config.yaml", fmt.Sprintf(
		"synthetic: {seed: 7, rate: %d, start_time: %q}\nagent: {stop_timeout_seconds: 60, health_interval_seconds: 1}\nhub: {port: %s}\nhttp: {port: %s}\n",
		rate, start, w.hub, port))
	w.run(before.Amoskys, "certs", "init")
	hub := w.startHub(before)
	node := w.start(now.Agent, "node", "--agents", "synth") // whose generator this test knows
	green := func() bool { return w.health(now)["synth_agent"] == "green" }
	w.until("the agent is green", green)
	seen, acked := uint64(0), func() uint64 { return w.acknowledged(port) }
	for range 2 {
		w.until("events come", func() bool { return acked() >= seen+settled })
		began := time.Now()
		hub.stop()
		hub = w.startHub(now)
		serves := time.Since(began)
		seen = acked() // what the old hub took; what it had not acknowledged comes again
		w.until("the agent is heard again", func() bool { return acked() > seen })
		heard := time.Since(began)
		w.until("the agent is green again", green)
		took := time.Since(began)
		t.Logf("at %d ev/s the hub serves again after %.1f s, events are acknowledged after %.1f s, the agent is green after %.1f s", rate,
			serves.Seconds(), heard.Seconds(), took.Seconds())
		if full && max(took, heard) > redBar {
			t.Errorf("the agent was not green, or not heard, for %s, at most %s", max(took, heard), redBar)
		}
		seen = acked()
	}
	w.until("events come after the last one", func() bool { return acked() >= seen+settled })
	seen = acked()
	node.stop()
	node.ended() // what it had spooled has arrived, or is on disk
	hub.stop()
	hub.ended()
	w.verify(now)
	hub = w.startHub(now)
	got := w.synthetic(now)
	// What the agent tells of itself is acknowledged, too.
	if own := w.count(now, "agent."); uint64(len(got)+own) < seen || len(got) == 0 {
		t.Fatalf("%d events of the generator and %d others were read, %d were acknowledged", len(got), own, seen)
	}
	at, err := time.Parse(time.RFC3339, start)
	if err != nil {
		t.Fatal(err)
	}
	cfg := synth.DefaultConfig("synth_agent").Synthetic
	cfg.Seed, cfg.Rate, cfg.StartTime = 7, float64(rate), start
	g := synth.NewGenerator(cfg, at)
	for i, id := range got {
		if want := event.IDString(g.Next().GetId()); id != want {
			t.Fatalf("event %d of %d is %s, want %s: one is lost, or came twice", i, len(got), id, want)
		}
	}
	t.Logf("%d events, each once; %d were acknowledged when the agent was told to stop", len(got), seen)
	hub.stop()
	hub.ended()
}

// health is the colour of each agent, as the hub tells a build's command.
func (w *world) health(p Programs) map[string]string {
	w.t.Helper()
	colours := map[string]string{}
	out, err := w.try(p.Amoskys, "agents", "list", "--json")
	if err != nil {
		return colours
	}
	for line := range strings.Lines(out) {
		var a struct {
			ID     string `json:"id"`
			Health string `json:"health"`
		}
		if json.Unmarshal([]byte(line), &a) == nil {
			colours[a.ID] = a.Health
		}
	}
	return colours
}

// acknowledged is how many events an agent knows to be safe, as it says on its port; 0
// where it does not answer.
func (w *world) acknowledged(port string) uint64 {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/status", http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var s struct {
		Acked uint64 `json:"events_acked_total"`
	}
	if json.NewDecoder(resp.Body).Decode(&s) != nil {
		return 0
	}
	return s.Acked
}

// synthetic are the ids of the generator's events in the log, in its order.
func (w *world) synthetic(p Programs) (ids []string) {
	w.t.Helper()
	out := w.run(p.Amoskys, "tail", "--all", "--no-follow", "--json")
	for line := range strings.Lines(out) {
		var e struct {
			Event struct {
				ID     string            `json:"id"`
				Labels map[string]string `json:"labels"`
			} `json:"event"`
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		if e.Event.Labels["synthetic"] == "true" {
			ids = append(ids, e.Event.ID)
		}
	}
	return ids
}
