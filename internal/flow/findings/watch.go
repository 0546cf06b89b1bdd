// Package findings watches flows for what attackers and faults leave in them: scans,
// floods, beacons, tunnels, logins in the clear, certificates that are no good, and
// captures that see too little.
//
// What is kept is bounded: of each kind the sources that were seen last, and sketches
// in place of lists. Time passes by what callers say, so that the same packets give the
// same findings, live or from a file.
package findings

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/recent"
	"github.com/amoskys/amoskys/internal/flow/track"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Stats are counts since a Watch was made.
type Stats struct {
	// Told counts events by Kind, updates among them.
	Told [kinds]uint64
	// Suppressed are findings and updates that had to wait, or were never told,
	// because MaxPerMinute was reached.
	Suppressed uint64
	// Forgotten are sources and pairs whose state had to make room for others.
	Forgotten uint64
}

// Watch finds. Its methods may be called by several goroutines; tell must not call
// back. The zero value is not usable.
type Watch struct {
	mu   sync.Mutex
	cfg  Config
	tell func(*pb.Event)

	now        int64 // Unix nanoseconds, as packets and Advance tell
	behind     int
	followed   int64
	minute     int64
	inMinute   int
	heard      [kinds]bool // in this minute
	window     int64       // nanoseconds
	update     int64       // nanoseconds
	off        [kinds]bool
	trusted    []netip.Prefix
	inside     []netip.Prefix
	stats      Stats
	standing   *recent.Map[subject, standing]
	scans      *scans
	floods     *floods
	visibility visibility
	beats      *recent.Map[beatKey, beat]
	tunnels    *recent.Map[tunnelKey, tunnel]
	guesses    *recent.Map[packet.Addr, guessing]
	uploads    *recent.Map[packet.Addr, uploads]
	sent       *recent.Map[flowKey, uint64]
	acquainted *recent.Map[packet.Addr, acquaintance]
}

var _ track.Consumer = (*Watch)(nil)

// New returns a Watch that tells each finding as an event, which lacks what is the
// agent's: id, agent and host. The Config must be valid.
func New(cfg Config, tell func(*pb.Event)) *Watch {
	w := &Watch{
		cfg: cfg, tell: tell,
		window: seconds(cfg.WindowSeconds), update: seconds(cfg.UpdateSeconds),
		trusted: prefixes(cfg.TrustedScanners), inside: prefixes(cfg.InternalNetworks),
		standing: recent.New[subject, standing](maxStanding),
		scans:    newScans(&cfg), floods: newFloods(&cfg),
		beats:      recent.New[beatKey, beat](4 * cfg.MaxSources),
		tunnels:    recent.New[tunnelKey, tunnel](cfg.MaxSources),
		guesses:    recent.New[packet.Addr, guessing](cfg.MaxSources),
		uploads:    recent.New[packet.Addr, uploads](cfg.MaxSources),
		sent:       recent.New[flowKey, uint64](4 * cfg.MaxSources),
		acquainted: recent.New[packet.Addr, acquaintance](cfg.MaxSources),
		visibility: visibility{interfaces: recent.New[string, captured](64)},
	}
	for k := range kinds {
		w.off[k] = !cfg.Enabled || slices.Contains(cfg.Disabled, k.String())
	}
	return w
}

func seconds(n int) int64 { return int64(n) * int64(time.Second) }

func prefixes(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// Stats returns the counts.
func (w *Watch) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Forgotten = w.forgotten()
	return s
}

// Opened looks at a flow that is told for the first time.
func (w *Watch) Opened(f *track.Flow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass(f.First, true)
	w.pass(f.Last, false)
	w.visibility.see(f)
	w.scan(f)
	w.flood(f, true)
	w.content(f, 1)
	w.beacon(f, true)
}

// Updated looks at a flow that goes on.
func (w *Watch) Updated(f *track.Flow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass(f.Last, false)
	w.visibility.see(f)
	w.flood(f, false)
	w.content(f, 0)
	w.upload(f, false)
}

// Ended looks at a flow for the last time.
func (w *Watch) Ended(f *track.Flow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass(f.Last, false)
	w.scan(f)
	w.flood(f, false)
	w.content(f, 0)
	w.beacon(f, false)
	w.upload(f, true)
	w.destination(f)
}

// DNS looks at a question and its answer; at is the time of the question in Unix
// nanoseconds.
func (w *Watch) DNS(t dissect.Tuple, d *dissect.DNS, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass(at, false)
	w.domain(t, d)
}

// Traffic is told what a source has captured since it was opened, once an interval.
func (w *Watch) Traffic(interfaceName string, s capture.Stats, now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass(now, true)
	w.traffic(interfaceName, s)
}

// Advance lets time pass up to now, in Unix nanoseconds by the clock of the packets,
// when none come.
func (w *Watch) Advance(now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass(now, true)
}

const (
	// longAgo is how far back a time must lie to be a sign that the clock was set
	// back, in nanoseconds, and setBack how many in a row prove it.
	longAgo = int64(10 * time.Minute)
	setBack = 64
)

// pass moves the clock. Only what is news of now may set it back.
func (w *Watch) pass(at int64, news bool) {
	switch {
	case at >= w.now:
		w.now, w.behind = at, 0
	case news && w.now-at > longAgo:
		if w.behind++; w.behind < setBack {
			return
		}
		w.now, w.behind, w.followed = at, 0, at
	default:
		return
	}
	if w.now-w.followed >= int64(time.Second) {
		w.followed = w.now
		w.follow()
	}
}

// elapsed reports whether a window that began at start is over. One that lies ahead,
// because the clock was set back, is.
func (w *Watch) elapsed(start, length int64) bool {
	age := w.now - start
	return age < 0 || age > length
}

func within(list []netip.Prefix, a packet.Addr) bool {
	addr := a.IP()
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// internal reports whether an address is of an internal network.
func (w *Watch) internal(a packet.Addr) bool { return within(w.inside, a) }

// toMany reports whether a flow goes to a group or to all on a link.
func toMany(f *track.Flow) bool {
	return f.DstMAC[0]&1 != 0 || f.Dst.ToMany()
}

func (w *Watch) forgotten() uint64 {
	return w.standing.Evicted + w.scans.forgotten() + w.floods.targets.Evicted + w.beats.Evicted + w.tunnels.Evicted +
		w.guesses.Evicted + w.uploads.Evicted + w.sent.Evicted + w.acquainted.Evicted + w.visibility.interfaces.Evicted
}
