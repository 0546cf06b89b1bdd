package fleet

import (
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/hub/own"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// sightings notice what only the hub can: two machines of one name. Service.mu guards
// them.
//
// Each stream of a node is a sighting: a machine, the run of its node (instance),
// and an address. The last few of a name are kept.
//
//	the new stream                          the stream before          then
//	same machine                            ended, or dead             a restart or a bad network
//	another machine                         ended                      a machine was replaced
//	another machine                         still open                 two of one name
//	a run or machine that another followed  whatever                   two of one name: what was replaced is back
//
// A run has a random id, so a run that is back after another is proof of two
// processes; nodes that send none are told by their machine.
type sightings struct {
	byNode map[string]*sighted
	// findings wait to be published, also those of hosts; more are told later.
	findings chan own.Finding
}

// sighting is one stream of a node.
type sighting struct{ machine, instance, addr string }

// sighted is what is known of one name.
type sighted struct {
	last []sighting // newest last, at most maxSightings, each machine and run once
	seen time.Time  // of the newest
	// rival is when two of the name were last noticed, told when that was last
	// published, and warning what to say of it.
	rival, told time.Time
	warning     string
	// away is since when no node of the name is connected, zero while one is.
	away time.Time
}

const (
	maxSightings = 4
	maxSighted   = maxNodes
	maxFindings  = 256
	// sightedFor is how long a name is remembered after its last stream.
	sightedFor = 24 * time.Hour
	// rivalFor is how long after the last sign two machines of one name are warned of.
	rivalFor = 10 * time.Minute
	// tellEvery is how often at most the same is published again.
	tellEvery = time.Hour
)

func newSightings() sightings {
	return sightings{byNode: map[string]*sighted{}, findings: make(chan own.Finding, maxFindings)}
}

func (a sighting) same(b sighting) bool {
	return a.machine == b.machine && a.instance == b.instance
}

// came notes a stream of a node. open says that the stream before has not ended. It
// returns whether there are two of the name.
func (s *sightings) came(node string, a sighting, open bool, now time.Time) bool {
	h := s.byNode[node]
	if h == nil {
		if len(s.byNode) >= maxSighted {
			return false
		}
		h = &sighted{}
		s.byNode[node] = h
	}
	if now.Sub(h.seen) > sightedFor { // what came before this long-lived stream is past
		h.last = h.last[max(0, len(h.last)-1):]
	}
	h.seen, h.away = now, time.Time{}
	two := h.isTwo(a, open)
	h.note(a)
	if two {
		h.rival, h.warning = now, h.describe(node)
		if h.told.IsZero() || now.Sub(h.told) >= tellEvery {
			h.told = now
			s.tell(h.finding(node))
			return true
		}
	}
	return false
}

// isTwo decides as the table above says.
func (h *sighted) isTwo(a sighting, open bool) bool {
	if len(h.last) == 0 {
		return false
	}
	before := h.last[len(h.last)-1]
	if before.same(a) {
		return false
	}
	if open && before.machine != a.machine && before.machine != "" && a.machine != "" {
		return true
	}
	for _, earlier := range h.last[:len(h.last)-1] {
		if earlier.same(a) && (a.instance != "" || a.machine != before.machine) {
			return true
		}
	}
	return false
}

// note puts a at the end.
func (h *sighted) note(a sighting) {
	kept := h.last[:0]
	for _, b := range h.last {
		if !b.same(a) {
			kept = append(kept, b)
		}
	}
	h.last = append(kept[max(0, len(kept)-maxSightings+1):], a)
}

// describe says what people should know, and what to do.
func (h *sighted) describe(node string) string {
	a, b := h.last[len(h.last)-2], h.last[len(h.last)-1]
	if a.machine == b.machine {
		return fmt.Sprintf("two nodes run as %s, from %s and %s, and throw each other out. Both report the same machine id: "+
			"stop the second node if they are on one machine; if one machine is a copy of the other, give it a machine-id of its own. "+
			"Then enrol one under a name of its own: amoskys-agent enroll --hub HOST:PORT --token TOKEN --force --host NAME", node, a.addr, b.addr)
	}
	return fmt.Sprintf("two machines are called %s, %s at %s and %s at %s, and throw each other out. "+
		"Enrol one under a name of its own: amoskys-agent enroll --hub HOST:PORT --token TOKEN --force --host NAME",
		node, short(a.machine), a.addr, short(b.machine), b.addr)
}

// short is enough of a machine's id to find it in a list.
func short(machine string) string {
	if machine == "" {
		return "one"
	}
	return cut(machine, 12)
}

func (h *sighted) finding(node string) own.Finding {
	title := "Two machines are called "
	if n := len(h.last); n > 1 && h.last[n-1].machine == h.last[n-2].machine {
		title = "Two nodes run as "
	}
	f := own.Finding{
		Name: "duplicate_host", Severity: pb.Severity_SEVERITY_HIGH, Host: node,
		Title: title + node, Description: h.warning, Observables: map[string]string{},
	}
	for i, a := range h.last[max(0, len(h.last)-2):] {
		f.Observables[fmt.Sprintf("machine_%d.id", i+1)] = a.machine
		f.Observables[fmt.Sprintf("machine_%d.ip", i+1)] = a.addr
	}
	return f
}

// warning is what people should know of a node's host now; usually nothing.
func (s *sightings) warning(node string, now time.Time) string {
	h := s.byNode[node]
	if h == nil || h.rival.IsZero() || now.Sub(h.rival) >= rivalFor {
		return ""
	}
	return h.warning
}

// left notes that the node of a name has gone.
func (s *sightings) left(node string, now time.Time) {
	if h := s.byNode[node]; h != nil {
		h.away = now
	}
}

// expire forgets names that have been away for a day.
func (s *sightings) expire(now time.Time) {
	for node, h := range s.byNode {
		if !h.away.IsZero() && now.Sub(h.away) > sightedFor {
			delete(s.byNode, node)
		}
	}
}

// tell queues a finding, and reports whether there was room.
func (s *sightings) tell(f own.Finding) bool {
	select {
	case s.findings <- f:
		return true
	default:
		return false
	}
}
