// Package rules evaluates recording and alerting rules, in the file format of Prometheus
// (https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/), over the
// database of readings, by Prometheus' own package for that, and makes findings of alerts.
//
// A folder holds the files, those that end in .yml or .yaml; it is looked at every few
// seconds. Beside them are rules that come with the program (Shipped). What happens:
//
//	what happens                             what is done
//	a file has a fault                       it is refused with line and reason; what of it ran before goes on; others run
//	a file changes, comes or goes            within seconds; what is pending or fires stays, where the rule is the same
//	an alert begins to fire                  one finding, status new
//	it ends                                  the same finding, status resolved
//	its rule goes                            likewise
//	the program starts again                 `for` goes on from ALERTS_FOR_STATE; nothing is told twice
//	findings cannot be published             they wait on disk, up to maxWaiting
//	the database is not open, or is catching up after a start, or the clock is not believed
//	                                         nothing is evaluated: what fired still fires
//	a rule costs too much                    it fails, which its health says; others run
package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	prom "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"github.com/amoskys/amoskys/internal/metrics"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Database is where rules ask and write; *metrics.DB is one.
type Database interface {
	storage.Queryable
	storage.AppendableV2
	// CaughtUp reports whether it is open and has what the log has.
	CaughtUp() bool
}

// Options say which rules are evaluated over what. Database, StateFile and Tell are
// required.
type Options struct {
	Database Database
	// Path is the folder of files with rules; it need not be there.
	Path string
	// Interval is of groups that name none; 30 s.
	Interval time.Duration
	// Shipped says that the rules which come with the program are evaluated, too.
	Shipped bool
	// StateFile remembers which alerts were told.
	StateFile string
	// Tell publishes an encoded event, of the store, and returns when it is safe. After an
	// error it is called again with the same event.
	Tell func(ctx context.Context, encoded []byte) error
	// Host is that of the store, in findings.
	Host string

	Logger *slog.Logger
	// Registerer takes our metrics; nil: none.
	Registerer prometheus.Registerer
	FS         vfs.FS // of the StateFile; the operating system's where nil
	// Now is a clock that is believed; nil: time.Now.
	Now func() time.Time

	// lookEvery is how often the folder is looked at, 10 s; patience how long evaluation
	// waits after a start until the database has caught up, 10 min.
	lookEvery, patience time.Duration
	// system is the clock of the system, by which groups are evaluated; time.Now.
	system func() time.Time
}

func (o *Options) setDefaults() error {
	if o.Database == nil || o.StateFile == "" || o.Tell == nil {
		return errors.New("evaluate rules: a database, a file for their state and a way to tell are required")
	}
	o.Interval = cmp.Or(o.Interval, 30*time.Second)
	o.lookEvery, o.patience = cmp.Or(o.lookEvery, 10*time.Second), cmp.Or(o.patience, 10*time.Minute)
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.system == nil {
		o.system = time.Now
	}
	return nil
}

// What evaluation may cost. Two queries of rules run at a time, beside those that people
// ask.
const (
	running      = 2
	queryTimeout = 20 * time.Second
)

// How alerts get over a restart, as Prometheus has it by default: what was pending or fired
// within outageMost goes on, and what would fire at once waits for graceLeast.
const (
	outageMost  = time.Hour
	graceLeast  = 10 * time.Minute
	resendDelay = time.Minute
)

// Rules evaluates. Make it with New and call Run once.
type Rules struct {
	o         Options
	metrics   *selfMetrics
	evaluator *promapi.Evaluator
	slots     chan struct{}
	loader    *loader
	tellDue   chan struct{}
	manager   atomic.Pointer[prom.Manager] // nil before Run
	began     time.Time
	steady    atomic.Bool // the database has caught up since the start

	looking sync.Mutex // held while files are looked at
	keeping sync.Mutex // held while the state is written; taken before mu

	mu      sync.Mutex // guards what follows
	faults  []Fault
	told    told
	failing map[string]bool // rules whose last evaluation failed
	unkept  error           // why the state could not be written
	held    string
}

// New checks the options. Nothing is read yet. The error is that of the options or the
// Registerer.
func New(o Options) (*Rules, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	r := &Rules{
		o: o, slots: make(chan struct{}, running), tellDue: make(chan struct{}, 1), loader: newLoader(),
		evaluator: promapi.NewEvaluator(o.Database, promapi.Limits{Timeout: queryTimeout}, o.Logger), told: newTold(), failing: map[string]bool{},
	}
	var err error
	if r.metrics, err = newSelfMetrics(r, o.Registerer); err != nil {
		return nil, fmt.Errorf("register metrics of rules: %w", err)
	}
	return r, nil
}

// Run evaluates until ctx ends. It returns nil then.
func (r *Rules) Run(ctx context.Context) error {
	r.began = time.Now()
	r.loadTold(ctx)
	if !r.whenOpen(ctx) {
		return nil
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	m := r.newManager(own)
	r.manager.Store(m)
	r.reload(ctx)
	var parts sync.WaitGroup
	parts.Go(m.Run)
	parts.Go(func() { r.publish(ctx) })
	tick := time.NewTicker(r.o.lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			r.reload(ctx)
		}
	}
	cancel() // a query of a rule does not hold the end up
	m.Stop()
	parts.Wait()
	return nil
}

