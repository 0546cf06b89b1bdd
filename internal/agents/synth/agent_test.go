package synth

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestConformance(t *testing.T) {
	for _, d := range []agent.Definition{Definition(), MacDefinition()} {
		t.Run(d.Kind, func(t *testing.T) {
			agenttest.Suite{
				Definition: d,
				Config:     "agent: {interval_seconds: 0.1}\nsynthetic: {enabled: true, rate: 2000}\n",
				Types: []string{
					event.TypeProcessExecution, event.TypeNetworkConnection, event.TypeFileModify,
					event.TypeAuthAttempt, event.TypeFlowCreated, event.TypeDeviceDiscovered,
				},
				Metrics:        []string{"amoskys_synth_events_total"},
				NothingOutside: "it makes everything up",
			}.Run(t)
		})
	}
}

func TestTemplateIsTheDefaultOfBoth(t *testing.T) {
	for _, id := range []string{synthID, macID} {
		got, want := DefaultConfig(id), DefaultConfig(id)
		if err := config.Decode("template", ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
}

func TestMacNeedsSynthetic(t *testing.T) {
	loaded, err := MacDefinition().Load(t.TempDir()+"/none.yaml", config.DecodeOptions{Env: config.NoEnv})
	if err != nil {
		t.Fatal(err)
	}
	_, err = loaded.New(agent.Options{Kind: "macos"})
	if err == nil || !strings.Contains(err.Error(), "--synthetic") {
		t.Errorf("error %v", err)
	}
}

var start = time.Date(2026, 1, 31, 14, 0, 0, 0, time.UTC)

func busy() Synthetic {
	cfg := DefaultConfig(synthID).Synthetic
	cfg.Rate, cfg.AnomaliesHourly = 50, 600
	return cfg
}

// run generates n events.
func run(cfg Synthetic, n int) []*pb.Event {
	g := NewGenerator(cfg, start)
	out := make([]*pb.Event, n)
	for i := range out {
		out[i] = g.Next()
	}
	return out
}

func encode(t *testing.T, events []*pb.Event) []byte {
	t.Helper()
	var all []byte
	for _, ev := range events {
		b, err := event.Encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := event.Inspect(b); err != nil {
			t.Fatalf("%v: %v", ev, err)
		}
		all = append(all, b...)
	}
	return all
}

func TestSameSeedSameBytes(t *testing.T) {
	a, b := encode(t, run(busy(), 5000)), encode(t, run(busy(), 5000))
	if !bytes.Equal(a, b) {
		t.Error("two runs with one seed differ")
	}
	other := busy()
	other.Seed++
	if bytes.Equal(a, encode(t, run(other, 5000))) {
		t.Error("another seed gives the same events")
	}
}

func TestEventsAreOrderedUniqueAndMarked(t *testing.T) {
	ids, types, anomalies := map[string]bool{}, map[string]int{}, map[string]int{}
	last := time.Time{}
	for _, ev := range run(busy(), 50_000) {
		if at := ev.GetTime().AsTime(); at.Before(last) || at.Before(start) {
			t.Fatalf("%v comes after %v", at, last)
		} else {
			last = at
		}
		id := hex.EncodeToString(ev.GetId())
		if ids[id] {
			t.Fatalf("id %s is used twice", id)
		}
		ids[id] = true
		if id[12] != '7' || !strings.ContainsRune("89ab", rune(id[16])) {
			t.Fatalf("id %s is no UUIDv7", id)
		}
		if ev.GetLabels()["synthetic"] != "true" || ev.GetHost().GetName() == "" {
			t.Fatalf("unmarked event %v", ev)
		}
		types[ev.GetType()]++
		anomalies[ev.GetLabels()["anomaly"]]++
	}
	for _, typ := range []string{
		event.TypeProcessExecution, event.TypeProcessExit, event.TypeNetworkConnection, event.TypeFlowCreated, event.TypeFlowUpdated, event.TypeFlowEnded,
		"finding.synth.port_scan", "finding.synth.exfiltration",
		event.TypeFileModify, event.TypeFileCreate, event.TypeFileDelete, event.TypeAuthAttempt, event.TypeDeviceDiscovered,
	} {
		if types[typ] == 0 {
			t.Errorf("no %s among %v", typ, types)
		}
	}
	if len(anomalies) != 7 {
		t.Errorf("incidents %v, want all six", anomalies)
	}
}

// TestNothingLooksReal checks every address and name that appears anywhere.
func TestNothingLooksReal(t *testing.T) {
	reserved := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32"),
	}
	v4 := regexp.MustCompile(`\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b`)
	v6 := regexp.MustCompile(`^[0-9a-f]+:[0-9a-f:]+$`)
	mac := regexp.MustCompile(`^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$`)
	domain := regexp.MustCompile(`[a-z0-9-]+\.(?:com|net|org|io)\b`)
	texts := map[string]bool{}
	for _, ev := range run(busy(), 20_000) {
		collect(ev.ProtoReflect(), texts)
	}
	for text := range texts {
		if mac.MatchString(text) {
			if !strings.HasPrefix(text, "00:00:5e:00:53:") {
				t.Errorf("hardware address %s", text)
			}
			continue
		}
		found := v4.FindAllString(text, -1)
		if v6.MatchString(text) {
			found = append(found, text)
		}
		for _, s := range found {
			addr, err := netip.ParseAddr(s)
			if err != nil || !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(addr) }) {
				t.Errorf("address %s in %q", s, text)
			}
		}
		for _, d := range domain.FindAllString(text, -1) {
			if !strings.HasPrefix(d, "example.") {
				t.Errorf("domain %s in %q", d, text)
			}
		}
	}
}

