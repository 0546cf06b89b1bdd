package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// BackupOptions say what is backed up under which load.
type BackupOptions struct {
	Agents, Batch int   // as of PipelineOptions
	Rate          int   // events a second while it is backed up
	Bytes         int64 // of log, store and metrics before
	// Before is how long acknowledgements are counted without a backup, before it and behind.
	Before time.Duration
	// ReadRate is how many MiB a second the backup reads; below 0 for the command's own.
	ReadRate int
	Patience time.Duration // for the store to have everything
	Dir      string        // where homes and backup are made, on the disk to measure
	Command  []string      // the program
	Progress func(step string)
}

// Check returns what is wrong with the options.
func (o *BackupOptions) Check() error {
	p := o.pipeline()
	switch {
	case o.Bytes < 1 || o.Bytes > 1<<40:
		return errors.New("size must be from 1 MiB to 1 TiB")
	case o.Before < 0:
		return errors.New("before must not be negative")
	}
	return p.Check()
}

func (o *BackupOptions) pipeline() *PipelineOptions {
	return &PipelineOptions{
		Agents: o.Agents, Batch: o.Batch, Rate: o.Rate, Duration: max(o.Before, 1), Patience: o.Patience, NoLive: true,
		Dir: o.Dir, Command: o.Command, Progress: o.Progress,
	}
}

// BackupResult is what RunBackup measured. Its JSON keys are promised: they may grow.
type BackupResult struct {
	Bench string `json:"bench"`
	Rate  int    `json:"rate"` // events a second asked for
	Bytes int64  `json:"bytes"`
	Files int    `json:"files"`
	// Seconds are those of the command backup, and RestoreSeconds of restore.
	Seconds        float64 `json:"seconds"`
	RestoreSeconds float64 `json:"restore_seconds"`
	// Before and During are events acknowledged a second, and Least those of the worst five
	// seconds of the backup. Dip is by how much During is less than Before, as a part of it.
	Before   float64 `json:"events_per_second_before"`
	During   float64 `json:"events_per_second_during"`
	Least    float64 `json:"events_per_second_least"`
	Dip      float64 `json:"dip"`
	WorstDip float64 `json:"worst_dip"`
	// Verified says that `wal verify` found the restored log whole; Questions are those that
	// were asked of both, and Unequal those with another answer.
	Verified  bool     `json:"wal_verified"`
	Questions int      `json:"questions"`
	Unequal   []string `json:"unequal,omitempty"`
}

// ErrNotTheSame says that what was restored is not what was backed up.
var ErrNotTheSame = errors.New("what was restored is not what was backed up")

// Same returns ErrNotTheSame unless the restored system is the one that was backed up.
func (r *BackupResult) Same() error {
	if r.Verified && len(r.Unequal) == 0 {
		return nil
	}
	return fmt.Errorf("%w: log whole %t, %d of %d answers differ: %s", ErrNotTheSame, r.Verified, len(r.Unequal), r.Questions, strings.Join(r.Unequal, "; "))
}

// Write prints the result for people.
func (r *BackupResult) Write(w io.Writer) error {
	t := cli.NewTable("backup", "")
	t.Row("size", fmt.Sprintf("%s in %s", cli.Bytes(r.Bytes), cli.Counted(r.Files, "file", "files")))
	t.Row("backup", fmt.Sprintf("%.1f s, %s a second", r.Seconds, cli.Bytes(int64(float64(r.Bytes)/max(r.Seconds, 1e-9)))))
	t.Row("acknowledged", fmt.Sprintf("%.0f events/s before, %.0f meanwhile (%+.1f%%), %.0f in the worst 5 s (%+.1f%%)",
		r.Before, r.During, -100*r.Dip, r.Least, -100*r.WorstDip))
	t.Row("restore", fmt.Sprintf("%.1f s", r.RestoreSeconds))
	t.Row("the same", fmt.Sprintf("log whole: %t, %d of %d answers", r.Verified, r.Questions-len(r.Unequal), r.Questions))
	return t.Write(w)
}

// RunBackup fills a system of its own, backs it up while events come, restores the backup
// to another home, and holds the two against each other.
func RunBackup(ctx context.Context, o BackupOptions) (_ *BackupResult, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "amoskys-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the system: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := newBenchSystem(ctx, o.pipeline(), filepath.Join(dir, "home"))
	if err != nil {
		return nil, err
	}
	defer s.kill()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	b := &backupBench{o: &o, system: s, dir: dir, r: &BackupResult{Bench: "backup", Rate: o.Rate}}
	for _, step := range []func(context.Context) error{b.fill, b.backUp, b.restore} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return b.r, nil
}