// whenOpen waits until the database has caught up, or for as long as it may; false: ctx has
// ended. Prometheus restores the state of alerts after the first two evaluations, from what
// the database has then.
func (r *Rules) whenOpen(ctx context.Context) bool {
	tick := time.NewTicker(min(time.Second, r.o.lookEvery))
	defer tick.Stop()
	for r.wait() != "" {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// clockOff is how far the clock of the system may be from the one that is believed.
const clockOff = time.Minute

// wait says why nothing is evaluated; empty: it is. For which time a group is evaluated says
// nothing of the clock: a group that is slower than its interval is behind.
func (r *Rules) wait() string {
	why := ""
	caughtUp := r.o.Database.CaughtUp()
	if caughtUp {
		r.steady.Store(true)
	}
	switch off := r.o.system().Sub(r.o.Now()); {
	case off.Abs() > clockOff:
		why = fmt.Sprintf("the clock of the system is %s off the one that is believed", off.Round(time.Second))
	case !caughtUp && !r.steady.Load() && time.Since(r.began) < r.o.patience:
		why = "the metrics are being read from the log since the start"
	}
	r.mu.Lock()
	r.held = why
	r.mu.Unlock()
	return why
}

func (r *Rules) newManager(ctx context.Context) *prom.Manager {
	return prom.NewManager(&prom.ManagerOptions{
		NameValidationScheme: model.LegacyValidation, Context: ctx, Logger: metrics.Silent(r.o.Logger),
		QueryFunc: r.query, NotifyFunc: func(context.Context, string, ...*prom.Alert) {}, // see follow
		AppendableV2: r.o.Database, Queryable: r.o.Database,
		OutageTolerance: outageMost, ForGracePeriod: graceLeast, ResendDelay: resendDelay, RestoreNewRuleGroups: true,
		GroupLoader: r.loader, Parser: promapi.NewBoundedParser(),
	})
}

// query answers a query of a rule, when there is room for one more.
func (r *Rules) query(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-r.slots }()
	return r.evaluator.Evaluate(ctx, text, at)
}

// evaluate evaluates a group once and tells what has changed.
func (r *Rules) evaluate(ctx context.Context, g *prom.Group, at time.Time) {
	if r.wait() != "" {
		r.metrics.skipped.Inc()
		return
	}
	prom.DefaultEvalIterationFunc(ctx, g, at)
	r.follow(ctx, g, at)
}

// reload looks at the files, and has what has changed evaluated.
func (r *Rules) reload(ctx context.Context) {
	r.looking.Lock()
	defer r.looking.Unlock()
	files, err := r.loader.look(r.o.Path, r.o.Shipped)
	m := r.manager.Load()
	switch {
	case err != nil:
		r.noteFaults(ctx, append(r.loader.faults(), Fault{File: r.o.Path, Reason: err.Error()}))
		return
	case m == nil:
		return
	case files == nil: // nothing has changed, but there may be room again for ends of alerts
		r.dropGone(ctx)
		return
	}
	r.noteFaults(ctx, r.loader.faults())
	err = m.Update(r.o.Interval, files, labels.EmptyLabels(), "", r.evaluate)
	if err != nil { // the loader has parsed all of it
		r.o.Logger.ErrorContext(ctx, "rules do not load", obs.KeyError, err)
		return
	}
	r.dropGone(ctx)
	r.o.Logger.InfoContext(ctx, "rules are loaded", obs.KeyPath, r.o.Path, "files", len(files), "rules", r.loader.count())
}

// noteFaults keeps why files are refused, and logs what is new of it.
func (r *Rules) noteFaults(ctx context.Context, faults []Fault) {
	r.mu.Lock()
	known := map[Fault]bool{}
	for _, f := range r.faults {
		known[f] = true
	}
	r.faults = faults
	r.mu.Unlock()
	for _, f := range faults {
		if !known[f] {
			r.o.Logger.WarnContext(ctx, "a file with rules is refused", obs.KeyPath, f.File, "line", f.Line, obs.KeyReason, f.Reason)
		}
	}
}

// Faults are why files are refused, in the order of their names.
func (r *Rules) Faults() []Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Fault(nil), r.faults...)
}

// Status says how rules are: "ok", or "degraded" with why. A file that is refused is told
// and degrades nothing: what of it ran before goes on, and so do others.
func (r *Rules) Status() (state, reason string) {
	r.mu.Lock()
	faults, unkept, full, held := r.faults, r.unkept, r.told.isFull(), r.held
	r.mu.Unlock()
	switch {
	case held != "" && r.steady.Load():
		return degraded, "rules: nothing is evaluated: " + held
	case unkept != nil:
		return degraded, "rules: which alerts were told cannot be written, so that after a restart some may be told again: " + unkept.Error()
	case full:
		return degraded, "rules: findings of alerts cannot be published, and more have no room"
	case len(faults) > 0:
		more := ""
		if n := len(faults) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		return "ok", "rules: " + faults[0].String() + more
	}
	return "ok", ""
}

const degraded = "degraded"
