package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/logsql/row"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// StoreOptions say what of the store is measured.
type StoreOptions struct {
	Events int           // that are stored in each case
	Hosts  int           // that they come from, each with an agent
	Span   time.Duration // over which their times are spread, up to now
	Asks   int           // how often each question is asked; 0 asks none
	Rounds int           // how often each case is measured; the median counts
	Dir    string        // under which the engines' folders are made
	// Engine is the command of the store's engine, before its flags.
	Engine []string
	// Progress, if set, is told before each step what is done in it.
	Progress func(step string)
}

// Check returns what is wrong with the options.
func (o *StoreOptions) Check() error {
	for _, rule := range []struct {
		ok   bool
		text string
	}{
		{o.Events >= 1000 && o.Events <= 100_000_000, "events must be from 1000 to 100000000"},
		{o.Hosts >= 1 && o.Hosts <= 10_000, "hosts must be from 1 to 10000"},
		{o.Span >= time.Second && o.Span <= 365*24*time.Hour, "span must be from 1s to 8760h"},
		{o.Asks >= 0 && o.Asks <= 10_000, "asks must be from 0 to 10000"},
		{o.Rounds >= 1 && o.Rounds <= 100, "rounds must be from 1 to 100"},
		{len(o.Engine) > 0, "the engine's command is missing"},
	} {
		if !rule.ok {
			return errors.New(rule.text)
		}
	}
	return nil
}

func (o *StoreOptions) tell(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// Names of the cases, which are those of the JSON.
const (
	storeReady  = "ready"  // the engine, fed rows that were made before
	storeEvents = "events" // the engine, fed rows that are made of events as the store does
)

const (
	rowsTogether = 2_000 // of one insertion, as the store has them
	feeders      = 2     // insertions at a time
	batchEvents  = 100   // events of a sender in a row
)

// RunStore measures how fast events are stored beside ready rows, what they take on
// disk, and how fast questions about them are answered.
func RunStore(ctx context.Context, o StoreOptions) (*StoreResult, error) {
	dir, err := os.MkdirTemp(o.Dir, "amoskys-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the engines: %w", err)
	}
	defer os.RemoveAll(dir)
	result := &StoreResult{Bench: "store", Events: o.Events, Hosts: o.Hosts, SpanSeconds: o.Span.Seconds(), Rounds: o.Rounds}
	cases := map[string][]StoreCase{}
	for round := range o.Rounds {
		order := []string{storeReady, storeEvents}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, name := range order {
			last := round == o.Rounds-1 && name == order[1]
			one, err := o.measure(ctx, filepath.Join(dir, fmt.Sprint(name, round)), name, round, last, result)
			if err != nil {
				return nil, err
			}
			cases[name] = append(cases[name], *one)
		}
	}
	for _, name := range []string{storeReady, storeEvents} {
		all := cases[name]
		slices.SortFunc(all, func(a, b StoreCase) int { return cmp.Compare(a.EventsPerSecond, b.EventsPerSecond) })
		result.Cases = append(result.Cases, all[len(all)/2])
	}
	result.Ratio = result.Cases[1].EventsPerSecond / result.Cases[0].EventsPerSecond
	return result, nil
}

// measure runs one case with an engine of its own.
func (o *StoreOptions) measure(ctx context.Context, path, name string, round int, ask bool, result *StoreResult) (one *StoreCase, err error) {
	o.tell("round %d of %d: %s", round+1, o.Rounds, name)
	k := keeper.New(keeper.Options{Path: path, Socket: path + ".s", Program: o.Engine, Flags: keeper.Flags{MinFreeBytes: 1 << 20}})
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- k.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-done)
		os.RemoveAll(path)
	}()
	if _, err := k.Wait(ctx, 0); err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	client := k.Client()
	one, err = o.feed(ctx, k, name)
	if err != nil {
		return nil, err
	}
	one.DiskBytesPerEvent = float64(folderBytes(path)) / float64(o.Events)
	one.RSSBytes = peakRSS(k.State().PID)
	if ask && o.Asks > 0 {
		result.Questions, err = o.ask(ctx, client)
	}
	return one, err
}

// feed stores the events and waits until they are durable. What is made ahead is made
// in portions, between which the clocks stand.
func (o *StoreOptions) feed(ctx context.Context, k *keeper.Keeper, name string) (*StoreCase, error) {
	source, err := newStoreSource(o)
	if err != nil {
		return nil, err
	}
	one := &StoreCase{Name: name}
	var wall time.Duration
	cpu := -childCPU(k.State().PID)
	var own float64
	const portion = 50 * rowsTogether
	for left := o.Events; left > 0; left -= portion {
		o.tell("%s: %d of %d events", name, o.Events-left, o.Events)
		batches := source.next(min(left, portion))
		var ready []*vlogs.Rows
		if name == storeReady {
			w := newStoreRows()
			for _, b := range batches {
				rows := new(vlogs.Rows)
				if err := w.add(rows, b); err != nil {
					return nil, err
				}
				ready = append(ready, rows)
			}
		}
		began, used := time.Now(), cpuSeconds()
		group, inner := errgroup.WithContext(ctx)
		group.SetLimit(feeders)
		for i := range batches {
			group.Go(func() error {
				if ready != nil {
					return k.Client().Insert(inner, ready[i]) //nolint:wrapcheck // it says what failed
				}
				w := newStoreRows()
				if err := w.add(&w.rows, batches[i]); err != nil {
					return err
				}
				defer w.release()
				return k.Client().Insert(inner, &w.rows) //nolint:wrapcheck // it says what failed
			})
		}
		if err := group.Wait(); err != nil {
			return nil, fmt.Errorf("insert: %w", err)
		}
		wall += time.Since(began)
		own += cpuSeconds() - used
	}
	began, used := time.Now(), cpuSeconds()
	if err := k.Client().Barrier(ctx); err != nil {
		return nil, fmt.Errorf("make the events durable: %w", err)
	}
	wall += time.Since(began)
	own += cpuSeconds() - used
	cpu += childCPU(k.State().PID)
	one.EventsPerSecond = float64(o.Events) / wall.Seconds()
	one.CPUPerEventMicros = (cpu + own) * 1e6 / float64(o.Events)
	one.FieldsPerEvent, one.RowBytes = source.shape()
	return one, nil
}

