package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/logsql/row"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// errNoBlocks says that the reader was not made for a store.
var errNoBlocks = errors.New("the store takes blocks: make its reader with Options.Blocks")

// Consume implements reader.Consumer.
func (in *Ingest) Consume(ctx context.Context, b *reader.Batch) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	defer signal(in.news)
	if err := in.flight.failure(); err != nil {
		return err
	}
	if len(b.Events) > 0 {
		return errNoBlocks
	}
	if b.Tail != 0 && b.Tail < in.next {
		if err := in.replaced(ctx, b.Tail); err != nil {
			return err
		}
	}
	if b.Gap != nil {
		in.passGap(b.Gap)
	}
	for i := range b.Blocks {
		if err := in.takeBlock(ctx, &b.Blocks[i]); err != nil {
			return err
		}
	}
	if b.Next > in.next {
		in.next, in.last = b.Next, in.last[:0]
	}
	in.show()
	return nil
}

// takeBlock makes rows of a block's events.
func (in *Ingest) takeBlock(ctx context.Context, e *stream.Entry) error {
	defer e.Release()
	for off, encoded := range e.Events() {
		if off < in.next {
			continue
		}
		if left, ok := event.ThinnedReading(encoded); ok {
			in.leaveOut(&left, off, e.Received)
			continue
		}
		if len(in.place.Joints) > 0 {
			in.writer.Log = in.place.logAt(off)
		}
		r, err := in.writer.Row(encoded, e.Publisher, off, e.Received)
		if err != nil {
			in.metrics.drop(dropMalformed, 1)
		} else if err := in.addRow(ctx, r, off); err != nil {
			return err
		}
		in.next = off + 1
		in.last = in.last[:0]
		if err == nil {
			in.last = append(in.last, idOf(r)...)
		}
	}
	if gap := e.Missing(max(in.next, e.From, e.First)); gap != nil {
		in.passGap(gap)
	}
	if e.Received.After(in.newest) {
		in.newest = e.Received
	}
	return nil
}

// idOf is the event's id as its row has it.
func idOf(r *row.Row) []byte {
	for i := range r.Fields {
		if r.Fields[i].Name == "id" {
			return r.Fields[i].Value
		}
	}
	return nil
}

// addRow adds a row to the batch, which goes to the engine when it is full.
func (in *Ingest) addRow(ctx context.Context, r *row.Row, off stream.Offset) error {
	if in.rows == nil {
		var err error
		if in.rows, err = in.flight.take(ctx); err != nil {
			return err
		}
	}
	if in.rows.Len() == 0 {
		in.since = in.o.now()
	}
	if r.Cut {
		in.metrics.cut(r.Whole)
	}
	in.rows.add(r, off)
	in.noteOldest(r.Time)
	in.days[dayOf(r.Time)]++
	if in.rows.Len() >= in.o.BatchRows || in.rows.Bytes() >= in.o.BatchBytes {
		in.handOver()
	}
	return nil
}

// appendRow writes a row for the engine.
func appendRow(to *vlogs.Rows, r *row.Row) {
	var tags [3]vlogs.Field
	for i := range r.Stream {
		tags[i] = vlogs.Field{Name: r.Stream[i].Name, Value: asString(r.Stream[i].Value)}
	}
	to.Begin(tags[:len(r.Stream)], r.Time)
	for i := range r.Fields {
		to.Field(r.Fields[i].Name, r.Fields[i].Value)
	}
}

// handOver has the batch inserted.
func (in *Ingest) handOver() {
	if in.rows != nil && in.rows.Len() > 0 {
		in.flight.hand(in.rows, in.next)
		in.rows = nil
	}
}

// passGap remembers what the log no longer has.
func (in *Ingest) passGap(g *stream.Gap) {
	from := max(g.From, in.next)
	if g.To <= from {
		return
	}
	in.gaps = append(in.gaps, Gap{
		Log: in.place.Log, From: from, To: g.To, Count: g.To - from, Cause: string(g.Cause), Reason: g.Reason, Time: in.o.Now().UTC(),
	})
	in.metrics.drop(dropGap, g.To-from)
	in.next, in.last = g.To, in.last[:0]
}

// replaced goes on with another log, whose end is tail. Rows of the one before stay.
func (in *Ingest) replaced(ctx context.Context, tail stream.Offset) error {
	// The reader is at the new log already, of which nothing is durable.
	if err := in.makeDurable(ctx); err != nil {
		return err
	}
	return in.nextLog(ctx, tail)
}

// beginLog begins another log. The caller holds mu, or nothing runs yet.
func (in *Ingest) beginLog(ctx context.Context, tail stream.Offset) error {
	p := in.place.clone()
	p.Log, p.Offset, p.Last, p.Joints = p.Log+1, 0, "", nil
	p.Bounds = []Bound{{Days: in.o.Retention.days()}}
	p.addGap(Gap{
		Log: in.place.Log, From: in.place.Offset, To: in.place.Offset, Cause: causeReplaced, Time: in.o.Now().UTC(),
		Reason: "the hub's log was replaced by another: what the one before held behind the store's place is not known",
	})
	in.giveUpRebuilds(&p)
	if err := p.save(in.o.FS, in.o.Path); err != nil {
		return err
	}
	in.o.Logger.WarnContext(ctx, "the hub's log is another than before: the store begins it anew and keeps what it has",
		obs.KeyOffset, in.place.Offset, "tail", tail, "log", p.Log)
	in.goToLog(ctx, p)
	return nil
}

