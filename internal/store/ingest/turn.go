package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// Turn is where several stores that may feed one cluster agree on which of them does: the
// cluster itself, in which the one that does writes its place down, with its name, again
// and again. The others read it, answer by it, and stand by.
//
//	the newest that is written is       a store that may write
//	its own                             goes on
//	of another, and changes             stands by
//	of another, the same for Lasts      writes its own name, and looks after a pause whether
//	                                    that is the newest: then it is its turn, from the
//	                                    place that was written
//
// Who has the turn gives and deletes no rows when it could not write that down for half of
// Lasts: so nobody is in doubt when another begins. Times are each store's own, from when it saw
// a thing, so clocks that differ do not matter.
type Turn interface {
	// Publish writes down that it is the turn of an owner, whose place is as Place.encode
	// has it, and returns once others see it.
	Publish(ctx context.Context, owner string, place []byte) error
	// Published is what was written last; owner is "" where nothing was.
	Published(ctx context.Context) (Claim, error)
}

// Claim is what a store wrote down.
type Claim struct {
	Owner string
	Place string
	ID    string // another one for each Publish
}

// TurnOptions are those of a store among several.
type TurnOptions struct {
	Turn  Turn   // nil: there is no other
	Owner string // this store, by a name that no other has
	// Standby says that it is never this store's turn.
	Standby bool
	// Lasts is how long a turn lasts after it was written down last, TurnLasts.
	Lasts time.Duration
	// Settles is how long after a claim it is looked whose was the last, 2 s.
	Settles time.Duration
	// Every is how often a store that stands by looks, 2 s.
	Every time.Duration
}

// TurnLasts is how long a turn lasts where nobody says.
const TurnLasts = 90 * time.Second

func (o *TurnOptions) setDefaults() {
	o.Lasts = orElse(o.Lasts, TurnLasts)
	o.Settles = orElse(o.Settles, 2*time.Second)
	o.Every = orElse(o.Every, 2*time.Second)
}

// turn is what is known of it. The mutex of view guards it.
type turn struct {
	ours bool
	seen time.Time // when that was begun to be written which last said that it is ours
	of   string    // whose it is, "" where nobody knows
}

// errNotOurTurn says that another store feeds the cluster, or may.
var errNotOurTurn = errors.New("it is another store's turn to write into the cluster")

// Writer is whose turn it is to feed the engine; ours is true where it is this store's.
func (in *Ingest) Writer() (owner string, ours bool) {
	in.view.Lock()
	defer in.view.Unlock()
	return in.view.turn.of, in.view.turn.ours || in.o.Turn.Turn == nil
}

// inDoubt reports whether others may not have seen lately that it is this store's turn.
func (in *Ingest) inDoubt() bool {
	if in.o.Turn.Turn == nil {
		return false
	}
	in.view.Lock()
	defer in.view.Unlock()
	t := &in.view.turn
	// By both clocks: one stands still while a machine sleeps, the other may be set back.
	now, half := in.o.now(), in.o.Turn.Lasts/2
	return !t.ours || now.Sub(t.seen) > half || now.Round(0).Sub(t.seen.Round(0)) > half
}

// noteOurs notes that it is this store's turn, which it began to write down then.
func (in *Ingest) noteOurs(began time.Time) {
	in.view.Lock()
	defer in.view.Unlock()
	in.view.turn = turn{ours: true, seen: began, of: in.o.Turn.Owner}
}

// noteTheirs notes that it is another store's turn, "" where nobody knows whose.
func (in *Ingest) noteTheirs(of string) {
	in.view.Lock()
	defer in.view.Unlock()
	in.view.turn = turn{of: of}
}

// takeTurn returns once it is this store's turn, with the place where it goes on. The
// error is ctx's or the engine's.
func (in *Ingest) takeTurn(ctx context.Context) error {
	if !in.inDoubt() {
		return nil
	}
	in.noteTheirs("")
	in.flight.fail(errNotOurTurn) // another store may write: begin mends what it left behind its place
	o := &in.o.Turn
	var last Claim
	since := in.o.now()
	for {
		c, err := o.Turn.Published(ctx)
		if err != nil {
			return fmt.Errorf("look whose turn it is: %w", err)
		}
		if c != last {
			last, since = c, in.o.now()
		}
		if c.Owner != "" && c.Owner != o.Owner {
			in.standBy(ctx, &c)
		}
		free := c.Owner == "" || c.Owner == o.Owner || in.o.now().Sub(since) >= o.Lasts
		if free && !o.Standby {
			if mine, err := in.claim(ctx, &c); mine || err != nil {
				return err
			}
		}
		if err := in.o.wait(ctx, o.Every); err != nil {
			return err
		}
	}
}

