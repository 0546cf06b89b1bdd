// Package keeper runs the store's engine as a child process and outlives it. It looks at
// the engine's folder before each start, waits until the engine serves, restarts it with
// growing pauses, finds out which day's files are to blame for its end, sets that day
// aside and lets the rest answer (docs/decisions/0014).
//
//	DIR/engine/            the engine's; partitions/YYYYMMDD in it are days, in UTC
//	DIR/quarantine/        days set aside: DAY-TIMESTAMP, and DAY-TIMESTAMP.json saying why
//	DIR/sums/              checksums of each day's files
//	DIR/unclean            is there unless the engine stopped in order and nothing is to be mended
package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Names below Options.Path.
const (
	engineFolder     = "engine"
	quarantineFolder = "quarantine"
	uncleanFile      = "unclean"
	// What it says: the engine runs, or did not end in order; and did not before either,
	// and what that left is not mended.
	markRunning = "running\n"
	markMending = "mending\n"
)

// Options say what to run and where.
type Options struct {
	Path   string // folder of the store; made if there is none
	Socket string // Unix socket of the engine; its folder must exist, and at most 100 bytes long
	// Program is the engine: the arguments before --socket, --path and --flag, such as
	// {"/usr/bin/amoskys", "store-engine"}.
	Program []string
	Env     []string // its whole environment; nil for ours
	Flags   Flags
	Logger  *slog.Logger // nil logs nowhere
	// OnSetAside is called after a day was set aside, while the engine is down. May be nil.
	OnSetAside func(SetAside)
	// Wrap puts something around what sends requests to the engine; nil: nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Pauses before an engine that ended by itself is started again. They grow while it ends
// before it has run for as long as settled: one that ends seldom costs next to nothing,
// and one that cannot start no processor.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 30 * time.Second
	settled    = time.Second
)

// Flags are what of the engine's flags a store decides on. Zero values are its defaults.
type Flags struct {
	MinFreeBytes int64         // of disk space, below which it takes no rows; 0 for 1 GiB, see README of the configuration
	MaxQueries   int           // at the same time
	MaxQueueTime time.Duration // of a query that waits for others
	MaxQueryTime time.Duration // 0 for 10 minutes; a query may ask for less
	MemoryBytes  int64         // of caches and of what queries keep
	// FlushInterval is after how long the engine writes rows to disk by itself; 0 for 10
	// minutes, as a barrier (vlogs.Client) does so before.
	FlushInterval time.Duration
	More          map[string]string
}

// never is longer than anything is kept: the engine shall delete nothing by its own
// clock, which may be wrong. Whoever keeps the store removes days by name (Remove).
const never = "100y"

// arguments are the flags as the engine's program takes them.
func (f *Flags) arguments() []string {
	flags := map[string]string{
		"retentionPeriod":         never,
		"futureRetention":         never,
		"search.maxQueryDuration": "10m",
		// What people write is bounded by package logsql, which makes up to 32 times as much of it.
		"search.maxQueryLen": "1MiB",
	}
	set := func(name, value string, given bool) {
		if given {
			flags[name] = value
		}
	}
	flags["storage.minFreeDiskSpaceBytes"] = strconv.FormatInt(cmp.Or(f.MinFreeBytes, 1<<30), 10)
	flags["inmemoryDataFlushInterval"] = cmp.Or(f.FlushInterval, 10*time.Minute).String()
	set("search.maxConcurrentRequests", strconv.Itoa(f.MaxQueries), f.MaxQueries > 0)
	set("search.maxQueueDuration", f.MaxQueueTime.String(), f.MaxQueueTime > 0)
	set("search.maxQueryDuration", f.MaxQueryTime.String(), f.MaxQueryTime > 0)
	set("memory.allowedBytes", strconv.FormatInt(f.MemoryBytes, 10), f.MemoryBytes > 0)
	maps.Copy(flags, f.More)
	out := make([]string, 0, 2*len(flags))
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		out = append(out, "--flag", name+"="+flags[name])
	}
	return out
}

// State is what is known of the engine now.
type State struct {
	Running bool // it serves
	// Silent is for how long the process that runs has not answered when it was asked; 0
	// where it answers, and for the first few seconds. It is killed if that lasts.
	Silent   time.Duration
	Starts   uint64 // how often a process was started, since Run
	Restarts int    // after it ended by itself
	PID      int    // 0 where there is no process
	Reason   string // why it does not serve, for people; empty where it does
	// Unclean says that rows behind the last barrier may be there in part: they are to be
	// deleted and inserted again (Mended).
	Unclean  bool
	SetAside []SetAside // oldest first
}