// backupBench is one run.
type backupBench struct {
	o      *BackupOptions
	system *benchSystem
	dir    string
	r      *BackupResult
	offset uint64 // where the backup's log ends
}

func (b *backupBench) tell(format string, args ...any) {
	if b.o.Progress != nil {
		b.o.Progress(fmt.Sprintf(format, args...))
	}
}

// load publishes while do runs. With paced the events come at the rate, else as fast as the
// hub takes them.
func (b *backupBench) load(ctx context.Context, paced bool, do func(context.Context, *pipeline) error) error {
	p := &pipeline{o: b.o.pipeline(), system: b.system}
	remove, err := p.newClients()
	if err != nil {
		return err
	}
	defer remove()
	stop, ended := make(chan struct{}), make(chan error, len(p.clients))
	for _, c := range p.clients {
		if !paced {
			c.schedule = nil
		}
		go func() { ended <- c.run(ctx, stop) }()
	}
	err = do(ctx, p)
	close(stop)
	for range p.clients {
		err = errors.Join(err, <-ended)
	}
	return err
}

// fill publishes until the home is about as large as it is to be, and the store has it. The
// log grows faster than what the store makes of it, so what an event takes of all is known
// once the store has the first half.
func (b *backupBench) fill(ctx context.Context) error {
	data := b.system.home.Path("data")
	half, err := b.publishUntil(ctx, func(uint64) bool { return 2*folderBytes(data) >= b.o.Bytes })
	if err != nil {
		return err
	}
	all := uint64(float64(half) * float64(b.o.Bytes) / float64(max(folderBytes(data), 1)))
	_, err = b.publishUntil(ctx, func(tail uint64) bool { return tail >= all })
	return err
}

// publishUntil publishes until enough says so of the log's end, and the store has it.
func (b *backupBench) publishUntil(ctx context.Context, enough func(tail uint64) bool) (last uint64, err error) {
	data := b.system.home.Path("data")
	err = b.load(ctx, false, func(ctx context.Context, p *pipeline) error {
		for {
			b.tell("filling, %s of %s", cli.Bytes(folderBytes(data)), cli.Bytes(b.o.Bytes))
			if last = max(last, p.tail()); enough(last) {
				return nil
			}
			if err := pauseFor(ctx, watchEvery); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return last, err
	}
	return last, b.awaitStore(ctx, last)
}

// awaitStore waits until the store has everything before an offset.
func (b *backupBench) awaitStore(ctx context.Context, before uint64) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.Patience)
	defer cancel()
	for {
		next, err := b.system.metric(ctx, "store metrics", "amoskys_store_next_offset")
		if err != nil {
			return err
		}
		if uint64(next) >= before {
			return nil
		}
		b.tell("waiting for the store: %.0f of %d", next, before)
		if err := pauseFor(ctx, watchEvery); err != nil {
			return fmt.Errorf("the store has not all, but %.0f of %d: %w", next, before, err)
		}
	}
}

// ackedAt is how many events were acknowledged when.
type ackedAt struct {
	at     time.Time
	events uint64
}

// backUp makes the backup under load.
func (b *backupBench) backUp(ctx context.Context) error {
	return b.load(ctx, true, func(ctx context.Context, p *pipeline) error {
		var seen []ackedAt
		watching, leave := context.WithCancel(ctx)
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for {
				n, _ := p.acked()
				seen = append(seen, ackedAt{time.Now(), n})
				if pauseFor(watching, watchEvery) != nil {
					return
				}
			}
		}()
		begin, end, err := b.command(ctx, p)
		leave()
		<-watched
		if err != nil {
			return err
		}
		b.r.noteAcks(seen, begin, end)
		return nil
	})
}

// command waits, runs the command, and waits again.
func (b *backupBench) command(ctx context.Context, p *pipeline) (begin, end time.Time, err error) {
	if err := p.wait(ctx, "acknowledgements without a backup", b.o.Before); err != nil {
		return begin, end, err
	}
	pass := filepath.Join(b.dir, "passphrase")
	if err := os.WriteFile(pass, []byte("correct horse battery\n"), 0o600); err != nil {
		return begin, end, fmt.Errorf("write a passphrase: %w", err)
	}
	b.tell("backing up")
	args := []string{"backup", filepath.Join(b.dir, "backup"), "--json", "--with-keys", "--passphrase-file", pass}
	if b.o.ReadRate >= 0 {
		args = append(args, "--rate", strconv.Itoa(b.o.ReadRate))
	}
	var made struct {
		Bytes    int64    `json:"bytes"`
		Files    int      `json:"files"`
		Offset   uint64   `json:"offset"`
		Warnings []string `json:"warnings"`
	}
	begin = time.Now()
	out, err := b.run(ctx, b.system.home, args...)
	end = time.Now()
	if err == nil {
		err = json.Unmarshal(out, &made)
	}
	if err != nil {
		return begin, end, err
	}
	if len(made.Warnings) > 0 {
		return begin, end, errors.New("the backup is not whole: " + strings.Join(made.Warnings, "; "))
	}
	b.r.Bytes, b.r.Files, b.offset, b.r.Seconds = made.Bytes, made.Files, made.Offset, end.Sub(begin).Seconds()
	return begin, end, p.wait(ctx, "acknowledgements behind the backup", b.o.Before)
}

