package devices

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/inventory"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// beside is what is known of a device beside its state in the Book.
type beside struct {
	host    string          // its own, where an agent runs there
	reading *pb.SnmpReading // the newest, without neighbours
	read    time.Time       // when that was
	size    int             // of reading, in bytes
	found   findings
	history []line // the oldest first
	text    string // what words of a filter are looked for in; empty until it is needed
}

// line is one line of a device's history.
type line struct {
	At     int64  `json:"at"` // Unix seconds
	Type   string `json:"type"`
	Text   string `json:"text"`
	Offset uint64 `json:"offset"`
}

// Bounds of histories: of one device, and of all together. Beyond the second, each keeps
// the newer half of what it has.
const (
	maxLines   = 64
	maxHistory = 250_000
	maxLine    = 240 // bytes of one
)

// beside returns what is known beside the device of a uid.
func (in *Inventory) beside(uid string) *beside {
	m := in.state.more[uid]
	if m == nil {
		m = &beside{}
		in.state.more[uid] = m
	}
	return m
}

// join gives a device what was known beside it under a uid that it had.
func (in *Inventory) join(uid, former string) {
	old := in.state.more[former]
	if old == nil || former == uid {
		return
	}
	delete(in.state.more, former)
	m := in.beside(uid)
	m.text = ""
	m.host = cmp.Or(m.host, old.host)
	in.state.readingBytes -= old.size
	if old.reading != nil && old.read.After(m.read) {
		in.state.readingBytes += old.size - m.size
		m.reading, m.read, m.size = old.reading, old.read, old.size
	}
	m.found.join(&old.found)
	before := len(m.history) + len(old.history)
	m.history = slices.Concat(old.history, m.history)
	slices.SortStableFunc(m.history, func(a, b line) int { return cmp.Compare(a.At, b.At) })
	m.history = m.history[max(0, len(m.history)-maxLines):]
	in.state.lines += len(m.history) - before
	for _, h := range in.state.hosts {
		if h.uid == former {
			h.uid = uid
		}
	}
}

// note adds an event to a device's history.
func (in *Inventory) note(m *beside, uid string, e *sighted) {
	in.addLine(m, line{e.at.Unix(), e.ev.GetType(), cmp.Or(event.Summary(e.ev), e.ev.GetType()+" of "+uid), e.offset})
}

// noteChange adds a change that the Book tells of.
func (in *Inventory) noteChange(m *beside, uid string, c *inventory.Change, e *sighted) {
	text := c.Message
	if text == "" {
		text = strings.Join(c.Attributes, ", ") + " changed"
	}
	in.addLine(m, line{e.at.Unix(), cmp.Or(c.Type, e.ev.GetType()), cmp.Or(text, uid), e.offset})
}

func (in *Inventory) addLine(m *beside, l line) {
	if len(l.Text) > maxLine {
		l.Text = strings.ToValidUTF8(l.Text[:maxLine], "") + "…"
	}
	l.Text = strings.Clone(l.Text)
	m.history = append(m.history, l)
	in.revision++
	in.state.lines++
	if n := len(m.history); n > 1 && m.history[n-2].At > l.At { // it came late
		slices.SortStableFunc(m.history, func(a, b line) int { return cmp.Compare(a.At, b.At) })
	}
	if n := len(m.history) - maxLines; n > 0 {
		m.history = slices.Delete(m.history, 0, n)
		in.state.lines -= n
	}
	if in.state.lines > maxHistory {
		in.halveHistories()
	}
}

// halveHistories makes room where all devices together have too much history.
func (in *Inventory) halveHistories() {
	for _, m := range in.state.more {
		n := len(m.history) / 2
		m.history = slices.Clone(m.history[n:])
		in.state.lines -= n
		in.metrics.drop(dropHistory, uint64(n))
	}
}

// findings counts findings by the hour, of the last day.
type findings struct {
	Hours [24]uint16 `json:"hours"`
	Last  int64      `json:"last"` // the hour since 1970 of the newest, at index Last % 24
}

func hourOf(at time.Time) int64 { return at.Unix() / 3600 }

func (f *findings) add(at time.Time) {
	hour := hourOf(at)
	if hour < 0 || f.Last-hour >= int64(len(f.Hours)) {
		return // it came too late to count
	}
	for f.Last < hour {
		if hour-f.Last > int64(len(f.Hours)) {
			f.Last = hour - int64(len(f.Hours))
		}
		f.Last++
		f.Hours[f.Last%24] = 0
	}
	if n := &f.Hours[hour%24]; *n < 1<<16-1 {
		*n++
	}
}

// count is how many there were within the 24 hours before now.
func (f *findings) count(now time.Time) (n uint32) {
	hour := hourOf(now)
	for h := max(hour-23, f.Last-23, 0); h <= min(hour, f.Last); h++ {
		n += uint32(f.Hours[h%24])
	}
	return n
}