// Keeper keeps one engine. Run must be called once.
type Keeper struct {
	o      Options
	client *vlogs.Client
	logger *slog.Logger
	child  *child.Child

	mu    sync.Mutex // guards what follows
	state State
	end   ending // how the last process ended
	// suspects are days to set aside before the next start, and why.
	suspects   map[string]string
	changed    chan struct{} // closed at each change of state
	refused    error         // no engine may be started
	serving    bool          // the process that runs answered once
	answered   time.Time     // when the process answeredBy answered last
	answeredBy int
	misses     int // questions that it left unanswered since

	doubts   chan string          // days whose files are to be compared
	doubted  map[string]time.Time // by day, until when it is not compared for a doubt
	nameless int                  // starts in vain that no day was found guilty of; before's alone

	files   sync.Mutex        // guards what follows, and the folders sums/ and removing/
	scanned map[string]string // by day, listStamp of what its ledger knows
}

// New returns a keeper of an engine that is not started yet.
func New(o Options) *Keeper {
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	k := &Keeper{
		o: o, logger: o.Logger, client: vlogs.NewClient(vlogs.Options{Address: "unix:" + o.Socket, Wrap: o.Wrap}), changed: make(chan struct{}),
		suspects: map[string]string{}, scanned: map[string]string{}, doubts: make(chan string, 1), doubted: map[string]time.Time{},
	}
	args := append(slices.Clone(o.Program), "--socket", o.Socket, "--path", k.engineDir())
	k.child = child.New(child.Options{
		Name: "store-engine", Argv: append(args, o.Flags.arguments()...), Env: o.Env,
		// What it writes may hold events, and is not for our log: noteChild says what is.
		Logger: obs.Discard(), Before: k.before, Changed: k.noteChild,
		StopTimeout: 30 * time.Second, BackoffMin: firstPause, BackoffMax: lastPause, Settled: settled,
		Answers: k.answers,
	})
	return k
}

func (k *Keeper) engineDir() string     { return filepath.Join(k.o.Path, engineFolder) }
func (k *Keeper) quarantineDir() string { return filepath.Join(k.o.Path, quarantineFolder) }
func (k *Keeper) sumsDir() string       { return filepath.Join(k.o.Path, sumsFolder) }

// Client asks the engine. It is good for as long as the keeper is, whichever process runs.
func (k *Keeper) Client() *vlogs.Client { return k.client }

// State returns what is known now.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.state
	if s.Running && k.silent() {
		s.Silent = max(time.Since(k.answered), 1)
	}
	s.SetAside = slices.Clone(s.SetAside)
	return s
}

// Wait returns the state once the engine serves in a process that was started after the
// first `after` ones (0 for any), or the error of ctx.
func (k *Keeper) Wait(ctx context.Context, after uint64) (State, error) {
	for {
		k.mu.Lock()
		s, changed := k.state, k.changed
		s.SetAside = slices.Clone(s.SetAside)
		k.mu.Unlock()
		if s.Running && s.Starts > after {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("wait for the store's engine (%s): %w", s.Reason, context.Cause(ctx))
		case <-changed:
		}
	}
}

// Mended says that what an unclean end had left behind the last barrier is deleted. s is
// the state that Wait returned before: what ended uncleanly since is not mended by it.
func (k *Keeper) Mended(ctx context.Context, s State) error {
	// There are fewer events now than the ledgers have, which must not look like a loss.
	if err := k.scan(ctx); err != nil {
		return fmt.Errorf("note that the store is mended: %w", err)
	}
	k.mu.Lock()
	same := k.state.Starts == s.Starts && k.state.PID != 0
	k.mu.Unlock()
	if !same {
		return nil
	}
	if err := k.mark(markRunning); err != nil {
		return err
	}
	k.update(func(now *State) { now.Unclean = now.Unclean && now.Starts != s.Starts })
	return nil
}

// mark writes into the file that is there unless the engine ended in order.
func (k *Keeper) mark(text string) error {
	return writeFile(filepath.Join(k.o.Path, uncleanFile), []byte(text))
}

func (k *Keeper) update(change func(*State)) {
	k.mu.Lock()
	change(&k.state)
	close(k.changed)
	k.changed = make(chan struct{})
	k.mu.Unlock()
}

