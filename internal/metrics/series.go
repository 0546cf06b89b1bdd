package metrics

import (
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/amoskys/amoskys/internal/event/reading"
)

// The table's time goes in ticks, of which there are six an hour.
const (
	tickEvery     = 10 * time.Minute
	ticksOfAnHour = 6
	// idleTicks is for how long a series is remembered that nobody writes.
	idleTicks = 2 * ticksOfAnHour
)

// table is what is known of the series that are written: where each stands in the
// database, so that a sample finds it without its labels being put together, and which
// belong together, so that those that end are told. It is for one goroutine.
type table struct {
	seed     maphash.Seed
	subjects map[uint64]*subject // by hash of agent, host, source and subject
	agents   map[uint64]*agent   // by hash of agent and host
	hosts    map[uint64]*agent   // by hash of host
	tick     uint32
	most     int // series of one agent
}

// hostShare is how many times the series of one agent all of a host have: who has the
// certificate of a host may speak for any number of agents there.
const hostShare = 2

// agent counts the series of one, to bound them, or those of all agents of a host.
type agent struct {
	host *agent // of all agents of its host; nil for a host
	live int
	// ended are those that ended in each of the last hours, the newest first: the head of
	// the database holds them for about as long.
	ended [3]int
}

func (a *agent) count() int {
	n := a.live
	for _, e := range a.ended {
		n += e
	}
	return n
}

// full reports whether there is no room for one more series.
func (a *agent) full(most int) bool {
	return a.count() >= most || a.host.count() >= hostShare*most
}

// add counts series that began, and those that ended.
func (a *agent) add(live, ended int) {
	for ; a != nil; a = a.host {
		a.live += live
		a.ended[0] += ended
	}
}

// subject is what Sets are about: one process, one device, or an agent itself.
type subject struct {
	key     uint64
	of      *agent
	batches bool  // a Set has a part of its series alone
	newest  int64 // time of its last Set, ms
	round   uint32
	slots   []slot
	index   map[uint64]int32 // of slots by hash, where they do not come in the same order
}

// slot is one series. Its hash tells it from others of the subject: with a seed that
// nobody knows, 64 bits do not meet.
type slot struct {
	hash  uint64
	ref   storage.SeriesRef
	round uint32 // of the subject, when it last had a sample
	tick  uint32
}

func newTable(most int) *table {
	return &table{seed: maphash.MakeSeed(), subjects: map[uint64]*subject{}, agents: map[uint64]*agent{}, hosts: map[uint64]*agent{}, most: most}
}

// hash mixes texts.
func (t *table) hash(h uint64, text string) uint64 {
	return (h^maphash.String(t.seed, text))*0x9e3779b97f4a7c15 + h>>29
}

func (t *table) hashOf(s *reading.Sample) uint64 {
	h := t.hash(0, s.Name)
	for i := range s.Labels {
		h = t.hash(t.hash(h, s.Labels[i].Name), s.Labels[i].Value)
	}
	return h
}

// keyOf names the subject of a Set.
func (t *table) keyOf(agent, host string, source reading.Source, about string) (key, of uint64) {
	of = t.hash(t.hash(0, agent), host)
	return t.hash(of+uint64(source), about), of
}

// subjectOf finds the subject of a Set, and makes it where there is none; nil where its
// agent has no room for one more.
func (t *table) subjectOf(s *reading.Set) *subject {
	key, of := t.keyOf(s.Agent, s.Host, s.Source, s.Subject)
	if sub := t.subjects[key]; sub != nil {
		return sub
	}
	if len(s.Samples) == 0 {
		return nil
	}
	a := t.agents[of]
	if a == nil {
		a = &agent{host: t.hostOf(s.Host)}
	}
	if a.full(t.most) {
		return nil
	}
	t.agents[of] = a
	sub := &subject{key: key, of: a, batches: s.Source == reading.SourceBatch, newest: math.MinInt64}
	t.subjects[key] = sub
	return sub
}

// hostOf finds what counts the series of a host, and makes it where there is none.
func (t *table) hostOf(host string) *agent {
	key := t.hash(0, host)
	h := t.hosts[key]
	if h == nil {
		h = &agent{}
		t.hosts[key] = h
	}
	return h
}

// find returns where a series stands among those of its subject, -1 where it is new. It
// is most often where it was expected.
func (s *subject) find(hash uint64, expected int) int {
	if expected < len(s.slots) && s.slots[expected].hash == hash {
		return expected
	}
	if len(s.slots) <= 8 {
		return slices.IndexFunc(s.slots, func(l slot) bool { return l.hash == hash })
	}
	if s.index == nil {
		s.index = make(map[uint64]int32, len(s.slots))
		for i := range s.slots {
			s.index[s.slots[i].hash] = int32(i)
		}
	}
	if i, ok := s.index[hash]; ok {
		return int(i)
	}
	return -1
}

// add keeps a new series, at the end.
func (s *subject) add(l slot) {
	s.slots = append(s.slots, l)
	if s.index != nil {
		s.index[l.hash] = int32(len(s.slots) - 1)
	}
	s.of.add(1, 0)
}

// removeIf forgets series that ended, or that nobody wrote for long.
func (s *subject) removeIf(gone func(*slot) bool) (removed int) {
	kept := s.slots[:0]
	for i := range s.slots {
		if !gone(&s.slots[i]) {
			kept = append(kept, s.slots[i])
		}
	}
	removed = len(s.slots) - len(kept)
	if removed > 0 {
		s.slots, s.index = kept, nil
		s.of.add(-removed, 0)
	}
	return removed
}

// tickOn moves the table's time on, and forgets what nobody wrote for long.
func (t *table) tickOn() {
	t.tick++
	for key, s := range t.subjects {
		s.removeIf(func(l *slot) bool { return t.tick-l.tick > idleTicks })
		if len(s.slots) == 0 {
			delete(t.subjects, key)
		}
	}
	used := map[*agent]bool{}
	for _, s := range t.subjects {
		used[s.of] = true
	}
	for key, a := range t.agents {
		if t.age(a); a.count() == 0 && !used[a] {
			delete(t.agents, key)
			continue
		}
		used[a.host] = true
	}
	for key, h := range t.hosts {
		if t.age(h); h.count() == 0 && !used[h] {
			delete(t.hosts, key)
		}
	}
}

// age forgets series that ended, once an hour.
func (t *table) age(a *agent) {
	if t.tick%ticksOfAnHour == 0 {
		copy(a.ended[1:], a.ended[:])
		a.ended[0] = 0
	}
}
