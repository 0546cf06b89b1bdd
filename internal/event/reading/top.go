package reading

import (
	"cmp"
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
}

// Top chooses which processes of each agent have series, so that their number is bounded.
// What it chooses depends on the sets alone, so that whoever reads the log again chooses
// the same. It is for one goroutine.
type Top struct {
	o      TopOptions
	agents map[agentKey]*ranking
	ofHost map[string]int // how many of them each host has
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
	key       agentKey
	processes map[string]*ranked
	in        int       // of them, monitored ones aside
	watched   int       // monitored ones that are in
	at        time.Time // of the last ranking
	since     int       // sets since then
	sweeps    int       // since its last set
}

// ranked is a process.
type ranked struct {
	subject     string
	seen        time.Time
	cpu, memory float64
	in, watched bool
}

// NewTop returns a Top without agents.
func NewTop(o TopOptions) *Top {
	o.Processes, o.Monitored = cmp.Or(o.Processes, 20), cmp.Or(o.Monitored, 200)
	o.Tracked, o.Agents, o.AgentsOfHost = cmp.Or(o.Tracked, 2048), cmp.Or(o.Agents, 20_000), cmp.Or(o.AgentsOfHost, 8)
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
	if s.Ended {
		return r != nil && r.remove(s.Subject), nil
	}
	if r == nil {
		if len(t.agents) >= t.o.Agents || t.ofHost[s.Host] >= t.o.AgentsOfHost {
			return false, nil
		}
		key := agentKey{strings.Clone(s.Agent), strings.Clone(s.Host)}
		r = &ranking{key: key, processes: map[string]*ranked{}, at: s.Time}
		t.agents[key] = r
		t.ofHost[key.host]++
	}
	r.sweeps = 0
	p := r.processes[s.Subject]
	if p == nil {
		if len(r.processes) >= t.o.Tracked {
			return false, nil
		}
		p = &ranked{subject: strings.Clone(s.Subject), cpu: s.cpu}
		r.processes[p.subject] = p
	}
	p.cpu, p.memory, p.seen = (p.cpu+finite(s.cpu))/2, s.memory, s.Time
	r.since++
	r.admit(p, s.Monitored, t.o)
	if r.due(s.Time) {
		t.left = r.rank(s.Time, t.o, t.left)
		r.at, r.since = s.Time, 0
	}
	return p.in, t.left
}

// admit lets a process in where there is room.
func (r *ranking) admit(p *ranked, watched bool, o TopOptions) {
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
}

// due reports whether it is time for a ranking: enough has passed, in either direction,
// and enough sets have come that sorting costs each of them little, whatever times they
// bear.
func (r *ranking) due(now time.Time) bool {
	passed := now.Sub(r.at)
	return (passed >= rankEvery || passed < 0) && 8*r.since >= len(r.processes)
}

// rank chooses anew who is in, and appends to left those who were and are no more. Times
// far ahead, before a clock was set back, are as good as old ones.
func (r *ranking) rank(now time.Time, o TopOptions, left []Process) []Process {
	all := make([]*ranked, 0, len(r.processes))
	for _, p := range r.processes {
		if now.Sub(p.seen).Abs() > processIdle {
			if r.remove(p.subject) {
				left = append(left, Process{r.key.agent, r.key.host, p.subject})
			}
			continue
		}
		if !p.watched {
			all = append(all, p)
		}
	}
	chosen := choose(all, o.Processes)
	for _, p := range all {
		if p.in && !chosen[p] {
			left = append(left, Process{r.key.agent, r.key.host, p.subject})
		}
		p.in = chosen[p]
	}
	r.in = len(chosen)
	return left
}

// choose takes n processes, in turn the one with the most CPU and the one with the most
// memory of those that are left. Of each order it needs no more than the first n, as it
// passes over those that it has chosen.
func choose(all []*ranked, n int) map[*ranked]bool {
	chosen := make(map[*ranked]bool, n)
	lists := [2][]*ranked{
		leading(all, n, func(p *ranked) float64 { return p.cpu }),
		leading(all, n, func(p *ranked) float64 { return p.memory }),
	}
	for turn := 0; len(chosen) < min(n, len(all)); turn++ {
		list := &lists[turn%2]
		for chosen[(*list)[0]] {
			*list = (*list)[1:]
		}
		chosen[(*list)[0]] = true
	}
	return chosen
}

// leading are the n processes of the most use, the most first. Who is in counts for more,
// and of equal ones the larger comes first.
func leading(all []*ranked, n int, use func(*ranked) float64) []*ranked {
	weight := func(p *ranked) float64 {
		if p.in {
			return use(p) * incumbent
		}
		return use(p)
	}
	order := func(a, b *ranked) int {
		if c := cmp.Compare(weight(b), weight(a)); c != 0 {
			return c
		}
		if c := cmp.Compare(b.memory, a.memory); c != 0 {
			return c
		}
		return strings.Compare(a.subject, b.subject)
	}
	first := make([]*ranked, 0, n+1)
	for _, p := range all {
		if len(first) == n && order(first[n-1], p) < 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(first, p, order)
		first = slices.Insert(first, at, p)
		first = first[:min(n, len(first))]
	}
	return first
}

// remove forgets a process, and reports whether it was in.
func (r *ranking) remove(subject string) bool {
	p := r.processes[subject]
	if p == nil {
		return false
	}
	delete(r.processes, subject)
	switch {
	case p.watched:
		r.watched--
	case p.in:
		r.in--
	}
	return p.in
}

// Forget lets go of an agent that sends nothing any more. Its series are for the caller
// to end.
func (t *Top) Forget(agent, host string) {
	key := agentKey{agent, host}
	if t.agents[key] == nil {
		return
	}
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
