package ingest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

// slate is a Turn that is written on in memory.
type slate struct {
	newest Claim
	full   error // why nothing can be written
	writes int
}

func (s *slate) Publish(_ context.Context, owner string, place []byte) error {
	if s.full != nil {
		return s.full
	}
	s.writes++
	s.newest = Claim{Owner: owner, Place: string(place), ID: strconv.Itoa(s.writes)}
	return nil
}

func (s *slate) Published(context.Context) (Claim, error) { return s.newest, nil }

// counted are rows of which only their number by days is known.
type counted struct {
	Rows

	days    map[string]uint64
	deleted int
}

func (*counted) Barrier(context.Context) error { return nil }

func (c *counted) Delete(context.Context, string) error {
	c.deleted++
	return nil
}

func (c *counted) Query(_ context.Context, q vlogs.Query, each func([]vlogs.Field) error) error {
	sum := uint64(0)
	for name, n := range c.days {
		at, err := time.Parse(dayFormat, name)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(q.Text, "_time:") || strings.HasPrefix(q.Text, "_time:"+at.Format(time.DateOnly)+"Z ") {
			sum += n
		}
	}
	return each([]vlogs.Field{{Name: "n", Value: strconv.FormatUint(sum, 10)}})
}

func (c *counted) Days(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(c.days)), nil
}

// countedEngine is an engine of such rows.
type countedEngine struct {
	Engine

	rows *counted
}

func (*countedEngine) State() keeper.State { return keeper.State{Running: true, Starts: 1} }

func (e *countedEngine) Rows() Rows { return e.rows }

// turning is a store that may feed such an engine, with a clock that pauses move on.
type turning struct {
	*Ingest
	slate *slate
	rows  *counted
	now   time.Time
	pause func() // at each, nil: nothing
}

func newTurning(t *testing.T) *turning {
	t.Helper()
	s := &turning{slate: &slate{}, rows: &counted{days: map[string]uint64{}}, now: time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)}
	var err error
	s.Ingest, err = New(Options{
		Engine: &countedEngine{rows: s.rows}, Source: &reader.Local{Log: streamtest.NewModel()}, Path: t.TempDir(),
		Turn: TurnOptions{Turn: s.slate, Owner: "one"}, now: func() time.Time { return s.now }, Now: func() time.Time { return s.now },
		wait: func(ctx context.Context, d time.Duration) error {
			s.now = s.now.Add(d)
			if s.pause != nil {
				s.pause()
			}
			return context.Cause(ctx)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTurnThatOthersDoNotSee: what cannot be written down, as the disks are full, does not
// keep the turn: another store counts from what it saw last.
func TestTurnThatOthersDoNotSee(t *testing.T) {
	s := newTurning(t)
	if err := s.takeTurn(t.Context()); err != nil || s.inDoubt() {
		t.Fatalf("in doubt %v, %v", s.inDoubt(), err)
	}
	step := s.o.Turn.Lasts / 8
	for range 20 {
		s.now = s.now.Add(step)
		if err := s.confirm(t.Context()); err != nil || s.inDoubt() {
			t.Fatalf("in doubt %v, %v", s.inDoubt(), err)
		}
	}
	s.slate.full = errors.New("no room")
	for range 5 {
		s.now = s.now.Add(step)
		_ = s.confirm(t.Context()) // it fails, or finds that it is in doubt
	}
	if _, ours := s.Writer(); !s.inDoubt() || ours {
		t.Errorf("in doubt %v, ours %v", s.inDoubt(), ours)
	}
	s.slate.full = nil
	if err := s.confirm(t.Context()); err != nil || !s.inDoubt() {
		t.Errorf("it goes on without a claim: %v", err)
	}
}

// TestTurnIsTakenAnew: after a doubt what lies behind the place is mended, as it may be
// another store's.
func TestTurnIsTakenAnew(t *testing.T) {
	s := newTurning(t)
	if err := s.takeTurn(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.flight.clear(0)
	s.now = s.now.Add(s.o.Turn.Lasts)
	if err := s.takeTurn(t.Context()); err != nil || s.inDoubt() || !errors.Is(s.flight.failure(), errNotOurTurn) {
		t.Errorf("in doubt %v, failure %v, %v", s.inDoubt(), s.flight.failure(), err)
	}
}

// TestTwoClaim: of two stores that hold the turn for free at once the one has it that wrote
// last, also where it was the other's before.
func TestTwoClaim(t *testing.T) {
	s := newTurning(t)
	s.slate.newest = Claim{Owner: "one", ID: "before"}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	pauses := 0
	s.pause = func() {
		s.slate.newest = Claim{Owner: "two", ID: "then"}
		if pauses++; pauses == 3 { // after the claim, before the next look, and behind that
			end()
		}
	}
	if err := s.takeTurn(ctx); !errors.Is(err, context.Canceled) || !s.inDoubt() {
		t.Errorf("in doubt %v, %v", s.inDoubt(), err)
	}
	if owner, ours := s.Writer(); owner != "two" || ours {
		t.Errorf("the turn is of %q", owner)
	}
}

// TestNothingIsDeletedInDoubt: who does not know whether it is its turn deletes nothing.
func TestNothingIsDeletedInDoubt(t *testing.T) {
	s := newTurning(t)
	if err := s.takeTurn(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(s.o.Turn.Lasts)
	if err := s.mend(t.Context(), s.o.Engine.State(), true); !errors.Is(err, errNotOurTurn) {
		t.Error(err)
	}
	s.rows.days["20260510"] = 3
	if err := s.lookForLoss(t.Context()); !errors.Is(err, errNotOurTurn) || s.place.Refill != nil {
		t.Errorf("%v, %v", s.place.Refill, err)
	}
	if s.rows.deleted > 0 {
		t.Errorf("%d deletions", s.rows.deleted)
	}
}

// TestNoPlaceIsTold: a store that does not know its place does not tell others one.
func TestNoPlaceIsTold(t *testing.T) {
	s := newTurning(t)
	if err := s.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the claim, and what keeps the turn until the place is found
		if err := s.takeTurn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.slate.newest.Place != "" {
			t.Errorf("told: %s", s.slate.newest.Place)
		}
		if err := s.confirm(t.Context()); err != nil || s.slate.newest.Place != "" {
			t.Errorf("%v, told: %s", err, s.slate.newest.Place)
		}
	}
}

// TestShownPlaceStays: days that are forgotten, as retention removed them, leave the place
// alone that others look at meanwhile.
func TestShownPlaceStays(t *testing.T) {
	s := newTurning(t)
	s.rows.days["20260510"] = 3
	days := map[string]uint64{"20260510": 3, "20200101": 5}
	s.goTo(Place{Days: maps.Clone(days), Newest: s.now})
	s.show()
	if err := s.lookForLoss(t.Context()); err != nil || s.place.Refill != nil {
		t.Fatalf("%v, %v", s.place.Refill, err)
	}
	if !maps.Equal(s.view.place.Days, days) || len(s.place.Days) != 1 {
		t.Errorf("shown %v, kept %v", s.view.place.Days, s.place.Days)
	}
}
