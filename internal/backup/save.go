package backup

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Source is a file to be saved.
type Source struct {
	// Path is where it lies below the home, with slashes.
	Path string
	Link string // see File
	Mode fs.FileMode
	// Size is how much of it is saved; a file that turns out to be shorter is an error.
	Size int64
	// Changed is when it changed last; zero where the same time may go with another
	// content. One of the same path, size and time as in the snapshot before is not read.
	Changed time.Time
	// Open opens it. It is called at most once.
	Open func() (io.ReadCloser, error)
}

// SaveOptions say how a snapshot is made. The zero value is fine.
type SaveOptions struct {
	// Rate bounds how many bytes a second are read; 0 does not.
	Rate int64
	// Progress is told how much of all is done, from one goroutine at a time.
	Progress func(done, total int64)
	Now      func() time.Time // time.Now where nil
}

// Saved says what making a snapshot took.
type Saved struct {
	Bytes int64 // of all files
	Sent  int64 // of pieces that were not there yet
	Files int
	Took  time.Duration
}

// idTime is the time in the name of a snapshot.
const idTime = "20060102T150405Z"

// NewID returns a name for a snapshot that is begun now. Names are in the order of time, to
// the microsecond, which is behind the second; three digits by chance tell two apart that
// are begun in the same one.
func NewID(now time.Time) string {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	micros := now.Nanosecond() / int(time.Microsecond)
	return now.UTC().Format(idTime) + fmt.Sprintf("-%05x%s", micros, hex.EncodeToString(b[:])[:3])
}

// NextID returns a name for a snapshot in a place that is begun now, and comes behind all
// that are there: those are in the order of their names, and behind a clock that was set
// back the new one would be pruned as the oldest. A place that cannot be listed has none.
func NextID(ctx context.Context, p Place, now time.Time) string {
	ids, err := Snapshots(ctx, p)
	if err != nil || len(ids) == 0 {
		return NewID(now)
	}
	newest := ids[len(ids)-1]
	text, _, _ := strings.Cut(newest, "-")
	last, err := time.Parse(idTime, text)
	if next := last.Add(time.Second); err == nil && NewID(now) <= newest && CheckID(NewID(next)) == nil {
		now = next
	}
	return NewID(now)
}

// senders is how many pieces are on their way at once. Each takes PieceBytes of memory,
// and so does the one that is read.
const senders = 4

// Save makes the snapshot m, whose files it fills in, of sources. m is written last: until
// then the place has no more of it than pieces that are pruned one day. The same place
// should be written by one at a time; a folder is locked.
func Save(ctx context.Context, p Place, m *Manifest, sources []Source, o SaveOptions) (Saved, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if d, ok := p.(*dir); ok {
		l, err := d.lock()
		if err != nil {
			return Saved{}, err
		}
		defer func() { _ = l.Close() }() // the system lets go of it in any case
	}
	s := &saver{place: p, o: o, began: o.Now(), paceFrom: o.Now(), tokens: make(chan []byte, senders+1)}
	var err error
	if s.known, err = objects(ctx, p); err != nil {
		return Saved{}, err
	}
	s.before = lastFiles(ctx, p)
	for i := range sources {
		s.total += sources[i].Size
	}
	for range cap(s.tokens) {
		s.tokens <- nil
	}
	if err := s.saveAll(ctx, m, sources); err != nil {
		return Saved{}, fmt.Errorf("back up to %s: %w", p, err)
	}
	b, err := m.encode()
	if err != nil {
		return Saved{}, fmt.Errorf("back up to %s: %w", p, err)
	}
	if err := p.Put(ctx, manifestName(m.ID), b); err != nil {
		return Saved{}, fmt.Errorf("back up to %s: write the manifest: %w", p, err)
	}
	return Saved{Bytes: m.Bytes(), Sent: s.sent + int64(len(b)), Files: len(m.Files), Took: o.Now().Sub(s.began)}, nil
}

// lastFiles are the files of the newest snapshot that can be read, by path.
func lastFiles(ctx context.Context, p Place) map[string]*File {
	files := map[string]*File{}
	last, err := Load(ctx, p, "")
	if err != nil {
		return files // all is read then
	}
	for i := range last.Files {
		files[last.Files[i].Path] = &last.Files[i]
	}
	return files
}

// saver is one Save.
type saver struct {
	place  Place
	o      SaveOptions
	began  time.Time
	before map[string]*File
	tokens chan []byte // buffers; nil ones are made when they are needed
	total  int64
	done   int64 // bytes of files that are looked at
	// paceFrom is since when read, in bytes, counts for the pace.
	paceFrom time.Time
	read     int64

	mu    sync.Mutex // guards what follows
	known map[string]int64
	sent  int64
}