// storeRows makes rows of events, as the store does.
type storeRows struct {
	writer *row.Writer
	tags   []vlogs.Field
	rows   vlogs.Rows
}

// newStoreRows returns one that was used before, if there is one.
func newStoreRows() *storeRows {
	select {
	case w := <-idleRows:
		return w
	default:
		return &storeRows{writer: row.NewWriter(row.Bounds{Past: 365 * 24 * time.Hour, Future: 24 * time.Hour})}
	}
}

var idleRows = make(chan *storeRows, feeders) //nolint:gochecknoglobals // buffers that are idle

func (w *storeRows) release() {
	w.rows.Reset()
	select {
	case idleRows <- w:
	default:
	}
}

func (w *storeRows) add(to *vlogs.Rows, b storeBatch) error {
	for i, encoded := range b.events {
		r, err := w.writer.Row(encoded, b.publisher, b.first+uint64(i), b.logged)
		if err != nil {
			return fmt.Errorf("make a row: %w", err)
		}
		w.tags = w.tags[:0]
		for _, f := range r.Stream {
			w.tags = append(w.tags, vlogs.Field{Name: f.Name, Value: string(f.Value)})
		}
		to.Begin(w.tags, r.Time)
		for _, f := range r.Fields {
			to.Field(f.Name, f.Value)
		}
	}
	return nil
}

// storeBatch is what is inserted at once.
type storeBatch struct {
	events    [][]byte
	first     uint64
	publisher string
	logged    time.Time
}

// storeSource gives recorded events of all hosts, spread over time.
type storeSource struct {
	senders []*corpus.Sender
	names   []string
	at      time.Time
	step    time.Duration // between batches of one host
	offset  uint64
	turn    int
	fields  int
	bytes   int
	rows    int
}

func newStoreSource(o *StoreOptions) (*storeSource, error) {
	s := &storeSource{at: time.Now().Add(-o.Span)}
	s.step = time.Duration(float64(o.Span) * batchEvents / float64(o.Events))
	hostOf := func(i int) string { return fmt.Sprintf("host-%05d", i) }
	events, err := corpus.Load(hostOf(0), "proc_agent")
	if err != nil {
		return nil, fmt.Errorf("load the recorded events: %w", err)
	}
	for i := range o.Hosts {
		sender, err := events.NewSender(hostOf(i), "proc_agent", i*97)
		if err != nil {
			return nil, fmt.Errorf("make events of a host: %w", err)
		}
		s.senders = append(s.senders, sender)
		s.names = append(s.names, "spiffe://bench.amoskys/agent/"+hostOf(i))
	}
	return s, nil
}

// next returns n events in batches as a store's reader has them: blocks of one sender
// behind those of another.
func (s *storeSource) next(n int) []storeBatch {
	var out []storeBatch
	for n > 0 {
		b := storeBatch{first: s.offset, publisher: s.names[s.turn], logged: s.at}
		for len(b.events) < rowsTogether && n > 0 {
			run := min(batchEvents, n)
			fields := s.senders[s.turn].Append(nil, run, s.at)
			block := stream.Entry{Count: run, Payload: fields}
			for _, encoded := range block.Events() {
				b.events = append(b.events, encoded)
			}
			s.at = s.at.Add(s.step)
			s.turn = (s.turn + 1) % len(s.senders)
			n -= run
		}
		s.offset += uint64(len(b.events))
		s.measure(&b)
		out = append(out, b)
	}
	return out
}

// measure notes what one row of a batch is like.
func (s *storeSource) measure(b *storeBatch) {
	w := newStoreRows()
	defer w.release()
	r, err := w.writer.Row(b.events[0], b.publisher, b.first, b.logged)
	if err != nil {
		return
	}
	s.rows++
	s.fields += len(r.Fields)
	for _, f := range r.Fields {
		s.bytes += len(f.Name) + len(f.Value)
	}
}

// shape returns how many fields a row has, and how many bytes they are.
func (s *storeSource) shape() (fields, bytes float64) {
	return float64(s.fields) / float64(s.rows), float64(s.bytes) / float64(s.rows)
}

func folderBytes(path string) (n int64) {
	_ = filepath.WalkDir(path, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it went while we looked
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}
