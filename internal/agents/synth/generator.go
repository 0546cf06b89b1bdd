package synth

import (
	"container/heap"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Generator makes events in the order of their times. It has no clock and no
// randomness but its seed: equal settings and start give equal events.
type Generator struct {
	rng     *rand.Rand
	cfg     Synthetic
	start   time.Time
	now     time.Time
	mood    float64 // logarithm of the random walk around the daily curve
	burst   time.Time
	fleet   *fleet
	ahead   timeline // events that were planned, such as the end of a flow
	counter uint64
	kind    string // of the agent, which the types of its findings name
}

// NewGenerator returns a generator whose first event is at or shortly after start.
func NewGenerator(cfg Synthetic, start time.Time) *Generator {
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x616d6f736b7973)) //nolint:gosec // repeatable on purpose
	start = start.UTC().Truncate(time.Microsecond)
	return &Generator{rng: rng, cfg: cfg, start: start, now: start, fleet: newFleet(rng, cfg.Hosts, start), kind: "synth"}
}

// Next returns the next event. It never ends. Events have every field that a hub
// asks for except agent; they belong to the caller.
func (g *Generator) Next() *pb.Event {
	for len(g.ahead) == 0 || g.ahead[0].at.After(g.now) {
		gap := g.gap()
		if len(g.ahead) > 0 && !g.now.Add(gap).Before(g.ahead[0].at) {
			// Ordinary work is Poisson, so its next event may be drawn anew.
			g.now = g.ahead[0].at
			break
		}
		g.now = g.now.Add(gap)
		g.ordinary()
	}
	planned, ok := heap.Pop(&g.ahead).(plannedEvent)
	if !ok {
		panic("synth: the timeline holds something else") // programmer error
	}
	g.finish(planned.ev, planned.at)
	return planned.ev
}

// at plans an event for a time after now.
func (g *Generator) at(after time.Duration, ev *pb.Event) {
	g.counter++
	heap.Push(&g.ahead, plannedEvent{at: g.now.Add(after).Truncate(time.Microsecond), order: g.counter, ev: ev})
}

// gap is the time to the next ordinary event: exponential, at a rate that follows
// the time of day, a random walk and bursts.
func (g *Generator) gap() time.Duration {
	rate := g.cfg.Rate * daily(g.now) * math.Exp(g.mood)
	if g.now.Before(g.burst) {
		rate *= burstFactor
	}
	// Each ordinary step makes about one and a half events.
	rate = max(rate/1.5, 1e-6)
	return time.Duration(min(g.rng.ExpFloat64()/rate, 3600) * float64(time.Second))
}

const (
	burstFactor = 8
	burstLength = 20 * time.Second
	// moodStep and moodPull make the walk wander by a third and come back.
	moodStep = 0.05
	moodPull = 0.02
)

// daily is the share of a day's mean rate at a time: quiet at 3, busy at 15 o'clock.
func daily(t time.Time) float64 {
	hour := float64(t.Hour()) + float64(t.Minute())/60
	return 1 - 0.7*math.Cos((hour-3)/24*2*math.Pi)
}

// ordinary plans one step of daily work, and now and then a burst or an incident.
func (g *Generator) ordinary() {
	g.mood += g.rng.NormFloat64()*moodStep - g.mood*moodPull
	perStep := 1 / (g.cfg.Rate * 3600 / 1.5) // hours that a step stands for
	if g.rng.Float64() < g.cfg.BurstsHourly*perStep {
		g.burst = g.now.Add(burstLength)
	}
	if g.rng.Float64() < g.cfg.AnomaliesHourly*perStep {
		g.incident()
	}
	switch n := g.rng.IntN(100); {
	case n < 30:
		g.work()
	case n < 60:
		g.connection()
	case n < 75:
		g.flow()
	case n < 88:
		g.file()
	case n < 98:
		g.login()
	default:
		g.device()
	}
}

// finish gives an event its id, time and marks.
func (g *Generator) finish(ev *pb.Event, at time.Time) {
	ev.Id = g.id(at)
	ev.Time = timestamppb.New(at)
	if ev.GetSeverity() == pb.Severity_SEVERITY_UNSPECIFIED {
		ev.Severity = pb.Severity_SEVERITY_INFORMATIONAL
	}
	if ev.GetLabels() == nil {
		ev.Labels = map[string]string{}
	}
	ev.Labels["synthetic"] = "true"
}

// id is a UUIDv7 (RFC 9562 section 5.7) of the event's time and the generator's
// randomness.
func (g *Generator) id(at time.Time) []byte {
	var b [16]byte
	ms := uint64(max(at.UnixMilli(), 0))
	binary.BigEndian.PutUint64(b[:], ms<<16|g.rng.Uint64()&0x0fff|0x7000)
	binary.BigEndian.PutUint64(b[8:], g.rng.Uint64()>>2|1<<63)
	return b[:]
}

// plannedEvent waits for its time.
type plannedEvent struct {
	at    time.Time
	order uint64 // of planning, which decides between equal times
	ev    *pb.Event
}

// timeline is a heap of planned events.
type timeline []plannedEvent

// Len implements heap.Interface.
func (t timeline) Len() int { return len(t) }

// Less implements heap.Interface.
func (t timeline) Less(i, j int) bool {
	if !t[i].at.Equal(t[j].at) {
		return t[i].at.Before(t[j].at)
	}
	return t[i].order < t[j].order
}

// Swap implements heap.Interface.
func (t timeline) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push implements heap.Interface.
func (t *timeline) Push(x any) {
	if p, ok := x.(plannedEvent); ok {
		*t = append(*t, p)
	}
}

// Pop implements heap.Interface.
func (t *timeline) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = plannedEvent{}
	*t = old[:len(old)-1]
	return last
}
