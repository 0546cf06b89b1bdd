package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub/audit"
	"github.com/amoskys/amoskys/internal/hub/own"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

func TestAuditIsStoredAndPublished(t *testing.T) {
	db, err := state.Open(t.Context(), state.Options{File: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var published []byte
	trail := audit.New(audit.Options{
		Store: db,
		Publisher: own.New(own.Options{
			Append: func(_ context.Context, b []byte) error { published = b; return nil }, Host: "hub-1",
		}),
	})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	trail.Audit(cancelled, &pb.AuditActivity{
		Actor: "ada\xff", Operation: "agent.stop", Target: strings.Repeat("é", 2000), SrcIp: "127.0.0.1",
	})
	records, err := db.AuditTrail(t.Context(), 0, 10)
	if err != nil || len(records) != 1 || records[0].Actor != "ada" || records[0].Success {
		t.Fatalf("trail %+v, %v", records, err)
	}
	if _, err := event.Inspect(published); err != nil {
		t.Fatalf("published event: %v", err)
	}
	ev, err := event.Decode(published)
	if err != nil {
		t.Fatal(err)
	}
	if ev.GetType() != event.TypeAudit || ev.GetHost().GetName() != "hub-1" ||
		ev.GetSeverity() != pb.Severity_SEVERITY_LOW || ev.GetAudit().GetOperation() != "agent.stop" {
		t.Errorf("published %v", ev)
	}
}

type broken struct{}

func (broken) AppendAudit(context.Context, state.Audit) error { return errors.New("disk full") }

func (broken) PruneAudit(context.Context, time.Time) (int, error) { return 0, errors.New("disk full") }

// hanging is a database whose server does not answer.
type hanging struct{ broken }

func (hanging) AppendAudit(ctx context.Context, _ state.Audit) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestAuditIsPublishedWhileTheDatabaseHangs: the log has the act all the same.
func TestAuditIsPublishedWhileTheDatabaseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var published []byte
		trail := audit.New(audit.Options{
			Store: hanging{},
			Publisher: own.New(own.Options{Host: "hub-1", Append: func(ctx context.Context, b []byte) error {
				if ctx.Err() == nil {
					published = b
				}
				return ctx.Err()
			}}),
		})
		trail.Audit(t.Context(), &pb.AuditActivity{Actor: "ada", Operation: "agent.stop", Success: true})
		if _, err := event.Inspect(published); err != nil {
			t.Errorf("published %q: %v", published, err)
		}
	})
}

func TestAuditLogsWhatIsLost(t *testing.T) {
	var log bytes.Buffer
	trail := audit.New(audit.Options{
		Store:     broken{},
		Publisher: own.New(own.Options{Append: func(context.Context, []byte) error { return errors.New("log read-only") }}),
		Logger:    slog.New(slog.NewTextHandler(&log, nil)),
	})
	trail.Audit(t.Context(), &pb.AuditActivity{Actor: "ada", Operation: "agent.stop"})
	for _, want := range []string{"disk full", "log read-only", "agent.stop"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, log.String())
		}
	}
}
