package flow

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/flow/export"
	"github.com/amoskys/amoskys/internal/flow/track"
	"github.com/amoskys/amoskys/internal/obs"
)

const (
	// conditionExport is the name of the condition that flows do not get to where they
	// are exported, and of the note on those that do.
	conditionExport = "export"
	// outletQueue is how many flows wait for the file; further ones are dropped and
	// counted.
	outletQueue = 4096
	// outletBeat is how often what was written is handed to the system, and how export
	// goes is told.
	outletBeat = time.Second
	// reopenAfter is how long after a fault the file is tried again.
	reopenAfter = 5 * time.Second
)

// outlet gives flows that ended to others: to a collector of IPFIX, to a file, or to
// both. Whoever adds flows never waits.
type outlet struct {
	a      *Agent
	sender *export.Sender // nil sends nothing
	log    *connLog       // nil writes nothing
}

// newOutlet returns nil where nothing is exported.
func newOutlet(a *Agent) (*outlet, error) {
	o := &outlet{a: a}
	if c := a.cfg.Export.IPFIX; c.Address != "" {
		sender, err := export.NewSender(export.SenderOptions{Network: c.Network, Address: c.Address, Domain: c.Domain})
		if err != nil {
			return nil, fmt.Errorf("export.ipfix: %w", err)
		}
		o.sender = sender
	}
	if c := a.cfg.Export.ConnLog; c.Path != "" {
		path := c.Path
		if !filepath.IsAbs(path) {
			path = a.o.Home.Path(path)
		}
		o.log = &connLog{o: export.ConnLogOptions{Path: path, MaxBytes: int64(c.MaxSizeMB) << 20}, queue: make(chan track.Flow, outletQueue)}
	}
	if o.sender == nil && o.log == nil {
		return nil, nil //nolint:nilnil // no outlet is wanted
	}
	return o, nil
}

// add gives a flow that ended.
func (o *outlet) add(f *track.Flow) {
	if o.sender != nil {
		o.sender.Add(f)
	}
	if o.log != nil {
		o.log.add(f)
	}
}

// run exports until ctx ends, and then what waits.
func (o *outlet) run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	var failed error
	if o.sender != nil {
		parts.Go(func() { _ = o.sender.Run(ctx) }) // It has no error that does not pass.
	}
	if o.log != nil {
		parts.Go(func() { o.log.run(ctx) })
	}
	beat := time.NewTicker(outletBeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			was := failed
			failed = o.fault()
			o.a.o.Condition(conditionExport, failed)
			o.a.o.Note(conditionExport, o.describe())
			if failed != nil && (was == nil || was.Error() != failed.Error()) {
				o.a.o.Logger.Warn("flows are not exported", obs.KeyError, failed)
			}
		}
	}
}

// fault is what keeps flows from being exported, or nil.
func (o *outlet) fault() error {
	var all []error
	if o.sender != nil {
		if err := o.sender.Stats().Failed; err != nil {
			all = append(all, fmt.Errorf("flows do not reach the collector %s: %w", o.a.cfg.Export.IPFIX.Address, err))
		}
	}
	if o.log != nil {
		if err := o.log.failed.Load(); err != nil {
			all = append(all, *err)
		}
	}
	return errors.Join(all...)
}

// describe is a line on what was exported.
func (o *outlet) describe() string {
	s := o.stats()
	if s.Sent+s.Dropped == 0 {
		return ""
	}
	text := obs.Counted(s.Sent, "flow", "flows") + " sent"
	if s.Dropped > 0 {
		text += fmt.Sprintf(", %d dropped", s.Dropped)
	}
	return text
}

// stats are those of all ways together.
func (o *outlet) stats() export.SenderStats {
	var s export.SenderStats
	for _, way := range o.ways() {
		s.Sent, s.Dropped, s.Faults = s.Sent+way.Sent, s.Dropped+way.Dropped, s.Faults+way.Faults
	}
	return s
}

// ways are the counts of each way, by the name that metrics label it with.
func (o *outlet) ways() map[string]export.SenderStats {
	out := map[string]export.SenderStats{}
	if o.sender != nil {
		out["ipfix"] = o.sender.Stats()
	}
	if o.log != nil {
		out["conn_log"] = o.log.stats()
	}
	return out
}

// connLog writes to a file that may not be writable for a while.
type connLog struct {
	o                     export.ConnLogOptions
	queue                 chan track.Flow
	sent, dropped, faults atomic.Uint64
	failed                atomic.Pointer[error] // nil while all is well

	file  *export.ConnLog
	retry time.Time
	count uint64 // flows since the last flush
}

func (l *connLog) stats() export.SenderStats {
	return export.SenderStats{Sent: l.sent.Load(), Dropped: l.dropped.Load(), Faults: l.faults.Load()}
}

func (l *connLog) add(f *track.Flow) {
	select {
	case l.queue <- export.Copy(f):
	default:
		l.dropped.Add(1)
	}
}

// run writes until ctx ends, and then what waits.
func (l *connLog) run(ctx context.Context) {
	defer l.end()
	l.open() // A path that is wrong shows at once.
	beat := time.NewTicker(outletBeat)
	defer beat.Stop()
	for {
		select {
		case f := <-l.queue:
			l.write(&f)
		case <-beat.C:
			l.flush()
			l.open()
		case <-ctx.Done():
			for {
				select {
				case f := <-l.queue:
					l.write(&f)
				default:
					return
				}
			}
		}
	}
}

// open opens the file unless it is open, or was tried a moment ago.
func (l *connLog) open() bool {
	if l.file != nil {
		return true
	}
	if time.Now().Before(l.retry) {
		return false
	}
	file, err := export.OpenConnLog(l.o)
	if err != nil {
		l.fail(err)
		return false
	}
	l.file = file
	l.failed.Store(nil)
	return true
}

func (l *connLog) write(f *track.Flow) {
	if !l.open() {
		l.dropped.Add(1)
		return
	}
	if err := l.file.Write(f); err != nil {
		l.dropped.Add(1)
		l.fail(err)
		return
	}
	l.count++
}

func (l *connLog) flush() {
	if l.file == nil {
		return
	}
	if err := l.file.Flush(); err != nil {
		l.fail(err)
		return
	}
	l.sent.Add(l.count)
	l.count = 0
}

// fail closes the file; what was not flushed is lost.
func (l *connLog) fail(err error) {
	if l.file != nil {
		_ = l.file.Close() // The fault is told already.
		l.file = nil
	}
	l.dropped.Add(l.count)
	l.count = 0
	l.faults.Add(1)
	err = fmt.Errorf("%w: see export.conn_log.path", err)
	l.failed.Store(&err)
	l.retry = time.Now().Add(reopenAfter)
}

func (l *connLog) end() {
	l.flush()
	if l.file != nil {
		_ = l.file.Close() // It was flushed, and an error of that is counted.
	}
}
