package export

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/vfs"
)

// place is how far a receiver has got in the log of the database. It is a file, JSON; one
// that is missing or cannot be read costs what it has not got yet.
type place struct {
	fs   vfs.FS
	file string

	mu    sync.Mutex // guards what follows
	pos   position
	until *position // where the request ends that is under way; nil: none is
	round int       // grows when the log is read on elsewhere than where it was left
	saved time.Time
	due   bool
	warn  bool
}

func (p *place) at() position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pos
}

// set moves the place, unless it was begun anew since round.
func (p *place) set(to position, round int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to != p.pos && round == p.round {
		p.pos, p.until, p.due = to, nil, true
	}
}

// underWay notes, on disk, that a request is sent that ends at a place: who is killed
// before it is known whether that was taken sends the same again, and nothing beside it.
func (p *place) underWay(ctx context.Context, to position, round int, log *slog.Logger) {
	p.mu.Lock()
	if round == p.round {
		p.until, p.due = &to, true
	}
	p.mu.Unlock()
	p.save(ctx, log)
}

// begin begins the place anew, and returns its round.
func (p *place) begin(at position) (round int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pos, p.until, p.due = at, nil, true
	p.round++
	return p.round
}

const maxPlaceBytes = 4 << 10

// kept is what the file has.
type kept struct {
	position
	// Until is where the request ends that was under way.
	Until *position `json:"until,omitempty"`
}

// load reads the file, and returns where the request ended that was under way.
func (p *place) load(ctx context.Context, log *slog.Logger) (until *position) {
	k, err := readPlace(p.fs, p.file)
	if err != nil {
		log.InfoContext(ctx, "how far a receiver of metrics has got cannot be read: what it has not got yet is not sent", obs.KeyPath, p.file, obs.KeyError, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pos = k.position
	return k.Until
}

func readPlace(fsys vfs.FS, name string) (k kept, err error) {
	unknown := kept{position: nowhere()}
	f, err := fsys.Open(name)
	if vfs.IsNotExist(err) {
		return unknown, nil
	}
	if err != nil {
		return unknown, err //nolint:wrapcheck // it names the file
	}
	size, err := f.Size()
	b := make([]byte, min(max(size, 0), maxPlaceBytes))
	if err == nil {
		if _, err = f.ReadAt(b, 0); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return unknown, err
	}
	return decodePlace(b)
}

// errPlace is for a place that cannot be.
var errPlace = errors.New("it is no place in a log")

func decodePlace(b []byte) (k kept, err error) {
	if err := json.Unmarshal(b, &k); err != nil {
		return kept{position: nowhere()}, err //nolint:wrapcheck // the caller says what this was
	}
	if !k.sound() || k.Until != nil && !k.Until.sound() {
		return kept{position: nowhere()}, errPlace
	}
	if k.Until != nil && !k.before(*k.Until) {
		k.Until = nil
	}
	return k, nil
}

// saveEvery is how often the place is written.
const saveEvery = 10 * time.Second

// saveDue writes the place, if that was not done for long.
func (p *place) saveDue(ctx context.Context, log *slog.Logger) {
	p.mu.Lock()
	due := p.due && time.Since(p.saved) >= saveEvery
	p.mu.Unlock()
	if due {
		p.save(ctx, log)
	}
}

// save writes the place, whole or not at all.
func (p *place) save(ctx context.Context, log *slog.Logger) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.due {
		return
	}
	b, err := json.Marshal(kept{p.pos, p.until})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(p.file), 0o700)
	}
	if err == nil {
		err = vfs.ReplaceFile(p.fs, p.file, b)
	}
	p.saved, p.due = time.Now(), err != nil
	if err != nil && !p.warn {
		log.WarnContext(ctx, "how far a receiver of metrics has got cannot be written: after a restart it gets some of it twice", obs.KeyPath, p.file, obs.KeyError, err)
	}
	p.warn = err != nil
}
