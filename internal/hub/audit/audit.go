// Package audit records administrative acts: in the state database, where they
// are never changed, and as audit events in the log, where every subscriber
// sees them.
package audit

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Store keeps the trail; *state.DB does.
type Store interface {
	AppendAudit(ctx context.Context, a state.Audit) error
	// PruneAudit forgets records from before a time, and returns how many.
	PruneAudit(ctx context.Context, before time.Time) (int, error)
}

// Options are what a Trail needs.
type Options struct {
	Store Store
	// Publisher puts the hub's own events into the log.
	Publisher Publisher
	// Keep is how long records are kept; 0 is for ever.
	Keep time.Duration
	Now  func() time.Time
	// Clock is what age is told by, so that a wall clock that is ahead for a minute
	// costs nothing; nil is Now.
	Clock  func() time.Time
	Logger *slog.Logger
}

// Publisher publishes events as the hub; *own.Publisher does.
type Publisher interface {
	Publish(ctx context.Context, ev *pb.Event) error
}

// Trail records acts. It is safe for concurrent use.
type Trail struct {
	o         Options
	strangers strangers
}

// timeout bounds the recording of one act in the database, and then in the log, which
// must not depend on the patience of whoever asked for it, nor the log on that of a
// database that does not answer.
const timeout = 10 * time.Second

// New returns a Trail.
func New(o Options) *Trail {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = o.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	return &Trail{o: o}
}

// Audit records an act that has happened. What cannot be recorded, because a
// disk is full say, is logged as an error instead: an administrator must be able
// to act then more than ever. It goes on when ctx is cancelled. Refusals of strangers
// are counted, so that nobody without a certificate or an account can fill the disk:
// see Run.
func (t *Trail) Audit(ctx context.Context, act *pb.AuditActivity) {
	if act = clean(act); ofStranger(act) && !t.strangers.count(act, t.o.Now()) {
		return
	}
	t.record(ctx, act)
}

func (t *Trail) record(ctx context.Context, act *pb.AuditActivity) {
	ctx = context.WithoutCancel(ctx)
	for _, to := range []func(context.Context, *pb.AuditActivity) error{t.store, t.publish} {
		if err := bounded(ctx, act, to); err != nil {
			t.lost(ctx, act, err)
		}
	}
}

func bounded(ctx context.Context, act *pb.AuditActivity, to func(context.Context, *pb.AuditActivity) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return to(ctx, act)
}

func (t *Trail) store(ctx context.Context, act *pb.AuditActivity) error {
	return t.o.Store.AppendAudit(ctx, state.Audit{
		Time: t.o.Now(), Actor: act.GetActor(), Operation: act.GetOperation(), Target: act.GetTarget(),
		Success: act.GetSuccess(), Detail: act.GetDetail(), SrcIP: act.GetSrcIp(),
	})
}

func (t *Trail) publish(ctx context.Context, act *pb.AuditActivity) error {
	if t.o.Publisher == nil {
		return nil
	}
	ev := &pb.Event{Type: event.TypeAudit, Body: &pb.Event_Audit{Audit: act}}
	if !act.GetSuccess() {
		ev.Severity = pb.Severity_SEVERITY_LOW
	}
	return t.o.Publisher.Publish(ctx, ev)
}

func (t *Trail) lost(ctx context.Context, act *pb.AuditActivity, err error) {
	t.o.Logger.ErrorContext(ctx, "audit record lost", "error", err, "actor", act.GetActor(),
		"operation", act.GetOperation(), "target", act.GetTarget(), "success", act.GetSuccess())
}

// maxText bounds each text of a record, in bytes.
const maxText = 1 << 10

// clean copies an act with texts that are short and UTF-8, as they may come
// from whoever tries to log in.
func clean(act *pb.AuditActivity) *pb.AuditActivity {
	text := func(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "") }
	return &pb.AuditActivity{
		Actor: text(act.GetActor()), Operation: text(act.GetOperation()), Target: text(act.GetTarget()),
		Success: act.GetSuccess(), Detail: text(act.GetDetail()), SrcIp: text(act.GetSrcIp()),
	}
}
