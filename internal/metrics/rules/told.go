package rules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/vfs"
)

// told is which alerts were told, and what is to be published. It is kept in a file: a line
// with the CRC-32C of the rest in hexadecimal, and the rest, which is JSON. An event is
// there before it is published and goes when that is done, so that none is lost; those that
// are published while the program ends, up to keptAfter, may come twice, with the same ids.
type told struct {
	Alerts  map[string]*toldAlert `json:"alerts"`
	Waiting []waiting             `json:"waiting,omitempty"`

	alertBytes, waitingBytes int // about how much they have
}

// toldAlert is an alert whose beginning was told and whose end was not.
type toldAlert struct {
	// File, Group and Rule are where it comes from.
	File  string `json:"file"`
	Group string `json:"group"`
	Rule  string `json:"rule"`
	UID   string `json:"uid"`
	// Labels are all of the alert's, Annotations those that it had when it was told.
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Value       number            `json:"value"`
	Began       time.Time         `json:"began"` // when what it is about began
	Fired       time.Time         `json:"fired"`
}

// waiting is an encoded event that is to be published.
type waiting struct {
	Event []byte `json:"event"`
}

// Bounds: how many alerts are remembered, and how many events wait to be published, beside
// those that are on their way to the hub already.
const (
	maxTold    = 10_000
	maxWaiting = 1000
	// In bytes: what is remembered of alerts, and events that wait.
	maxToldBytes    = 16 << 20
	maxWaitingBytes = 16 << 20
)

// size is about how many bytes an alert takes.
func (t *toldAlert) size() int {
	n := 300 + len(t.File) + len(t.Group) + len(t.Rule)
	for name, value := range t.Labels {
		n += len(name) + len(value)
	}
	for name, value := range t.Annotations {
		n += len(name) + len(value)
	}
	return n
}

// isFull reports whether no more events have room to wait.
func (t *told) isFull() bool {
	return len(t.Waiting) >= maxWaiting || t.waitingBytes >= maxWaitingBytes
}

func newTold() told { return told{Alerts: map[string]*toldAlert{}} }

// maxStateBytes is more than the file has: six bytes for one of an alert at worst, and four
// for three of an event.
const maxStateBytes = 128 << 20

var errState = errors.New("what is known of alerts is damaged")

func sumOf(b []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// readTold reads the file; without one nothing was told.
func readTold(fsys vfs.FS, name string) (told, error) {
	f, err := fsys.Open(name)
	if vfs.IsNotExist(err) {
		return newTold(), nil
	}
	if err != nil {
		return newTold(), fmt.Errorf("read which alerts were told: %w", err)
	}
	size, err := f.Size()
	b := make([]byte, min(max(size, 0), maxStateBytes))
	if err == nil {
		if _, err = f.ReadAt(b, 0); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return newTold(), fmt.Errorf("read which alerts were told: %w", err)
	}
	return decodeTold(b)
}

func decodeTold(b []byte) (told, error) {
	sum, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != sumOf(body) {
		return newTold(), fmt.Errorf("%w: its checksum is wrong", errState)
	}
	t := newTold()
	if err := json.Unmarshal(body, &t); err != nil {
		return newTold(), fmt.Errorf("%w: %w", errState, err)
	}
	for key, a := range t.Alerts {
		if a == nil {
			delete(t.Alerts, key)
			continue
		}
		t.alertBytes += a.size()
	}
	for _, w := range t.Waiting {
		t.waitingBytes += len(w.Event)
	}
	if t.Alerts == nil {
		t.Alerts = map[string]*toldAlert{}
	}
	return t, nil
}

func (t *told) encode() ([]byte, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode which alerts were told: %w", err)
	}
	body = append(body, '\n')
	return append([]byte(sumOf(body)+"\n"), body...), nil
}

// loadTold reads what was told before the program started.
func (r *Rules) loadTold(ctx context.Context) {
	t, err := readTold(r.o.FS, r.o.StateFile)
	if err != nil {
		r.o.Logger.WarnContext(ctx, "which alerts were told cannot be read: those that fire are told again", obs.KeyError, err)
	}
	r.mu.Lock()
	r.told = t
	r.mu.Unlock()
	r.due()
}

// keep writes what was told. It is what others changed meanwhile, too.
func (r *Rules) keep(ctx context.Context) {
	r.keeping.Lock()
	defer r.keeping.Unlock()
	r.mu.Lock()
	b, err := r.told.encode()
	r.mu.Unlock()
	if err == nil {
		if err = os.MkdirAll(filepath.Dir(r.o.StateFile), 0o700); err == nil {
			err = vfs.ReplaceFile(r.o.FS, r.o.StateFile, b)
		}
	}
	r.mu.Lock()
	news := (err == nil) != (r.unkept == nil)
	r.unkept = err
	r.mu.Unlock()
	if err != nil && news {
		r.o.Logger.WarnContext(ctx, "which alerts were told cannot be written", obs.KeyPath, r.o.StateFile, obs.KeyError, err)
	}
}

// due has what waits published.
func (r *Rules) due() {
	select {
	case r.tellDue <- struct{}{}:
	default:
	}
}

// publishPause is before an event is published again that could not be. keptAfter is how
// many are published at most before it is kept which: the file is written whole and synced.
const (
	publishPause = 5 * time.Second
	keptAfter    = 100
)

// publish publishes what waits, in order, until ctx ends.
func (r *Rules) publish(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.tellDue:
		}
		r.publishWaiting(ctx)
		r.mu.Lock()
		left := len(r.told.Waiting)
		r.mu.Unlock()
		if left == 0 {
			continue
		}
		r.due()
		pause := time.NewTimer(publishPause)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// publishWaiting publishes what waits, until that fails.
func (r *Rules) publishWaiting(ctx context.Context) {
	for {
		n := 0
		for n < keptAfter && r.publishNext(ctx) {
			n++
		}
		if n > 0 {
			r.keep(ctx)
		}
		if n < keptAfter {
			return
		}
	}
}

// publishNext publishes the first event that waits, and reports whether it did. It does not
// keep that.
func (r *Rules) publishNext(ctx context.Context) bool {
	r.mu.Lock()
	if len(r.told.Waiting) == 0 {
		r.mu.Unlock()
		return false
	}
	first := r.told.Waiting[0].Event
	r.mu.Unlock()
	if err := r.o.Tell(ctx, first); err != nil {
		if ctx.Err() == nil {
			r.metrics.unpublished.Inc()
			r.o.Logger.DebugContext(ctx, "a finding of an alert is not published yet", obs.KeyError, err)
		}
		return false
	}
	r.metrics.published.Inc()
	r.mu.Lock()
	r.told.Waiting = r.told.Waiting[1:]
	r.told.waitingBytes -= len(first)
	r.mu.Unlock()
	return true
}