func (f *findings) join(o *findings) {
	for h := max(o.Last-23, 0); h <= o.Last; h++ {
		for range o.Hours[h%24] {
			f.add(time.Unix(h*3600, 0))
		}
	}
}

// maxObservables is by how many of its observables a finding is counted.
const maxObservables = 16

// foldFinding counts a finding for each device that it is about, or that its observables
// name.
func (in *Inventory) foldFinding(e *sighted) {
	ev := e.ev
	uids := map[string]bool{}
	for _, d := range in.find(ev) {
		uids[d.GetUid()] = true
	}
	n := 0
	for name, value := range ev.GetFinding().GetObservables() {
		if n++; n > maxObservables {
			break
		}
		if !namesDevice(name) {
			continue
		}
		if found := in.state.book.Find(value); len(found) == 1 {
			uids[found[0].GetUid()] = true
		}
	}
	if host := in.state.hosts[ev.GetHost().GetName()]; host != nil && ev.GetObserver() == nil && in.state.more[host.uid] != nil {
		uids[host.uid] = true
	}
	for uid := range uids {
		m := in.beside(uid)
		switch ev.GetFinding().GetStatus() {
		case event.FindingResolved: // it was counted when it began
			in.noteFinding(m, e, "over: "+event.Summary(e.ev))
			continue
		case event.FindingUpdate: // so was this, but what goes on for days counts on each
			if m.found.count(e.at) > 0 {
				continue
			}
		}
		m.found.add(e.at)
		in.noteFinding(m, e, event.Summary(e.ev))
	}
}

// againWithin is within how many seconds a finding of one kind takes the place of the one
// before in a device's history: what changes would be lost among them.
const againWithin = 24 * 60 * 60

// noteFinding adds a finding to a history, in place of the newest line that says the same but
// for its numbers, if that is not old.
func (in *Inventory) noteFinding(m *beside, e *sighted, text string) {
	words := withoutNumbers(text)
	for i, l := range slices.Backward(m.history) {
		if l.Type == e.ev.GetType() && e.at.Unix()-l.At < againWithin && withoutNumbers(l.Text) == words {
			m.history = slices.Delete(m.history, i, i+1)
			in.state.lines--
			break
		}
	}
	in.addLine(m, line{e.at.Unix(), e.ev.GetType(), cmp.Or(text, e.ev.GetType()), e.offset})
}

// withoutNumbers is the beginning of a text, as a line of history has it, without digits.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '…' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), maxLine)], ""))
}

// namesDevice says that an observable of a finding, by the name of its attribute, is an
// address or the uid of a device.
func namesDevice(attribute string) bool {
	for _, ending := range []string{"ip", "mac", "device.uid", "device.id", "about.uid"} {
		if attribute == ending || strings.HasSuffix(attribute, "."+ending) {
			return true
		}
	}
	return false
}

// expire finds what is gone by now.
func (in *Inventory) expire() {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.o.Now()
	changes := in.state.book.Expire(now)
	in.apply(changes, &sighted{ev: &pb.Event{Type: event.TypeDeviceGone}, at: now, offset: in.state.place})
	if len(changes) > 0 {
		signal(in.news)
	}
}

// sweep forgets what is known beside devices that are no longer in the Book, and hosts
// that are silent.
func (in *Inventory) sweep() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.state.sweep(in.o.Now())
}

func (s *state) sweep(now time.Time) {
	there := make(map[string]bool, s.book.Len())
	for d := range s.book.Devices() {
		there[d.GetUid()] = true
	}
	for uid, m := range s.more {
		if !there[uid] {
			s.lines -= len(m.history)
			s.readingBytes -= m.size
			delete(s.more, uid)
		}
	}
	for name, h := range s.hosts {
		if now.Sub(h.seen) > hostSilent {
			delete(s.hosts, name)
		}
	}
}

// maxNotes bounds the reasons that are kept.
const maxNotes = 8

// note remembers why something may lack.
func (s *state) note(why string) {
	if !slices.Contains(s.notes, why) && len(s.notes) < maxNotes {
		s.notes = append(s.notes, why)
	}
}

// Bounds on readings by SNMP: of one, and of all devices together.
const (
	maxReading      = 512 << 10
	maxReadingBytes = 128 << 20
)

// keepReading remembers a reading, if there is room for it.
func (in *Inventory) keepReading(m *beside, r *pb.SnmpReading, at time.Time) {
	if at.Before(m.read) {
		return
	}
	r.Neighbors = nil
	size := proto.Size(r)
	if size > maxReading || in.state.readingBytes-m.size+size > maxReadingBytes {
		in.metrics.drop(dropReading, 1)
		return
	}
	in.state.readingBytes += size - m.size
	m.reading, m.read, m.size = r, at, size
}
