package reading

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Process names one process of an agent, as a Set of SourceProcess does.
type Process struct{ Agent, Host, Subject string }

// TopOptions bound a Top. The zero value has the bounds that all promise.
type TopOptions struct {
	// Processes is how many processes of an agent are in, 20: those with the most CPU and
	// those with the most memory, in turn. Those that its configuration names come on top
	// of them, up to Monitored, 200.
	Processes, Monitored int
	// Tracked is how many processes of an agent are remembered, 2048; more are out. Agents
	// is how many agents are, 20,000, and AgentsOfHost how many of one host, 8, as who has
	// the certificate of a host may speak for any number of agents there; all processes of
	// others are out.
	Tracked, Agents, AgentsOfHost int
	// All is how many processes of all agents are remembered, 2,000,000: those of 10,000
	// hosts of 200 each, which take some 100 MB.
	All int
}

// Top chooses which processes of each agent have series, so that their number is bounded.
// What it chooses depends on the sets alone, so that whoever reads the log again chooses
// the same. It is for one goroutine.
type Top struct {
	o      TopOptions
	agents map[agentKey]*ranking
	ofHost map[string]int // how many of them each host has
	known  int            // processes of all
	left   []Process      // of the last Take
}

type agentKey struct{ agent, host string }

// How processes are ranked.
const (
	// rankEvery is the least time between two rankings of an agent, by the time of its
	// events: what a process used in one reading does not end another's series.
	rankEvery = 10 * time.Second
	// incumbent is what the use of a process that is in counts more than another's.
	incumbent = 1.5
	// processIdle is after which time without a reading a process is taken to have ended
	// unseen. Agents tell of idle processes once a minute.
	processIdle = 15 * time.Minute
)

// ranking is of one agent.
type ranking struct {
	key agentKey
	// processes are by hash of what names them: there may be two thousand, and most of
	// them never have series.
	processes map[uint64]ranked
	// names are of those that are in and had a reading since: those that have series.
	names   map[uint64]string
	in      int       // of them, monitored ones aside
	watched int       // monitored ones that are in
	at      time.Time // of the last ranking
	since   int       // sets since then
	sweeps  int       // since its last set
}

// ranked is a process.
type ranked struct {
	cpu, memory float32
	seen        uint32 // seconds since 1970
	in, watched bool
}

// candidate is a process while it is ranked.
type candidate struct {
	id          uint64
	cpu, memory float32 // where it is in, a little more
}

// idOf names a process by 64 bits that are the same wherever the log is read (FNV-1a).
// Who makes two of his own processes meet hides one of them.
func idOf(subject string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(subject) {
		h = (h ^ uint64(subject[i])) * 1099511628211
	}
	return h
}

// secondsOf is a time as processes remember it. What lies outside of 1970 to 2106 is no
// time of a reading.
func secondsOf(t time.Time) uint32 { return uint32(min(max(t.Unix(), 0), math.MaxUint32)) }

// NewTop returns a Top without agents.
func NewTop(o TopOptions) *Top {
	o.Processes, o.Monitored = cmp.Or(o.Processes, 20), cmp.Or(o.Monitored, 200)
	o.Tracked, o.Agents, o.AgentsOfHost = cmp.Or(o.Tracked, 2048), cmp.Or(o.Agents, 20_000), cmp.Or(o.AgentsOfHost, 8)
	o.All = cmp.Or(o.All, 2_000_000)
	return &Top{o: o, agents: map[agentKey]*ranking{}, ofHost: map[string]int{}}
}

// Take decides on a Set of SourceProcess; every other Set is in. in says that the process
// has series: its samples count, and if it Ended, they end now. left are processes that
// had series until now and have none any more, of the same agent; it is valid until the
// next call.
func (t *Top) Take(s *Set) (in bool, left []Process) {
	t.left = t.left[:0]
	if s.Source != SourceProcess {
		return true, nil
	}
	r := t.agents[agentKey{s.Agent, s.Host}]
	id := idOf(s.Subject)
	if s.Ended {
		return r != nil && t.remove(r, id), nil
	}
	if r == nil {
		if len(t.agents) >= t.o.Agents || t.ofHost[s.Host] >= t.o.AgentsOfHost {
			return false, nil
		}
		key := agentKey{strings.Clone(s.Agent), strings.Clone(s.Host)}
		r = &ranking{key: key, processes: map[uint64]ranked{}, names: map[uint64]string{}, at: s.Time}
		t.agents[key] = r
		t.ofHost[key.host]++
	}
	r.sweeps = 0
	p, known := r.processes[id]
	if !known {
		if len(r.processes) >= t.o.Tracked || t.known >= t.o.All {
			return false, nil
		}
		t.known++
		p.cpu = float32(finite(s.cpu))
	}
	p.cpu, p.memory, p.seen = (p.cpu+float32(finite(s.cpu)))/2, float32(s.memory), secondsOf(s.Time)
	r.since++
	p = r.admit(p, s.Monitored, t.o)
	r.processes[id] = p
	if r.due(s.Time) {
		t.left = t.rank(r, s.Time, t.left)
		r.at, r.since = s.Time, 0
		p = r.processes[id]
	}
	if p.in && r.names[id] == "" {
		r.names[id] = strings.Clone(s.Subject)
	}
	return p.in, t.left
}

