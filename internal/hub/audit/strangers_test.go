package audit_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/hub/audit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// shelf keeps what is recorded.
type shelf struct {
	mu     sync.Mutex
	kept   []state.Audit
	pruned []time.Time
}

func (s *shelf) AppendAudit(_ context.Context, a state.Audit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, a)
	return nil
}

func (s *shelf) PruneAudit(_ context.Context, before time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pruned = append(s.pruned, before)
	return 0, nil
}

// lines are the records as OPERATION ACTOR: DETAIL.
func (s *shelf) lines() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.kept {
		out = append(out, a.Operation+" "+a.Actor+": "+a.Detail)
	}
	return out
}

// TestStrangersAreCounted: a day of refusals is a few records, whoever is refused for
// whatever; what people who are known do is recorded one by one all the same.
func TestStrangersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		trail := audit.New(audit.Options{Store: s})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- trail.Run(ctx) }()
		refuse := func(operation, actor, detail, addr string) {
			trail.Audit(ctx, &pb.AuditActivity{Operation: operation, Actor: actor, Detail: detail, SrcIp: addr})
		}
		for i := range 10_000 {
			refuse("connection.refuse", "unknown", "unknown_authority", fmt.Sprintf("10.0.%d.%d", i/250, i%250))
			refuse("user.login", fmt.Sprint("user", i%3), "wrong name or password", "10.9.9.9")
		}
		trail.Audit(ctx, &pb.AuditActivity{Operation: "user.login", Actor: "ada", Success: true})
		trail.Audit(ctx, &pb.AuditActivity{Operation: "user.remove", Actor: "ops", Detail: "refused, and known"})
		trail.Audit(ctx, &pb.AuditActivity{Operation: "host.enroll", Actor: "token 12", Detail: "refused, and known"})
		if got := s.lines(); len(got) != 5 {
			t.Fatalf("at once: %s", strings.Join(got, "\n"))
		}
		<-time.After(20 * time.Minute)
		got := s.lines()[5:]
		if len(got) != 2 || !strings.HasPrefix(got[0], "connection.refuse strangers: unknown_authority: 9999 more from ") ||
			!strings.Contains(got[0], "by more than 256, such as unknown from 10.0.") {
			t.Fatalf("after the window: %s", strings.Join(got, "\n"))
		}
		if !strings.Contains(got[1], "by 3, such as user0 from 10.9.9.9, user1 from 10.9.9.9, user2 from 10.9.9.9") {
			t.Errorf("logins: %s", got[1])
		}
		// Reasons that nobody thought of are bounded too, and what is open when the hub
		// stops is told.
		for i := range 10_000 {
			refuse("host.enroll", "unknown", fmt.Sprint("reason ", i), "10.0.0.1")
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		got = s.lines()[7:]
		if len(got) != 66 || !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "other reasons: 9935 more") }) {
			t.Errorf("%d records of as many reasons, the last %s", len(got), got[len(got)-1])
		}
	})
}

// TestOldRecordsGo: by the clock that is believed, not by the one on the wall.
func TestOldRecordsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, believed := &shelf{}, time.Now().AddDate(-1, 0, 0)
		trail := audit.New(audit.Options{Store: s, Keep: 24 * time.Hour, Clock: func() time.Time { return believed }})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour+time.Minute)
		defer cancel()
		if err := trail.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := believed.Add(-24 * time.Hour)
		if len(s.pruned) != 3 || !s.pruned[0].Equal(want) || !s.pruned[2].Equal(want) {
			t.Errorf("pruned %v, want three times %v", s.pruned, want)
		}
		forever := &shelf{}
		if err := audit.New(audit.Options{Store: forever}).Run(ctx); err != nil || len(forever.pruned) > 0 {
			t.Errorf("pruned %v, %v", forever.pruned, err)
		}
	})
}