// giveUpRebuilds tells what stays lost of days that were rebuilt from another log.
func (in *Ingest) giveUpRebuilds(p *Place) {
	p.Rebuilds = nil
	for _, r := range in.place.Rebuilds { // nobody has the rest of those days
		p.Days[r.Day] += r.Stored
		p.addGap(r.lost(in.place.Log, in.o.Now()))
	}
}

// goToLog goes on at a place in another log, which is saved.
func (in *Ingest) goToLog(ctx context.Context, p Place) {
	for _, r := range in.place.Rebuilds {
		in.rebuilt(ctx, r.Folder)
	}
	in.newRound()
	in.refusals.forgetSuspects()
	in.goTo(p)
	in.show()
}

// Causes of a Gap beside those of the log.
const (
	causeReplaced = "replaced"
	causeRebuild  = "rebuild"
	causeRefused  = "refused" // the engine did not take it
	causeDropped  = "dropped" // the engine threw it away after it had taken it
)

// OfStore reports whether the log may have the events still: the store itself lost them.
func (g *Gap) OfStore() bool {
	return g.Cause == causeRebuild || g.Cause == causeRefused || g.Cause == causeDropped
}

// tend hands over batches that nothing fills, and makes durable what is new.
func (in *Ingest) tend(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if after, more := in.look(ctx); more {
			timer.Reset(after)
			due = timer.C
		}
		select {
		case <-in.news:
		case <-due:
		case <-ctx.Done():
			return
		}
	}
}

// quietRows is below how many rows a batch waits for QuietDelay.
const quietRows = 100

// batchDelay is how long the batch that is being filled waits for more.
func (in *Ingest) batchDelay() time.Duration {
	if in.rows.Len() < quietRows {
		return in.o.QuietDelay
	}
	return in.o.BatchDelay
}

// look does what is due and says after what time more is, if anything is to be done.
func (in *Ingest) look(ctx context.Context) (after time.Duration, more bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.flight.failure() != nil {
		return 0, false // begin sees to it
	}
	now := in.o.now()
	after = in.o.BarrierEvery * quietTimes
	if in.rows != nil && in.rows.Len() > 0 {
		if wait := in.batchDelay() - now.Sub(in.since); wait <= 0 {
			in.handOver()
		} else {
			after = min(after, wait)
		}
	}
	if !in.unsettled() {
		return 0, false
	}
	if wait := in.barrierDelay() - now.Sub(in.settled); wait > 0 {
		return max(min(after, wait), time.Millisecond), true
	}
	if err := in.settle(ctx); err != nil && ctx.Err() == nil {
		in.settled = now // not again at once
		in.o.Logger.WarnContext(ctx, "the store cannot make its newest events durable yet", obs.KeyError, err)
	}
	return in.o.BatchDelay, true
}

// Bounds on Offer: how often and after what pauses it tries to get at the batch, and how
// long it waits for the engine to take it.
const (
	offerTries = 10
	offerPause = 5 * time.Millisecond
	offerTime  = 500 * time.Millisecond
)

// Offer gives the engine what waits for more to come with it, as somebody asks, and
// returns once the engine has it, or when that takes long. It reports whether something
// waited.
func (in *Ingest) Offer(ctx context.Context) bool {
	for try := 0; !in.mu.TryLock(); try++ { // whoever holds it long waits for the engine, with a batch that is full
		if try == offerTries || in.o.wait(ctx, offerPause) != nil {
			return false
		}
	}
	waits := in.rows != nil && in.rows.Len() > 0 && in.rows.Len() < quietRows && in.flight.failure() == nil
	next := in.next
	if waits {
		in.handOver()
	}
	in.mu.Unlock()
	if waits {
		ctx, cancel := context.WithTimeout(ctx, offerTime)
		defer cancel()
		in.flight.landedBefore(ctx, next)
	}
	return waits
}

// While fewer events than quietEvents are new, a barrier is made so many times more seldom:
// it syncs a dozen files, which is most of what a quiet machine's store costs, and that
// few are read again in no time.
const (
	quietEvents = 1000
	quietTimes  = 18
)

// soonTimes is how many times sooner than usual the first barriers after a start are made.
const soonTimes = 20

// barrierDelay is how long what is new stays behind the place now. After a start it is no
// longer than what the last barrier stood behind that start: so of what was stored since,
// no crash takes more than half back, and a store that dies again and again, each time
// before BarrierEvery, comes forward all the same.
func (in *Ingest) barrierDelay() time.Duration {
	if in.next-in.place.Offset < quietEvents && len(in.gaps) == 0 {
		return quietTimes * in.o.BarrierEvery
	}
	return min(in.o.BarrierEvery, max(in.settled.Sub(in.started), in.o.BarrierEvery/soonTimes))
}

// unsettled reports whether something is not durable.
func (in *Ingest) unsettled() bool { return in.next != in.place.Offset || len(in.gaps) > 0 }

// dayFormat is how days are named, in UTC.
const dayFormat = vlogs.DayFormat

const nanosPerDay = int64(24 * time.Hour)

// dayOf is a row's day since 1970; rows have no times before.
func dayOf(unixNano int64) int64 { return unixNano / nanosPerDay }

func dayName(day int64) string { return time.Unix(day*86400, 0).UTC().Format(dayFormat) }

// dayNumber is the inverse of dayName, and false for what is no day.
func dayNumber(name string) (int64, bool) {
	at, err := time.Parse(dayFormat, name)
	return at.Unix() / 86400, err == nil
}
