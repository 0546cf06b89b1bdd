// Package reading says which numbers of which events are which metrics: it is the one
// place that knows, for the exporter of the hub and for the store of metrics alike.
//
// Reader turns one encoded event into a Set of samples under Prometheus names, without
// decoding it. Families lists all that have a meaning of their own; Top chooses the
// processes of an agent that get series.
//
// Names are those of the guide, its dots written as underscores. What has no _total at
// its end is a gauge or of unknown kind and never a counter, even if it only grows, as
// OpenMetrics would give a counter another name.
//
// What agents send is bounded here: MaxSamples, MaxLabels, MaxLabelName, MaxLabelValue,
// MaxName and MaxText. Names are made valid, values that are too long are cut, and what is
// beyond is left out and counted in Set.Dropped.
package reading

import (
	"hash/maphash"
	"time"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity/hostname"
)

// Bounds on what one event reads.
const (
	// MaxSamples is how many samples one event has: the 512 interfaces of the largest
	// reading of SNMP fit.
	MaxSamples = 8192
	// MaxLabels is how many labels a sample has, agent and host aside.
	MaxLabels = 16
	// MaxName, MaxLabelName and MaxLabelValue are lengths in bytes. A sample whose name, or
	// the name of one of whose labels, is longer is left out; a value is cut.
	MaxName       = 200
	MaxLabelName  = 64
	MaxLabelValue = 256
	// MaxText is how many bytes the name and the labels of a sample have together. One of a
	// batch that has more is left out: readers hold them for as long as its series lives.
	MaxText = 1024
)

// Label is one label of a sample. Value is never empty.
type Label struct{ Name, Value string }

// Sample is one reading, as Prometheus has it.
type Sample struct {
	// Name is valid as the name of a metric, without colons.
	Name string
	// Labels are sorted by name, each name once. agent and host are not among them: those
	// are Set's.
	Labels []Label
	// Value may be an infinity or NaN, which never is the one that marks a stale series.
	Value float64
	Kind  Kind
	// Detail is the family's.
	Detail bool
}

// Source is what kind of event a Set was read of.
type Source uint8

// The sources. A later Set of the same agent, host, source and subject replaces an earlier
// one: series that it lacks have ended. Batches are the exception, for an agent may tell
// its numbers in several.
const (
	SourceProcess Source = iota + 1 // process.sample and process.exit
	SourceBatch                     // MetricBatch, of any type
	SourceSNMP                      // snmp.reading
	SourceAgent                     // agent.health
	SourceHub                       // hub.health
	SourceDevice                    // device.*
)

// Set is what one event reads. All of its texts alias the event and memory of the Reader.
type Set struct {
	Source Source
	// Agent and Host are the labels agent and host of each sample: the agent that read it
	// and its host, which is the observer's where another is observed. Kind is the agent's.
	Agent, Host, Kind string
	// Time is the event's own.
	Time time.Time
	// Subject names what was read, among all that the agent reads: the uid of the process
	// or the device. Of an agent's own readings it is empty.
	Subject string
	// Ended says that the subject is no more: there are no samples, and its series end.
	Ended bool
	// Monitored says that the agent was told to watch this process, so that it has series
	// whatever it uses.
	Monitored bool
	// Samples are of different series each.
	Samples []Sample
	// Dropped counts samples that were left out for the bounds of this package.
	Dropped int

	cpu, memory float64 // of a process, for Top
}

// Reader reads events. Its zero value is ready; it is for one goroutine.
type Reader struct {
	set    Set
	head   head
	labels []Label
	text   []byte              // of texts that do not stand in the event
	seen   map[uint64]struct{} // hashes of series
	seed   maphash.Seed
}

// head is an event without its body.
type head struct {
	seconds, nanos         int64
	typ, agent, kind       []byte
	host, observer, about  []byte
	hasObserver, monitored bool
	body                   int
	value                  []byte
}

// Read returns what an event of the log reads, and false if it has no readings. publisher
// is the SPIFFE id of the record. The Set is valid until the next Read, and as long as
// encoded does not change. Of bytes that are no event it returns false, or what could be
// read.
//
// Where a hostile encoder wrote a part twice, the last one counts.
func (r *Reader) Read(encoded []byte, publisher string) (*Set, bool) {
	r.head = head{}
	r.labels, r.text = r.labels[:0], r.text[:0]
	r.set = Set{Samples: r.set.Samples[:0]}
	if !r.head.read(encoded) || !r.body() {
		return nil, false
	}
	s, h := &r.set, &r.head
	s.Time = time.Unix(h.seconds, h.nanos)
	s.Kind, s.Monitored = label(h.kind), h.monitored
	who := h.host
	if h.hasObserver {
		who = h.observer
	}
	s.Host = label(hostname.NormalBytes(who))
	s.Agent = label(hostname.NormalBytes(h.agent))
	if s.Agent == "" {
		s.Agent = publishing(publisher)
	}
	return s, true
}

