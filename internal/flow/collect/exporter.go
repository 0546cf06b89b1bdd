package collect

import "container/list"

// recent is a map of at most max entries; a further one pushes out the one that was
// neither found nor put for longest.
type recent[K comparable, V any] struct {
	max   int
	items map[K]*list.Element
	order *list.List // of *held, the latest in front
}

type held[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{max: limit, items: map[K]*list.Element{}, order: list.New()}
}

func (r *recent[K, V]) find(k K) (V, bool) {
	e, found := r.items[k]
	if !found {
		var none V
		return none, false
	}
	r.order.MoveToFront(e)
	return e.Value.(*held[K, V]).value, true
}

// put adds what is not there yet, and returns what it pushed out.
func (r *recent[K, V]) put(k K, v V) (evicted V, did bool) {
	if len(r.items) >= r.max {
		evicted, did = r.evict()
	}
	r.items[k] = r.order.PushFront(&held[K, V]{k, v})
	return evicted, did
}

func (r *recent[K, V]) evict() (v V, did bool) {
	last := r.order.Back()
	if last == nil {
		return v, false
	}
	h := last.Value.(*held[K, V])
	r.order.Remove(last)
	delete(r.items, h.key)
	return h.value, true
}

func (r *recent[K, V]) remove(k K) (v V, did bool) {
	e, found := r.items[k]
	if !found {
		return v, false
	}
	r.order.Remove(e)
	delete(r.items, k)
	return e.Value.(*held[K, V]).value, true
}

// domainKey tells domains of an exporter apart.
type domainKey struct {
	format Format
	id     uint32
}

// templateKey tells templates of an exporter apart (RFC 7011, section 3.4.1).
type templateKey struct {
	domainKey
	template uint16
}

// exporter is what is kept of one that sends.
type exporter struct {
	domains   *recent[domainKey, *domain]
	templates *recent[templateKey, *template]
	fields    int // of all templates
	waiting   []waitingSet
	held      int // bytes of waiting
}

func newExporter(o Options) *exporter {
	return &exporter{domains: newRecent[domainKey, *domain](o.MaxDomains), templates: newRecent[templateKey, *template](o.MaxTemplates)}
}

// maxSamplers is how many samplers of a domain are kept.
const maxSamplers = 64

// domain is what is kept of one observation domain.
type domain struct {
	sequence sequence
	// rate is the sampling rate that was announced last, 0 before.
	rate uint64
	// samplers are the rates by samplerId or selectorId.
	samplers map[uint64]uint64
	// boot is systemInitTimeMilliseconds in Unix nanoseconds, 0 if unknown.
	boot int64
}

// sequence follows the numbers of one sender.
type sequence struct {
	next  uint32
	known bool
	// Of IPFIX: the number of the last message, and its records but those of options.
	last, flows uint32
}

const (
	// late is how far behind a number may be and still be one that was overtaken.
	late = 4096
	// farthest is how many units are believed to be lost at once; beyond, the sender
	// began anew.
	farthest = 1 << 20
)

// see compares a number with the one expected. What follows is expected behind
// advance units, unless the number was overtaken.
func (s *sequence) see(got uint32, stats *Stats) {
	gap := int32(got - s.next)
	switch {
	case !s.known || gap == 0:
	case gap < 0 && gap >= -late:
		stats.Reordered++
		return
	case gap < 0 || gap > farthest:
		stats.Restarts++
	default:
		stats.Lost += uint64(gap)
	}
	s.next, s.known = got, true
}

// advance says how many units the message with the number got had.
func (s *sequence) advance(got, units uint32) {
	if s.next == got {
		s.next += units
	}
}

// seeRecords follows a message of IPFIX with so many records, of which flows are none
// of options. The number is to be that of the records before it (RFC 7011, section
// 3.1); that of exporters that count the message itself already, or no options
// (softflowd 1.1 does both), is no loss either.
func (s *sequence) seeRecords(number, records, flows uint32, stats *Stats) {
	if gap := number - s.last; s.known && (gap == records || gap == flows || gap == s.flows) {
		s.next = number
	}
	s.see(number, stats)
	s.advance(number, records)
	s.last, s.flows = number, flows
}

// waitingSet is a data set that came before its template.
type waitingSet struct {
	key      templateKey
	received int64
	exported int64
	uptime   uint32
	data     []byte
}

const (
	// maxWaitingSets is how many sets of an exporter wait, however short they are.
	maxWaitingSets = 64
	// patience is how long a set waits for its template, in nanoseconds: exporters send
	// templates again every few minutes, but what old data tells may be of another.
	patience = int64(60e9)
)

// wait keeps a copy of a set until its template comes.
func (m *message) wait(key templateKey, data []byte) {
	ex, c := m.exporter, m.collector
	for len(ex.waiting) > 0 && (len(ex.waiting) >= maxWaitingSets || ex.held+len(data) > c.o.MaxWaiting || m.received-ex.waiting[0].received > patience) {
		ex.held -= len(ex.waiting[0].data)
		ex.waiting = append(ex.waiting[:0], ex.waiting[1:]...)
		c.stats.Unread++
	}
	if len(data) > c.o.MaxWaiting {
		c.stats.Unread++
		return
	}
	c.stats.Waited++
	ex.held += len(data)
	ex.waiting = append(ex.waiting, waitingSet{key: key, received: m.received, exported: m.exported, uptime: m.uptime, data: append([]byte(nil), data...)})
}

// release reads the sets that waited for a template, by the clocks of their messages.
func (m *message) release(key templateKey, t *template) {
	ex := m.exporter
	kept := ex.waiting[:0]
	var ready []waitingSet
	for _, w := range ex.waiting {
		if w.key != key {
			kept = append(kept, w)
			continue
		}
		ex.held -= len(w.data)
		if m.received-w.received > patience {
			m.collector.stats.Unread++
			continue
		}
		ready = append(ready, w)
	}
	clear(ex.waiting[len(kept):])
	ex.waiting = kept
	for _, w := range ready {
		then := *m
		then.received, then.exported, then.uptime = w.received, w.exported, w.uptime
		then.data(t, w.data)
	}
}