// collect adds every text in m.
func collect(m protoreflect.Message, into map[string]bool) {
	one := func(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
		if fd.Kind() == protoreflect.StringKind {
			into[v.String()] = true
		} else if fd.Kind() == protoreflect.MessageKind {
			collect(v.Message(), into)
		}
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap(): // labels, which the test of marks looks at
		case fd.IsList():
			for i := range v.List().Len() {
				one(fd, v.List().Get(i))
			}
		default:
			one(fd, v)
		}
		return true
	})
}

func TestRateOverADay(t *testing.T) {
	cfg := DefaultConfig(synthID).Synthetic
	cfg.Rate, cfg.AnomaliesHourly, cfg.BurstsHourly = 1, 0, 0
	g := NewGenerator(cfg, start)
	day, night, n := 0, 0, 0
	for {
		ev := g.Next()
		at := ev.GetTime().AsTime()
		if at.After(start.Add(24 * time.Hour)) {
			break
		}
		n++
		switch h := at.Hour(); {
		case h >= 13 && h < 17:
			day++
		case h >= 1 && h < 5:
			night++
		}
	}
	if mean := float64(n) / 86400; mean < 0.7 || mean > 1.4 {
		t.Errorf("%.1f events a second over a day, want about 1", mean)
	}
	if day < 3*night {
		t.Errorf("%d events in the afternoon, %d at night", day, night)
	}
}

func TestDurationEndsTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig(synthID).Synthetic
		cfg.DurationSeconds, cfg.StartTime = 60, "2026-01-31T14:00:00Z"
		var runs [2][]byte
		for i := range runs {
			recorder := agenttest.NewRecorder()
			a, err := New(cfg, agent.Options{
				Registerer: prometheus.NewRegistry(), Publisher: recorder, Interval: time.Second, Logger: obs.Discard(),
			})
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := a.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < time.Minute || took > 63*time.Second {
				t.Errorf("ran for %v", took)
			}
			events := recorder.Events()
			if len(events) < 50 {
				t.Errorf("%d events in a minute", len(events))
			}
			runs[i] = encode(t, events)
		}
		if !bytes.Equal(runs[0], runs[1]) {
			t.Error("two runs of the agent differ")
		}
	})
}

// TestCommunityID holds it against the baseline of the specification
// (github.com/corelight/community-id-spec, baseline_deflt.json).
func TestCommunityID(t *testing.T) {
	a, b := &pb.Endpoint{Ip: "128.232.110.120", Port: 34855}, &pb.Endpoint{Ip: "66.35.250.204", Port: 80}
	const want = "1:LQU9qZlK+B5F3KDmev6m5PMibrg="
	if got := communityID(a, b, 6); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := communityID(b, a, 6); got != want {
		t.Errorf("the other way round %s, want %s", got, want)
	}
	if got := communityID(a, &pb.Endpoint{}, 6); got != "" {
		t.Errorf("without an address %s", got)
	}
}