// Run keeps the engine running until ctx ends, and then stops it in order. ErrNewer says
// that the files are not this version's.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.client.Close()
	if err := k.open(); errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("open the store's folder %s: %w: mount it writable and start the store again; after an error of the disk Linux mounts it read-only, and dmesg says which", k.o.Path, err)
	} else if err != nil {
		return fmt.Errorf("open the store's folder %s: %w", k.o.Path, err)
	}
	var waiting sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer waiting.Wait()
	defer cancel()
	waiting.Go(func() { k.watchHealth(ctx) })
	waiting.Go(func() { k.endWhenRefused(ctx, cancel) })
	waiting.Go(func() { k.tend(ctx) })
	k.child.Start()
	k.child.Run(ctx)
	if err := k.refusal(); err != nil {
		return err
	}
	if !inOrder(k.child.Status().LastExit) || k.State().Unclean {
		return nil // it stays marked
	}
	cancel()
	waiting.Wait()
	clear(k.scanned) // nobody else is there: what is written now has to be exact
	if err := k.scan(context.WithoutCancel(ctx)); err != nil {
		k.logger.Warn("checksums of the store's files cannot be brought up to date", obs.KeyError, err)
		return nil
	}
	if err := os.Remove(filepath.Join(k.o.Path, uncleanFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("note that the store ended in order: %w", err)
	}
	return syncDir(k.o.Path)
}

// refusal is why no engine may be started, nil where one may.
func (k *Keeper) refusal() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.refused
}

// endWhenRefused calls end once no engine may be started.
func (k *Keeper) endWhenRefused(ctx context.Context, end func()) {
	for ctx.Err() == nil {
		k.mu.Lock()
		refused, changed := k.refused, k.changed
		k.mu.Unlock()
		if refused != nil {
			end()
			return
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// open makes the folders and reads what is left of earlier runs.
func (k *Keeper) open() error {
	removing := filepath.Join(k.o.Path, removingFolder)
	if err := os.RemoveAll(removing); err != nil {
		return err
	}
	for _, dir := range []string{k.o.Path, k.quarantineDir(), k.sumsDir(), removing} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	aside, err := readSetAside(k.quarantineDir())
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(k.o.Path, uncleanFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	k.end = cleanEnd
	switch {
	case err == nil && string(text) == markMending:
		k.end = brokenEnd
	case err == nil:
		k.end = crashEnd
	}
	k.update(func(s *State) { s.Unclean, s.SetAside = k.end != cleanEnd, aside })
	return nil
}

// before is called before each start of a process, with none running.
func (k *Keeper) before(ctx context.Context) error {
	k.files.Lock()
	defer k.files.Unlock()
	release, err := k.lockEngine()
	if err != nil {
		return err
	}
	defer release()
	// Else the engine would end before it looks at a file, and a day be blamed for it.
	if err := os.Remove(k.o.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("something lies where the engine's socket is to be, move it away: %w", err)
	}
	k.mu.Lock()
	served, end, suspects := k.serving, k.end, maps.Clone(k.suspects)
	k.serving = false
	k.mu.Unlock()
	last := k.child.Status()
	if last.LastExit != nil && !inOrder(last.LastExit) {
		if end = crashEnd; k.State().Unclean {
			end = brokenEnd
		}
		k.update(func(s *State) { s.Unclean = true })
	}
	for day, why := range suspects {
		if err := k.setAsideOnce(day, why, nil); err != nil {
			return err
		}
	}
	if last.LastExit != nil && last.Restarts > 0 && !inOrder(last.LastExit) {
		if err := k.answerCrash(ctx, last, served); err != nil {
			return err
		}
	}
	if err := k.look(end); err != nil {
		if errors.Is(err, child.ErrStay) {
			k.mu.Lock()
			k.refused = err
			k.mu.Unlock()
		}
		return err
	}
	k.mu.Lock()
	k.end = crashEnd // should a start fail before there is a process
	clear(k.suspects)
	unclean := k.state.Unclean
	k.mu.Unlock()
	if unclean {
		return k.mark(markMending)
	}
	return k.mark(markRunning)
}

// inOrder reports whether a process ended as it was asked to.
func inOrder(e *child.Exit) bool { return e != nil && e.Code == 0 && e.Signal == "" && e.Killed == 0 }

// noteChild takes over what has changed in the process. The child calls it.
func (k *Keeper) noteChild() {
	s := k.child.Status()
	k.update(func(now *State) {
		if s.State == child.Running && s.PID != now.PID {
			now.Starts++
			k.misses = 0 // of the one before
		}
		now.PID, now.Restarts = s.PID, s.Restarts
		if s.State != child.Running {
			now.Running, now.Reason = false, string(s.State)
			if s.Reason != "" {
				now.Reason = s.Reason
			}
		} else if !now.Running {
			now.Reason = "starting"
		}
	})
}
