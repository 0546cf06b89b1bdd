package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Refusals of strangers are told once a window, whatever they do: the first of a
// reason at once, and all that follow it in that time as one act with their number.
const (
	window      = 10 * time.Minute
	mostReasons = 64 // in a window; what is of more reasons is counted together
	mostSeen    = 8  // names and addresses that an act gives
	mostKept    = 256
)

// strangers counts what is refused to them.
type strangers struct {
	mu   sync.Mutex // guards open
	open map[string]*refused
}

// refused is one reason in the present window.
type refused struct {
	act         *pb.AuditActivity // the first
	first, last time.Time
	more        int                 // after the first
	seen        map[string]struct{} // who and from where, of those after the first
}

// ofStranger says whether an act is a refusal of somebody unknown, or of somebody whose
// certificate is for something else: a failed login, a handshake, a call, an enrolment
// without a good token.
func ofStranger(act *pb.AuditActivity) bool {
	if act.GetSuccess() {
		return false
	}
	switch act.GetOperation() {
	case "user.login", "connection.refuse", "call.refuse":
		return true
	case "host.enroll":
		return act.GetActor() == "unknown"
	}
	return false
}

// count takes a refusal. It reports whether that is the first of its reason, which is
// told at once.
func (s *strangers) count(act *pb.AuditActivity, now time.Time) (first bool) {
	key := act.GetOperation() + "\x00" + act.GetDetail()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[string]*refused{}
	}
	r := s.open[key]
	if r == nil && len(s.open) >= mostReasons {
		key = ""
		r = s.open[key]
	}
	if r == nil {
		s.open[key] = &refused{act: act, first: now, last: now, seen: map[string]struct{}{}}
		return true
	}
	r.more++
	r.last = now
	if len(r.seen) < mostKept {
		r.seen[strings.Trim(act.GetActor()+" from "+act.GetSrcIp(), " ")] = struct{}{}
	}
	return false
}

// due returns an act for each reason whose window has ended, or of all, and begins
// anew with it.
func (s *strangers) due(now time.Time, all bool) (acts []*pb.AuditActivity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.open {
		if !all && now.Sub(r.first) < window {
			continue
		}
		delete(s.open, key)
		if r.more > 0 {
			acts = append(acts, r.sum(key == ""))
		}
	}
	slices.SortFunc(acts, func(a, b *pb.AuditActivity) int {
		return strings.Compare(a.GetOperation()+a.GetDetail(), b.GetOperation()+b.GetDetail())
	})
	return acts
}

// sum is one act for all that followed the first.
func (r *refused) sum(mixed bool) *pb.AuditActivity {
	reason := r.act.GetDetail()
	if mixed {
		reason = "other reasons"
	}
	names := make([]string, 0, len(r.seen))
	for who := range r.seen {
		names = append(names, who)
	}
	slices.Sort(names)
	of := strconv.Itoa(len(names))
	if len(names) >= mostKept {
		of = "more than " + of
	}
	return &pb.AuditActivity{
		Actor: "strangers", Operation: r.act.GetOperation(),
		Detail: fmt.Sprintf("%s: %d more from %s to %s, by %s, such as %s", reason, r.more,
			r.first.UTC().Format(time.RFC3339), r.last.UTC().Format(time.RFC3339), of,
			strings.Join(names[:min(len(names), mostSeen)], ", ")),
	}
}
