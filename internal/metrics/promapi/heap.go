package promapi

import (
	"context"
	"errors"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// heap ends questions that take too much memory together. The engine counts the samples that
// it holds, and not what it makes room for: each value that count_values finds over a range
// gets room for thousands of samples, so that one question of 20,000 values asks for
// gigabytes. While questions run it looks at what lives in the heap of the process; when that
// has grown by more than most it ends them all, as nothing says which of them it is.
type heap struct {
	most uint64

	mu      sync.Mutex // guards what follows
	running map[*guarded]struct{}
	bound   uint64      // of what lives, for those that run
	base    uint64      // what lived when the first of them came
	look    *time.Timer // looks at the heap; nil while no question runs
}

// guarded is one question.
type guarded struct{ end context.CancelCauseFunc }

// errHeap is why questions end.
var errHeap = errors.New("the questions that ran took too much memory together")

// heapEvery is how often the heap is looked at.
const heapEvery = 10 * time.Millisecond

func newHeap(most uint64) *heap {
	return &heap{most: most, running: map[*guarded]struct{}{}}
}

// liveHeap is what objects took that somebody had when garbage was collected last, in bytes.
// That is done each time that the heap has doubled, so that it lags by no more.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// guard returns the context of a question, which ends when the heap is too large. end is to
// be called when the question has ended.
func (h *heap) guard(ctx context.Context) (guardedCtx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	g := &guarded{cancel}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running[g] = struct{}{}
	if h.look == nil {
		// What the last collection counted may be of a question that has ended: bounds may not
		// rise from question to question.
		live := liveHeap()
		if h.base > 0 && live > h.base+h.most/4 {
			runtime.GC()
			live = liveHeap()
		}
		h.base, h.bound = live, live+h.most
		h.look = time.AfterFunc(heapEvery, h.check) // most questions have ended by then
	}
	return ctx, func() { h.leave(g) }
}

// fault is the error of a question whose context was guarded.
func (h *heap) fault(ctx context.Context, err error) error {
	if !errors.Is(context.Cause(ctx), errHeap) {
		return err
	}
	return faultf(kindCost, "%w, more than %d MiB, and were ended: ask for fewer series, a shorter range or a longer step", errHeap, h.most>>20)
}

// leave ends a question; with the last one nobody looks any more.
func (h *heap) leave(g *guarded) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g.end(nil)
	delete(h.running, g)
	if len(h.running) == 0 && h.look != nil {
		h.look.Stop()
		h.look = nil
	}
}

// check looks at the heap, and does so again while questions run.
func (h *heap) check() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.look == nil {
		return
	}
	if liveHeap() > h.bound {
		for g := range h.running {
			g.end(errHeap)
		}
	}
	h.look.Reset(heapEvery)
}