// run runs a command on a home.
func (b *backupBench) run(ctx context.Context, home config.Home, args ...string) ([]byte, error) {
	args = append(slices.Clone(b.o.Command[1:]), append(args, "--home", string(home))...)
	cmd := exec.CommandContext(ctx, b.o.Command[0], args...) //nolint:gosec // our own program
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(exit.Stderr))
	}
	return out, err
}

// worstOf is how long the worst part of the backup is looked for, at most.
const worstOf = 5 * time.Second

// noteAcks notes how many events were acknowledged in the backup and outside of it.
func (r *BackupResult) noteAcks(seen []ackedAt, begin, end time.Time) {
	rate := func(from, to time.Time) (perSecond float64, of time.Duration) {
		first, last := -1, -1
		for i := range seen {
			if !seen[i].at.Before(from) && !seen[i].at.After(to) {
				if first < 0 {
					first = i
				}
				last = i
			}
		}
		if first < 0 || first == last {
			return 0, 0
		}
		of = seen[last].at.Sub(seen[first].at)
		return float64(seen[last].events-seen[first].events) / of.Seconds(), of
	}
	before, long := rate(time.Time{}, begin)
	behind, longer := rate(end, end.Add(time.Hour))
	if both := long + longer; both > 0 {
		r.Before = (before*long.Seconds() + behind*longer.Seconds()) / both.Seconds()
	}
	r.During, _ = rate(begin, end)
	r.Least = r.During
	for _, s := range seen {
		if n, of := rate(s.at, s.at.Add(worstOf)); !s.at.Before(begin) && !s.at.Add(worstOf).After(end) && of > worstOf/2 {
			r.Least = min(r.Least, n)
		}
	}
	if r.Before > 0 {
		r.Dip, r.WorstDip = 1-r.During/r.Before, 1-r.Least/r.Before
	}
}

// restore asks the system, stops it, and asks the one that is restored.
func (b *backupBench) restore(ctx context.Context) error {
	if err := b.awaitStore(ctx, b.offset); err != nil {
		return err
	}
	want, err := b.answers(ctx)
	if err != nil {
		return err
	}
	if err := b.system.stop(); err != nil {
		return err
	}
	b.tell("restoring")
	home := config.Home(filepath.Join(b.dir, "restored"))
	began := time.Now()
	if _, err := b.run(ctx, home, "restore", filepath.Join(b.dir, "backup"), "--with-keys", "--passphrase-file", filepath.Join(b.dir, "passphrase")); err != nil {
		return err
	}
	b.r.RestoreSeconds = time.Since(began).Seconds()
	b.tell("verifying the log")
	out, err := b.run(ctx, home, "wal", "verify", "--json")
	b.r.Verified = err == nil && bytes.Contains(out, []byte(`"ok": true`))
	b.system.home = home
	if err := b.system.start(ctx); err != nil {
		return err
	}
	if err := b.awaitStore(ctx, b.offset); err != nil {
		return err
	}
	got, err := b.answers(ctx)
	if err != nil {
		return err
	}
	b.r.Questions = len(want)
	for i, q := range backupQuestions() {
		if got[i] != want[i] {
			b.r.Unequal = append(b.r.Unequal, q)
		}
	}
	return b.system.stop()
}

// showsWithin is how much later than a store says that it has something it shows it.
const showsWithin = 5 * time.Second

// answers asks about what is in the backup, once the store shows all that it has.
func (b *backupBench) answers(ctx context.Context) (all []string, err error) {
	env := cli.System()
	env.Home, env.Lookup = b.system.home, func(string) (string, bool) { return "", false }
	store, err := remote.DialStore(env, b.system.addrs["store"])
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	if err := pauseFor(ctx, showsWithin); err != nil {
		return nil, err
	}
	questions := backupQuestions()
	for i, q := range questions {
		b.tell("asking, %d of %d", i+1, len(questions))
		filter, pipes, _ := strings.Cut(q, " | ")
		rows, err := askRows(ctx, store, fmt.Sprintf(`(%s) "offset":<%d | %s`, filter, b.offset, pipes))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q, err)
		}
		all = append(all, rows)
	}
	return all, nil
}