// admit lets a process in where there is room.
func (r *ranking) admit(p ranked, watched bool, o TopOptions) ranked {
	if watched && !p.watched && r.watched < o.Monitored {
		if p.in {
			r.in--
		}
		p.watched, p.in = true, true
		r.watched++
	}
	if !p.in && r.in < o.Processes {
		p.in = true
		r.in++
	}
	return p
}

// due reports whether it is time for a ranking: enough has passed, in either direction,
// and enough sets have come that sorting costs each of them little, whatever times they
// bear. Sets that come a little out of their order are no clock that was set back.
func (r *ranking) due(now time.Time) bool {
	passed := now.Sub(r.at)
	return max(passed, -passed) >= rankEvery && 8*r.since >= len(r.processes)
}

// rank chooses anew who is in, and appends to left those who were and are no more. Times
// far ahead, before a clock was set back, are as good as old ones.
func (t *Top) rank(r *ranking, now time.Time, left []Process) []Process {
	all := make([]candidate, 0, len(r.processes))
	leave := func(id uint64) {
		if name, named := r.names[id]; named {
			left = append(left, Process{r.key.agent, r.key.host, name})
		}
	}
	seconds := int64(secondsOf(now))
	for id, p := range r.processes {
		if passed := seconds - int64(p.seen); max(passed, -passed) > int64(processIdle/time.Second) {
			leave(id)
			t.remove(r, id)
			continue
		}
		if p.watched {
			continue
		}
		c := candidate{id, p.cpu, p.memory}
		if p.in {
			c.cpu, c.memory = c.cpu*incumbent, c.memory*incumbent
		}
		all = append(all, c)
	}
	chosen := choose(all, t.o.Processes)
	for _, c := range all {
		p := r.processes[c.id]
		if chosen[c.id] == p.in {
			continue
		}
		if p.in {
			leave(c.id)
			delete(r.names, c.id)
		}
		p.in = !p.in
		r.processes[c.id] = p
	}
	r.in = len(chosen)
	slices.SortFunc(left, func(a, b Process) int { return strings.Compare(a.Subject, b.Subject) })
	return left
}

// choose takes n processes, in turn the one with the most CPU and the one with the most
// memory of those that are left. Of each order it needs no more than the first n, as it
// passes over those that it has chosen.
func choose(all []candidate, n int) map[uint64]bool {
	chosen := make(map[uint64]bool, n)
	lists := [2][]candidate{
		leading(all, n, func(c candidate) float32 { return c.cpu }),
		leading(all, n, func(c candidate) float32 { return c.memory }),
	}
	for turn := 0; len(chosen) < min(n, len(all)); turn++ {
		list := &lists[turn%2]
		for chosen[(*list)[0].id] {
			*list = (*list)[1:]
		}
		chosen[(*list)[0].id] = true
	}
	return chosen
}

// leading are the n processes of the most use, the most first, and of equal ones the larger.
// Most candidates fall at the first look, which is at their use alone. They are passed by
// value: by reference each comparison would put two of them on the heap.
func leading(all []candidate, n int, use func(candidate) float32) []candidate {
	order := func(a, b candidate) int {
		if c := cmp.Compare(use(b), use(a)); c != 0 {
			return c
		}
		if c := cmp.Compare(b.memory, a.memory); c != 0 {
			return c
		}
		return cmp.Compare(a.id, b.id)
	}
	first := make([]candidate, 0, n+1)
	for _, c := range all {
		if len(first) == n && (use(c) < use(first[n-1]) || order(first[n-1], c) < 0) {
			continue
		}
		at, _ := slices.BinarySearchFunc(first, c, order)
		first = slices.Insert(first, at, c)
		first = first[:min(n, len(first))]
	}
	return first
}

// remove forgets a process, and reports whether it had series.
func (t *Top) remove(r *ranking, id uint64) bool {
	p, known := r.processes[id]
	if !known {
		return false
	}
	delete(r.processes, id)
	t.known--
	switch {
	case p.watched:
		r.watched--
	case p.in:
		r.in--
	}
	_, named := r.names[id]
	delete(r.names, id)
	return named
}

// Forget lets go of an agent that sends nothing any more. Its series are for the caller
// to end.
func (t *Top) Forget(agent, host string) {
	key := agentKey{agent, host}
	r := t.agents[key]
	if r == nil {
		return
	}
	t.known -= len(r.processes)
	delete(t.agents, key)
	if t.ofHost[host]--; t.ofHost[host] == 0 {
		delete(t.ofHost, host)
	}
}

// Sweep forgets agents that sent nothing since the last Sweep, for who has no other way to
// know of them. Hosts come and go, and would else be remembered for ever.
func (t *Top) Sweep() {
	for key, r := range t.agents {
		if r.sweeps++; r.sweeps > 1 {
			t.Forget(key.agent, key.host)
		}
	}
}

// Out is how many of the processes that are remembered are not in.
func (t *Top) Out() int {
	n := 0
	for _, r := range t.agents {
		n += len(r.processes) - r.in - r.watched
	}
	return n
}

// finite is a share of CPU that can be compared and added.
func finite(x float64) float64 {
	if x >= 0 && x < 1e6 {
		return x
	}
	return 0
}
