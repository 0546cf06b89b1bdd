// Package audit records administrative acts: in the state database, where they
// are never changed, and as audit events in the log, where every subscriber
// sees them.
package audit

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Store keeps the trail; *state.DB does.
type Store interface {
	AppendAudit(ctx context.Context, a state.Audit) error
}

// Options are what a Trail needs.
type Options struct {
	Store Store
	// Publish appends one encoded event to the log; the hub's function for its
	// own events.
	Publish func(ctx context.Context, encoded []byte) error
	// Host is where the hub runs, and Version what runs.
	Host, Version string
	Now           func() time.Time
	Logger        *slog.Logger
}

// Trail records acts. It is safe for concurrent use.
type Trail struct {
	o      Options
	origin event.Origin
}

// timeout bounds the recording of one act, which must not depend on the
// patience of whoever asked for it.
const timeout = 10 * time.Second

// New returns a Trail.
func New(o Options) *Trail {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Trail{o: o, origin: event.Origin{
		Agent: &pb.Agent{Id: "hub", Kind: "hub", Version: o.Version},
		Host:  &pb.Host{Name: o.Host},
		Now:   o.Now,
	}}
}

// Audit records an act that has happened. What cannot be recorded, because a
// disk is full say, is logged as an error instead: an administrator must be able
// to act then more than ever. It goes on when ctx is cancelled.
func (t *Trail) Audit(ctx context.Context, act *pb.AuditActivity) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	act = clean(act)
	err := t.o.Store.AppendAudit(ctx, state.Audit{
		Time: t.o.Now(), Actor: act.GetActor(), Operation: act.GetOperation(), Target: act.GetTarget(),
		Success: act.GetSuccess(), Detail: act.GetDetail(), SrcIP: act.GetSrcIp(),
	})
	if err != nil {
		t.lost(ctx, act, err)
	}
	if err := t.publish(ctx, act); err != nil {
		t.lost(ctx, act, err)
	}
}

func (t *Trail) publish(ctx context.Context, act *pb.AuditActivity) error {
	if t.o.Publish == nil {
		return nil
	}
	ev := &pb.Event{Type: event.TypeAudit, Body: &pb.Event_Audit{Audit: act}}
	if !act.GetSuccess() {
		ev.Severity = pb.Severity_SEVERITY_LOW
	}
	if err := t.origin.Complete(ev); err != nil {
		return fmt.Errorf("make audit event: %w", err)
	}
	encoded, err := event.Encode(ev)
	if err != nil {
		return err
	}
	if err := t.o.Publish(ctx, encoded); err != nil {
		return fmt.Errorf("publish audit event: %w", err)
	}
	return nil
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
