package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

const (
	// cancelGrace is how long a task may take to return when its context ends.
	cancelGrace = 5 * time.Second
	// progressEvery spaces the progress that is sent on.
	progressEvery = 200 * time.Millisecond
)

var errCancelled = errors.New("cancelled")

// run is one task that runs.
type run struct {
	id     string
	task   *Task
	ctx    context.Context //nolint:containedctx // the life of the run, which outlasts the calls about it
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when the task has returned

	mu       sync.Mutex // guards what follows
	progress Progress
	changed  chan struct{} // closed and replaced when progress changes
}

// report is Call.Progress.
func (r *run) report(p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress.State.Final() {
		return
	}
	p.Text, p.ResultBytes = plain(p.Text), r.progress.ResultBytes
	r.set(p)
}

// set replaces the progress. The caller holds mu.
func (r *run) set(p Progress) {
	r.progress = p
	close(r.changed)
	r.changed = make(chan struct{})
}

// read returns the progress, and a channel that the next change closes.
func (r *run) read() (Progress, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress, r.changed
}

// counted adds up what a task writes.
type counted struct {
	io.Writer
	r *run
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.r.mu.Lock()
	c.r.progress.ResultBytes += int64(n)
	c.r.mu.Unlock()
	return n, err
}

// perform runs the task to its end.
func (s *Server) perform(r *run, values Values) {
	call := &Call{Task: r.task.Name, Values: values, report: r.report}
	var file *resultFile
	var err error
	if r.task.ResultType != "" {
		s.results.sweep()
		if file, err = s.results.create(r.id, r.task.Name, r.task.resultBytes()); err == nil {
			call.result = counted{file, r}
		}
	}
	if err == nil {
		err = s.guarded(r.ctx, call)
	}
	if file != nil {
		err = errors.Join(err, file.close(err == nil))
	}
	s.finish(r, err)
}

// guarded runs the agent's code; a panic in it is an error of the task alone.
func (s *Server) guarded(ctx context.Context, call *Call) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.o.Logger.Error("task panicked", obs.KeyCommand, call.Task, obs.KeyError, fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = errors.New("the task broke down by a fault of its own; the agent's log says where")
		}
	}()
	return s.o.Run(ctx, call)
}

// finish notes how a run ended, by the table at State.
func (s *Server) finish(r *run, err error) {
	r.mu.Lock()
	last := r.progress
	was := last.State
	last.State = Succeeded
	if err != nil {
		last.State, last.Text = ended(r.ctx), plain(err.Error())
	}
	if !was.Final() {
		r.set(last)
	}
	r.mu.Unlock()
	r.cancel(nil)
	s.forget(r)
	close(r.over)
	s.o.Logger.Info("task ended", obs.KeyCommand, r.task.Name, obs.KeyState, string(last.State), obs.KeyBytes, last.ResultBytes, obs.KeyReason, last.Text)
	if was == Stuck {
		s.o.Logger.Info("task that ignored its cancellation has ended", obs.KeyCommand, r.task.Name)
		return
	}
	s.count(r.task.Name, last.State)
}

// ended is the state of a run that returned an error.
func ended(ctx context.Context) State {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return Failed
	case errors.Is(cause, context.DeadlineExceeded):
		return TimedOut
	default:
		return Cancelled
	}
}

// watch marks a run as stuck when it does not end soon after its context did.
func (s *Server) watch(r *run) {
	select {
	case <-r.over:
		return
	case <-r.ctx.Done():
	}
	grace := time.NewTimer(cancelGrace)
	defer grace.Stop()
	select {
	case <-r.over:
		return
	case <-grace.C:
	}
	r.mu.Lock()
	ended := r.progress.State.Final()
	if !ended {
		p := r.progress
		p.State, p.Text = Stuck, fmt.Sprintf("has not ended %v after it was told to: it still works until agent %s is restarted", cancelGrace, s.o.AgentID)
		r.set(p)
	}
	r.mu.Unlock()
	if !ended {
		s.count(r.task.Name, Stuck)
		s.o.Logger.Error("task ignores its cancellation", obs.KeyCommand, r.task.Name, obs.KeyDuration, cancelGrace)
	}
}

// follow emits the progress of a run until a final one, a few times a second at
// most. It cancels the run when ctx ends first.
func (r *run) follow(ctx context.Context, emit func(Progress) error) error {
	for {
		p, changed := r.read()
		if err := emit(p); err != nil {
			r.cancel(errCancelled)
			return err
		}
		if p.State.Final() {
			return nil
		}
		pause := time.NewTimer(progressEvery)
		select {
		case <-changed:
		case <-ctx.Done():
		}
		// What is final is told at once.
		for open := true; open; {
			p, changed := r.read()
			if p.State.Final() || ctx.Err() != nil {
				break
			}
			select {
			case <-pause.C:
				open = false
			case <-changed:
			case <-ctx.Done():
			}
		}
		pause.Stop()
		if ctx.Err() != nil {
			r.cancel(errCancelled)
			return ctx.Err()
		}
	}
}
