package findings

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/flow/packet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// subject is what a finding is told of once: its kind, and as much of who, against
// whom and what as tells two findings of the kind apart.
type subject struct {
	kind           Kind
	source, target packet.Addr // zero where it does not matter
	name           string
}

// sighting is one more piece of evidence.
type sighting struct {
	subject
	// against and port are an example or the one, where subject does not say.
	against  packet.Addr
	port     uint16
	protocol uint8
	method   string
	user     string
	// more is added to the count of the subject; the first has at least count.
	count, more uint64
	// numbers are what the kind describes with them; those with the highest first one
	// are kept.
	numbers [4]float64
	over    bool // what was wrong is right again
}

// standing is a finding that was told, or is waiting for room.
type standing struct {
	sighting
	uid         string
	first, last int64 // Unix nanoseconds
	told        int64 // 0 if never
	count, said uint64
	wait        int64 // until the next update, nanoseconds
	silent      bool  // this sighting was counted as suppressed already
}

// maxStanding is how many findings are remembered, so that none is told twice.
const maxStanding = 4096

// raise notes evidence and tells of it if it is new.
func (w *Watch) raise(s sighting) {
	if w.off[s.kind] {
		return
	}
	e, fresh := w.standing.Use(s.subject)
	if fresh {
		*e = standing{sighting: s, first: w.now, count: max(s.count, 1), uid: uidOf(s.subject, w.now), wait: w.update}
	} else {
		e.count = max(e.count+s.more, s.count)
		if s.numbers[0] >= e.numbers[0] || s.over != e.over {
			e.sighting = s
		}
	}
	e.last = w.now
	if e.told == 0 {
		w.say(e, statusNew)
	}
}

// The words of a finding's status.
const (
	statusNew      = "new"
	statusUpdate   = "update"
	statusResolved = "resolved"
)

// say publishes a finding unless too many were in this minute: it waits then, and is
// counted. One of each kind is always published, so that nobody hides one thing behind
// many of another.
func (w *Watch) say(e *standing, status string) {
	if minute := w.now / int64(time.Minute); minute != w.minute {
		w.minute, w.inMinute, w.heard = minute, 0, [kinds]bool{}
	}
	if w.inMinute >= w.cfg.MaxPerMinute && w.heard[e.kind] {
		if !e.silent {
			e.silent = true
			w.stats.Suppressed++
		}
		return
	}
	w.inMinute++
	w.heard[e.kind] = true
	if e.told != 0 {
		e.wait = min(2*e.wait, w.window)
	}
	e.told, e.said, e.silent = max(w.now, 1), e.count, false
	if e.over {
		status = statusResolved
	}
	w.stats.Told[e.kind]++
	w.tell(e.event(status, w))
}

// follow tells what has grown since it was told, and forgets what is long over. It is
// called about once a second.
func (w *Watch) follow() {
	w.standing.Each(func(_ subject, e *standing) bool {
		switch {
		case e.told == 0:
			w.say(e, statusNew)
		case e.over, e.count > e.said && w.now-e.told >= e.wait:
			w.say(e, statusUpdate)
		}
		return w.now-e.last < w.window && (!e.over || e.told == 0)
	})
}

// uidOf names a finding, the same for the same packets.
func uidOf(s subject, at int64) string {
	h := sha256.New()
	h.Write([]byte(profiles[s.kind].name))
	h.Write(s.source[:])
	h.Write(s.target[:])
	h.Write([]byte(s.name))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at)))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// event writes the finding.
func (e *standing) event(status string, w *Watch) *pb.Event {
	p := &profiles[e.kind]
	severity := p.severity
	if p.fromOutside != 0 && e.source != (packet.Addr{}) && !w.internal(e.source) {
		severity = p.fromOutside
	}
	f := &pb.DetectionFinding{
		Uid: e.uid, Title: p.title, Description: p.describe(e),
		RuleId: "flow." + p.name, RuleName: p.title,
		Tactics: p.tactics, Techniques: p.techniques,
		Confidence: p.confidence, RiskScore: float64(severity) * 20 * p.confidence,
		FalsePositives: p.falsePositives, Status: status, Observables: e.observables(),
	}
	return &pb.Event{
		Type: TypePrefix + p.name, Time: timestamppb.New(time.Unix(0, w.now)), Severity: severity,
		Body: &pb.Event_Finding{Finding: f},
	}
}
