package agent

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/agent/uplink"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// watchInterval is how often the runtime looks after spool and connection.
	watchInterval = 5 * time.Second
	// hubGrace is how long the hub may be away before the agent is degraded.
	hubGrace = 10 * time.Second
	// hostInterval is how often the machine's addresses are read again.
	hostInterval = 30 * time.Second
	// lossMemory is how long lost events keep an agent degraded.
	lossMemory = time.Minute
	// damageMemory is how long a damaged spool does: a disk that damages files is for a
	// person to look at, who may be asleep.
	damageMemory = 24 * time.Hour
)

// stateKeeper holds the lifecycle and the standing faults.
type stateKeeper struct {
	mu     sync.Mutex
	phase  string
	faults map[string]string
	notes  map[string]string
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
	k.faults[name] = plain(err.Error())
}

// note implements Options.Note.
func (k *stateKeeper) note(name, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if text == "" {
		delete(k.notes, name)
		return
	}
	if k.notes == nil {
		k.notes = map[string]string{}
	}
	k.notes[name] = plain(text)
}

// remarks returns what the agent says of what it does, ordered by name.
func (k *stateKeeper) remarks() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.notes) == 0 {
		return nil
	}
	all := make([]string, 0, len(k.notes))
	for _, name := range slices.Sorted(maps.Keys(k.notes)) {
		all = append(all, name+": "+k.notes[name])
	}
	return all
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
	drops, notes := r.dropsByReason(), r.state.remarks()
	return Status{
		ID: r.common.ID, Kind: r.o.Definition.Kind, Host: r.host.GetName(), Home: string(r.o.Home), Version: obs.ReadBuild().Version,
		State: state, Detail: strings.Join(slices.Concat(reasons, notes), "; "), Notes: notes,
		PID: os.Getpid(), Port: r.port, Health: r.health(ctx), StartedTime: Since(r.started, now, now.Sub(r.started)), LastEventTime: optional(last),
		EventsTotal: total, EventsPerSecond: rate, EventsAcked: sp.Acked,
		EventsDropped: dropTotal(drops), DropsByReason: drops, EventsRefused: up.RefusedTotal(),
		SpoolBytes: sp.Bytes, SpoolEvents: sp.Events, PackedRatio: packedRatio(sp),
		Hub:        hubStatus(up),
		CPUPercent: cpu, RSSBytes: rss,
	}
}

// packedRatio is how many times smaller packing made batches, to a tenth; 0 before the
// first.
func packedRatio(sp spool.Stats) float64 {
	if sp.PackedBytes == 0 {
		return 0
	}
	return math.Round(10*float64(sp.SealedBytes)/float64(sp.PackedBytes)) / 10
}

func hubStatus(up uplink.State) HubStatus {
	h := HubStatus{Addr: up.Addr, Proxy: up.Via, Connected: up.Connected, Since: optional(up.Since), LastError: up.LastError}
	if up.Connected {
		h.Codec = up.Codec.String()
	}
	return h
}

// Since is when something was that is so long ago now, by the wall clock as it is now:
// the clock may have been set since it was read first, as on a machine that learns the
// time from the network. first stands while the two agree.
func Since(first, now time.Time, ago time.Duration) time.Time {
	const slewed = time.Second
	at := now.Round(0).Add(-ago)
	if d := at.Sub(first.Round(0)); d < slewed && d > -slewed {
		return first.UTC()
	}
	return at.Round(time.Second).UTC()
}

// report publishes agent.health at the start and each interval, and looks after
// the conditions of spool and hub, until ctx ends.
func (r *runner) report(ctx context.Context) error {
	w := watcher{r: r}
	w.look(r.now())
	r.reportHealth(ctx)
	watch := time.NewTicker(watchInterval)
	defer watch.Stop()
	health := time.NewTicker(seconds(r.common.HealthIntervalSeconds))
	defer health.Stop()
	w.lookAtCertificate()
	looks := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-watch.C:
			if w.look(now) {
				r.reportHealth(ctx)
			}
			if looks++; looks == programAfter {
				debug.FreeOSMemory()
				letProgramGo()
			}
		case <-health.C:
			r.reportHealth(ctx)
		}
	}
}

// watcher turns what spool and connection count into conditions and log lines.
type watcher struct {
	r       *runner
	dropped uint64    // by the spool
	lost    time.Time // when events were last lost there
	unfit   uint64    // events that could not be encoded
	bad     time.Time // when there was last one
	damage  damage
	damaged time.Time // when damage was last found
	logged  time.Time
	told    time.Time // of events that could not be encoded
	state   string
	// unlicensed is set while the certificate lacks what this kind of agent needs.
	unlicensed bool
	host       time.Time // when the machine was last looked at
}

// lookAtHost notes what has changed of the machine that events name.
func (w *watcher) lookAtHost(now time.Time) {
	if now.Sub(w.host) < hostInterval {
		return
	}
	w.host = now
	h := &w.r.publish.host
	h.Store(current(h.Load(), hostIPs(), osVersion()))
}

// damage is what tells one state of damage from another.
type damage struct {
	events uint64
	bytes  int64
	more   bool
}

func spoolDamage(sp spool.Stats) damage {
	return damage{sp.DamagedEvents, sp.DamagedBytes, sp.AtLeast}
}

// lookAtCertificate keeps the condition about what the certificate allows.
func (w *watcher) lookAtCertificate() {
	err := w.r.observing()
	if err != nil && !w.unlicensed {
		w.r.log.Error("certificate does not allow this agent's events", obs.KeyError, err)
	}
	w.unlicensed = err != nil
	w.r.state.condition("certificate", err)
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
	w.lookAtHost(now)
	w.r.state.condition("spool", spoolFault(sp, !w.lost.IsZero() && now.Sub(w.lost) < lossMemory))
	if damage := spoolDamage(sp); damage != w.damage {
		w.damage, w.damaged = damage, now
	}
	if w.damaged.IsZero() || now.Sub(w.damaged) >= damageMemory {
		w.r.state.condition("damage", nil)
	} else {
		w.r.state.condition("damage", damageFault(sp))
	}
	w.r.state.condition("events", w.unfitFault(now))
	w.r.state.condition("hub", hubFault(up, now))
	if w.unlicensed {
		w.lookAtCertificate()
	}
	if w.r.files != (identity.Files{}) {
		w.r.state.condition("expiry", certificateFault(w.r.files, now))
	}
	state, _ := w.r.state.read()
	changed := w.state != state
	w.state = state
	return changed
}

// unfitFault is the standing condition of events that could not be encoded, nil
// when there was none lately. It logs at most once a minute.
func (w *watcher) unfitFault(now time.Time) error {
	byReason, total, last := w.r.publish.unfit.read()
	if total > w.unfit {
		w.bad, w.unfit = now, total
		if now.Sub(w.told) >= time.Minute {
			w.told = now
			w.r.log.Error("events cannot be sent and are dropped", obs.KeyDropped, total, obs.KeyReason, byReason, obs.KeyError, last)
		}
	}
	if w.bad.IsZero() || now.Sub(w.bad) >= lossMemory {
		return nil
	}
	return fmt.Errorf("%s dropped since the start, the last was %s", obs.Counted(total, "event", "events"), last)
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