func (s *saver) saveAll(ctx context.Context, m *Manifest, sources []Source) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(senders)
	files := make([]File, 0, len(sources))
	var err error
	for i := range sources {
		var f File
		if f, err = s.save(ctx, group, &sources[i]); err != nil {
			err = fmt.Errorf("%s: %w", sources[i].Path, err)
			break
		}
		files = append(files, f)
	}
	if sending := group.Wait(); sending != nil {
		return sending //nolint:wrapcheck // it is ours, and what reading failed with came of it
	}
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b File) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	m.Files = files
	return nil
}

// save reads one file and sends what of it is not there.
func (s *saver) save(ctx context.Context, group *errgroup.Group, src *Source) (File, error) {
	f := File{Path: src.Path, Link: src.Link}
	if src.Link != "" {
		return f, nil
	}
	f.Mode, f.Size, f.Changed = uint32(src.Mode.Perm()), src.Size, src.Changed.UTC()
	if old := s.before[src.Path]; old != nil && s.same(old, src) {
		f.SHA256, f.Pieces = old.SHA256, old.Pieces
		s.pass(src.Size)
		return f, nil
	}
	r, err := src.Open()
	if err != nil {
		return f, err
	}
	whole := hash.Hash(nil) // the sum of one piece is that of the file
	if src.Size > PieceBytes || src.Size == 0 {
		whole = sha256.New()
	}
	for i := range int((src.Size + PieceBytes - 1) / PieceBytes) {
		sum, err := s.piece(ctx, group, r, f.pieceSize(i), whole)
		if err != nil {
			return f, errors.Join(err, r.Close())
		}
		f.Pieces = append(f.Pieces, sum)
	}
	if whole == nil {
		f.SHA256 = f.Pieces[0]
	} else {
		f.SHA256 = hex.EncodeToString(whole.Sum(nil))
	}
	return f, r.Close() //nolint:wrapcheck // it names the file
}

// same reports whether a file is what it was in the snapshot before, whose pieces are all
// there.
func (s *saver) same(old *File, src *Source) bool {
	if src.Changed.IsZero() || !old.Changed.Equal(src.Changed) || old.Size != src.Size || old.Link != "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, sum := range old.Pieces {
		if size, ok := s.known[sum]; !ok || size != old.pieceSize(i) {
			return false
		}
	}
	return true
}

// piece reads the next piece, and sends it if it is not there. whole sums all of them up,
// unless it is nil.
func (s *saver) piece(ctx context.Context, group *errgroup.Group, r io.Reader, size int64, whole hash.Hash) (string, error) {
	var buf []byte
	select {
	case buf = <-s.tokens:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if err := s.fill(ctx, r, buf); err != nil {
		return "", err
	}
	digest := sha256.Sum256(buf)
	if whole != nil {
		_, _ = whole.Write(buf) // never fails
	}
	sum := hex.EncodeToString(digest[:])
	if !s.claim(sum, size) {
		s.tokens <- buf
		s.pass(size)
		return sum, nil
	}
	group.Go(func() error {
		err := s.place.Put(ctx, objectName(sum), buf)
		s.tokens <- buf
		if err != nil {
			return fmt.Errorf("store a piece: %w", err)
		}
		return nil
	})
	s.pass(size)
	return sum, nil
}

// claim reports whether a piece has to be sent, and notes that it is.
func (s *saver) claim(sum string, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.known[sum]; ok && have == size {
		return false
	}
	s.known[sum] = size
	s.sent += size
	return true
}

// readStep is how much is read between two looks at the clock, so that the pace is even.
const readStep = 256 << 10

// fill reads a piece, no faster than the rate allows over all.
func (s *saver) fill(ctx context.Context, r io.Reader, buf []byte) error {
	for len(buf) > 0 {
		n, err := io.ReadFull(r, buf[:min(len(buf), readStep)])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("it became shorter while it was read: try again")
		}
		if err != nil {
			return err //nolint:wrapcheck // it names the file
		}
		buf = buf[n:]
		s.read += int64(n)
		if err := s.pace(ctx); err != nil {
			return err
		}
	}
	return nil
}

// paceCredit is how far reading may be behind its pace and catch up.
const paceCredit = 250 * time.Millisecond

// pace waits until as much may have been read as was.
func (s *saver) pace(ctx context.Context) error {
	if s.o.Rate <= 0 {
		return ctx.Err()
	}
	due := time.Duration(float64(s.read) / float64(s.o.Rate) * float64(time.Second))
	wait := due - s.o.Now().Sub(s.paceFrom)
	if wait < -paceCredit { // what was not read in time is not read in a burst
		s.paceFrom, s.read = s.o.Now(), 0
	}
	if wait < time.Millisecond {
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *saver) pass(n int64) {
	s.done += n
	if s.o.Progress != nil {
		s.o.Progress(s.done, s.total)
	}
}
