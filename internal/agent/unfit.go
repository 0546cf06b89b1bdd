package agent

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/event"
)

// unfit counts the events that could not be encoded, or that no hub would take.
// Each is dropped alone: neither its call nor its agent suffers.
type unfit struct {
	mu       sync.Mutex // guards what follows
	byReason map[string]uint64
	last     string // which event, and why
}

// note counts one event of this type.
func (u *unfit) note(typ string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byReason == nil {
		u.byReason = map[string]uint64{}
	}
	u.byReason[unfitReason(err)]++
	u.last = fmt.Sprintf("an event of type %.80q: %v", typ, err)
}

// read returns the counts by reason, their sum and the last event of them.
func (u *unfit) read() (byReason map[string]uint64, total uint64, last string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.byReason), dropTotal(u.byReason), u.last
}

// errNoEvent is why nil is no event.
var errNoEvent = fmt.Errorf("%w: there is none", event.ErrMalformed)

// unfitReason is the label of a dropped event. The words are those of the hub's
// refusals.
func unfitReason(err error) string {
	switch {
	case errors.Is(err, spool.ErrTooLarge):
		return "too_large"
	case errors.Is(err, event.ErrNoID):
		return "no_id"
	case errors.Is(err, event.ErrNoTime):
		return "no_time"
	case errors.Is(err, event.ErrNoType), errors.Is(err, event.ErrBadType):
		return "no_type"
	case errors.Is(err, event.ErrReservedType):
		return "reserved_type"
	case errors.Is(err, event.ErrNotObserver):
		return "wrong_host"
	default:
		return "malformed"
	}
}

// dropsByReason is every event lost on this machine, by reason.
func (r *runner) dropsByReason() map[string]uint64 {
	sp := r.spool.Stats()
	out, _, _ := r.publish.unfit.read()
	if out == nil {
		out = map[string]uint64{}
	}
	out["full"], out["disk"], out["damaged"] = sp.DroppedFull, sp.DroppedDisk, sp.DamagedEvents
	return out
}

// maxReasonBytes bounds the text of a condition.
const maxReasonBytes = 1 << 10

// plain is text that fits into an event whatever it was made of.
func plain(text string) string {
	if len(text) > maxReasonBytes {
		text = text[:maxReasonBytes]
	}
	return strings.ToValidUTF8(text, "·")
}