// Numbers of fields of the Event and of those bodies that have readings.
const (
	fieldTime, fieldType, fieldAgent, fieldHost, fieldLabels = 2, 3, 5, 6, 7
	fieldObserver, fieldAbout                                = 9, 10
	firstBody, lastBody                                      = 20, 30
	bodyProcess, bodySNMP                                    = 20, 25
	bodyMetrics, bodyAgentHealth, bodyHubHealth              = 26, 28, 29
)

// read finds the parts of an event, and reports whether it may have readings.
func (h *head) read(b []byte) bool {
	f := fields{rest: b}
	for f.next() {
		switch n := f.number; {
		case f.typ != protowire.BytesType:
		case n == fieldTime:
			h.seconds, h.nanos = moment(f.bytes)
		case n == fieldType:
			h.typ = f.bytes
		case n == fieldAgent:
			h.agent, h.kind = firstTexts(f.bytes)
		case n == fieldHost:
			h.host, _ = firstTexts(f.bytes)
		case n == fieldLabels:
			key, value := firstTexts(f.bytes)
			h.monitored = h.monitored || string(key) == LabelMonitored && string(value) == "true"
		case n == fieldObserver:
			h.observer, _ = firstTexts(f.bytes)
			h.hasObserver = true
		case n == fieldAbout:
			h.about = f.bytes
		case n >= firstBody && n <= lastBody:
			h.body, h.value = n, f.bytes
		}
	}
	return f.ok() && h.value != nil && h.seconds >= 0 && h.seconds < maxSeconds && (h.seconds != 0 || h.nanos != 0)
}

// maxSeconds is where Unix time in milliseconds, which is that of Prometheus, is far from
// its end: the year 9999.
const maxSeconds = 253_402_300_800

// LabelMonitored is the label, with the value "true", by which an agent marks events of
// processes that its configuration names.
const LabelMonitored = "monitored"

// body reads the body, and reports whether there was something in it.
func (r *Reader) body() bool {
	switch r.head.body {
	case bodyProcess:
		switch string(r.head.typ) {
		case event.TypeProcessSample:
			return r.process(r.head.value, false)
		case event.TypeProcessExit:
			return r.process(r.head.value, true)
		}
	case bodyMetrics:
		return r.batch(r.head.value)
	case bodySNMP:
		return string(r.head.typ) == event.TypeSNMPReading && r.snmp(r.head.value)
	case bodyAgentHealth:
		return r.agentHealth(r.head.value)
	case bodyHubHealth:
		return r.hubHealth(r.head.value)
	}
	return false
}

// add appends a sample.
func (r *Reader) add(name string, kind Kind, labels []Label, value float64) {
	if len(r.set.Samples) >= MaxSamples {
		r.set.Dropped++
		return
	}
	r.set.Samples = append(r.set.Samples, Sample{Name: name, Labels: labels, Value: clean(value), Kind: kind})
}

// onlyOnce leaves out samples of a series that the set has already.
func (r *Reader) onlyOnce() {
	if r.seen == nil {
		r.seen, r.seed = map[uint64]struct{}{}, maphash.MakeSeed()
	}
	clear(r.seen)
	kept := r.set.Samples[:0]
	for _, s := range r.set.Samples {
		key := r.hash(&s)
		if _, twice := r.seen[key]; twice {
			r.set.Dropped++
			continue
		}
		r.seen[key] = struct{}{}
		kept = append(kept, s)
	}
	r.set.Samples = kept
}

// hash is of a series: its name and labels.
func (r *Reader) hash(s *Sample) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.WriteString(s.Name) // it cannot fail
	for _, l := range s.Labels {
		_ = h.WriteByte(0xff) // is in no text
		_, _ = h.WriteString(l.Name)
		_ = h.WriteByte(0xff)
		_, _ = h.WriteString(l.Value)
	}
	return h.Sum64()
}

// addDetail is add for a family that the exporter of the hub leaves out.
func (r *Reader) addDetail(name string, kind Kind, labels []Label, value float64) {
	n := len(r.set.Samples)
	r.add(name, kind, labels, value)
	if len(r.set.Samples) > n {
		r.set.Samples[n].Detail = true
	}
}

// publishing is the agent that a certificate names, in spiffe://DOMAIN/ROLE/HOST/AGENT, or
// else its role.
func publishing(id string) string {
	const scheme = len("spiffe://")
	if len(id) < scheme {
		return unknown
	}
	parts, last := 0, scheme
	for i := scheme; i < len(id); i++ {
		if id[i] == '/' {
			parts, last = parts+1, i+1
		}
	}
	if parts < 3 || last == len(id) {
		return unknown
	}
	return id[last:]
}

// unknown is the agent of an event that names none.
const unknown = "unknown"

// view is a text without a copy of its bytes.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // read only, and Set says how long it lives
}