// standBy takes over what another store has stored, for answers.
func (in *Ingest) standBy(ctx context.Context, c *Claim) {
	in.noteTheirs(c.Owner)
	if c.Place == "" {
		return // it has none yet
	}
	p, err := decodePlace([]byte(c.Place))
	if err != nil {
		in.o.Logger.WarnContext(ctx, "what another store wrote into the cluster cannot be read", obs.KeyError, err)
		return
	}
	in.mu.Lock()
	in.goTo(p.clone())
	in.lost = false
	in.oldest = 0
	in.show()
	in.mu.Unlock()
	// The end of the log tells how far the other one is behind it.
	if _, err := in.peek(ctx, p.Offset); err != nil && ctx.Err() == nil {
		in.o.Logger.DebugContext(ctx, "the log's end is not known", obs.KeyError, err)
	}
}

// claim writes down that it is this store's turn, and looks whether it is. before is what
// was written last: of another store it is where this one goes on.
func (in *Ingest) claim(ctx context.Context, before *Claim) (mine bool, err error) {
	o := &in.o.Turn
	in.mu.Lock()
	place, known := in.place.clone(), !in.lost
	in.mu.Unlock()
	switch other := before.Owner != "" && before.Owner != o.Owner; {
	case other && before.Place == "": // it had none, and may have deleted what ours tells of
		known = false
	case other, before.Place != "" && !known:
		p, err := decodePlace([]byte(before.Place))
		if err != nil {
			return false, fmt.Errorf("read where another store was: %w", err)
		}
		place, known = p.clone(), true
		in.o.Logger.InfoContext(ctx, "this store takes its turn to write into the cluster, where another one was",
			"owner", before.Owner, obs.KeyOffset, place.Offset)
	}
	var encoded []byte
	if known {
		if encoded, err = place.encode(); err != nil {
			return false, err
		}
	}
	began := in.o.now()
	if err := o.Turn.Publish(ctx, o.Owner, encoded); err != nil {
		return false, fmt.Errorf("take the turn to write: %w", err)
	}
	// Also where the claim before was this store's: another may have held it for gone.
	if err := in.o.wait(ctx, o.Settles); err != nil {
		return false, err
	}
	c, err := o.Turn.Published(ctx)
	if err != nil {
		return false, fmt.Errorf("look whose turn it is: %w", err)
	}
	if c.Owner != o.Owner {
		return false, nil
	}
	if err := in.adopt(ctx, place, known); err != nil {
		return false, err
	}
	if before.Owner != o.Owner {
		in.noteGivenUp() // what the other one gave last may land yet
	}
	in.noteOurs(began)
	return true, nil
}

// adopt goes on at a place, which is held against the log; where none is known, at the
// log's oldest event.
func (in *Ingest) adopt(ctx context.Context, p Place, known bool) error {
	in.mu.Lock()
	in.lost = !known
	if known {
		if err := p.save(in.o.FS, in.o.Path); err != nil {
			in.mu.Unlock()
			return err
		}
		in.goTo(p)
	}
	in.show()
	in.mu.Unlock()
	return in.tryPlace(ctx)
}

// keepTurn writes down again and again that it is this store's turn, and stops what it
// gives when it is not.
func (in *Ingest) keepTurn(ctx context.Context) {
	if in.o.Turn.Turn == nil {
		return
	}
	for in.o.wait(ctx, in.o.Turn.Lasts/8) == nil {
		if _, ours := in.Writer(); !ours {
			continue // whose it is, takeTurn finds out; what is mended meanwhile may take long
		}
		if err := in.confirm(ctx); err != nil && ctx.Err() == nil {
			in.o.Logger.WarnContext(ctx, "the store cannot tell others that it writes into the cluster", obs.KeyError, err)
		}
	}
}

// confirm looks that it is still this store's turn, and says so to others.
func (in *Ingest) confirm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, in.o.Turn.Lasts/4)
	defer cancel()
	if in.inDoubt() { // another may have it: takeTurn claims it as any store does
		in.noteTheirs("")
		in.flight.fail(errNotOurTurn)
		return nil
	}
	began := in.o.now()
	c, err := in.o.Turn.Turn.Published(ctx)
	if err != nil {
		return err //nolint:wrapcheck // the caller says what for
	}
	if c.Owner != in.o.Turn.Owner {
		in.noteTheirs(c.Owner)
		in.flight.fail(errNotOurTurn)
		return nil
	}
	in.view.Lock()
	p, known := in.view.place.clone(), !in.view.lost
	in.view.Unlock()
	var encoded []byte // who takes over without a place looks for it
	if known {
		if encoded, err = p.encode(); err != nil {
			return err
		}
	}
	if err := in.o.Turn.Turn.Publish(ctx, in.o.Turn.Owner, encoded); err != nil {
		return err //nolint:wrapcheck // the caller says what for
	}
	// What others have not seen does not keep them waiting.
	in.noteOurs(began)
	return nil
}
