package agent

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// watchInterval is how often the runtime looks after spool and connection.
	watchInterval = 5 * time.Second
	// hubGrace is how long the hub may be away before the agent is degraded.
	hubGrace = 10 * time.Second
	// lossMemory is how long lost events keep an agent degraded.
	lossMemory = time.Minute
)

// stateKeeper holds the lifecycle and the standing faults.
type stateKeeper struct {
	mu     sync.Mutex
	phase  string
	faults map[string]string
}

func (k *stateKeeper) set(phase string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.phase = phase
}

// condition implements Options.Condition.
func (k *stateKeeper) condition(name string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		delete(k.faults, name)
		return
	}
	if k.faults == nil {
		k.faults = map[string]string{}
	}
	k.faults[name] = err.Error()
}

// read returns the state and what is wrong, ordered by name.
func (k *stateKeeper) read() (state string, reasons []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(k.faults)) {
		reasons = append(reasons, name+": "+k.faults[name])
	}
	if k.phase == "running" && len(reasons) > 0 {
		return "degraded", reasons
	}
	return k.phase, reasons
}

// health answers /healthz: degraded still works, so it is OK and says why.
func (r *runner) health(context.Context) obs.Health {
	state, reasons := r.state.read()
	return obs.Health{OK: state == "running" || state == "degraded", State: state, Reasons: reasons}
}

func (r *runner) status(ctx context.Context) Status {
	now := r.now()
	state, reasons := r.state.read()
	total, last, rate := r.meter.read(now)
	sp, up := r.spool.Stats(), r.uplink.State()
	cpu, rss := r.usage.read(now)
	return Status{
		ID: r.common.ID, Kind: r.o.Definition.Kind, Host: r.host.GetName(), Version: obs.ReadBuild().Version,
		State: state, Detail: strings.Join(reasons, "; "),
		PID: os.Getpid(), Port: r.port, Health: r.health(ctx), StartedTime: r.started.UTC(), LastEventTime: optional(last),
		EventsTotal: total, EventsPerSecond: rate, EventsAcked: sp.Acked,
		EventsDropped: sp.Dropped(), EventsRefused: up.RefusedTotal(),
		SpoolBytes: sp.Bytes, SpoolEvents: sp.Events,
		Hub:        HubStatus{Addr: up.Addr, Connected: up.Connected, Since: optional(up.Since), LastError: up.LastError},
		CPUPercent: cpu, RSSBytes: rss,
	}
}

// report publishes agent.health at the start and each interval, and looks after
// the conditions of spool and hub, until ctx ends.
func (r *runner) report(ctx context.Context) error {
	r.reportHealth(ctx)
	watch := time.NewTicker(watchInterval)
	defer watch.Stop()
	health := time.NewTicker(seconds(r.common.HealthIntervalSeconds))
	defer health.Stop()
	w := watcher{r: r}
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-watch.C:
			if w.look(now) {
				r.reportHealth(ctx)
			}
		case <-health.C:
			r.reportHealth(ctx)
		}
	}
}

// watcher turns what spool and connection count into conditions and log lines.
type watcher struct {
	r       *runner
	dropped uint64
	lost    time.Time // when events were last lost
	logged  time.Time
	state   string
}

// look reports whether the agent's state changed.
func (w *watcher) look(now time.Time) bool {
	sp, up := w.r.spool.Stats(), w.r.uplink.State()
	if sp.Dropped() > w.dropped {
		w.lost = now
		if now.Sub(w.logged) >= time.Minute {
			w.logged = now
			w.r.log.Error("events are lost", obs.KeyDropped, sp.Dropped(), "full", sp.DroppedFull,
				"disk", sp.DroppedDisk, "damaged", sp.DamagedEvents, obs.KeyError, sp.LastError)
		}
		w.dropped = sp.Dropped()
	}
	w.r.state.condition("spool", spoolFault(sp.LastError, !w.lost.IsZero() && now.Sub(w.lost) < lossMemory, w.dropped))
	w.r.state.condition("hub", hubFault(up, now))
	state, _ := w.r.state.read()
	changed := w.state != "" && w.state != state
	w.state = state
	return changed
}

// reportHealth publishes one agent.health event.
func (r *runner) reportHealth(ctx context.Context) {
	s := r.status(ctx)
	ev := &pb.Event{
		Type: event.TypeAgentHealth,
		Body: &pb.Event_AgentHealth{AgentHealth: &pb.AgentHealth{
			State: stateOf(s.State), Detail: s.Detail, Uptime: durationpb.New(r.now().Sub(r.started)),
			EventsTotal: s.EventsTotal, EventsDroppedTotal: s.EventsDropped,
			SpoolBytes: uint64(s.SpoolBytes), SpoolEvents: s.SpoolEvents,
			CpuPercent: s.CPUPercent, RssBytes: s.RSSBytes, ErrorsTotal: s.EventsDropped + s.EventsRefused,
		}},
	}
	if s.State == "degraded" {
		ev.Severity = pb.Severity_SEVERITY_LOW
	}
	if err := r.publish.publish(ev); err != nil {
		r.log.Error("agent health not published", obs.KeyError, err)
	}
}

func stateOf(s string) pb.AgentState {
	switch s {
	case "starting":
		return pb.AgentState_AGENT_STATE_STARTING
	case "running":
		return pb.AgentState_AGENT_STATE_RUNNING
	case "degraded":
		return pb.AgentState_AGENT_STATE_DEGRADED
	case "stopping":
		return pb.AgentState_AGENT_STATE_STOPPING
	default:
		return pb.AgentState_AGENT_STATE_UNKNOWN
	}
}
