package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/vfs"
)

// FetchOptions say what is fetched. The zero value is all.
type FetchOptions struct {
	// Wanted reports whether a file is; nil wants all.
	Wanted func(*File) bool
	// Progress is told how much of all is done, from one goroutine at a time.
	Progress func(done, total int64)
}

// Check reports whether the pieces of a snapshot are there with the sizes that they should
// have. It reads none of them: Fetch compares their content.
func Check(ctx context.Context, p Place, m *Manifest) error {
	have, err := objects(ctx, p)
	if err != nil {
		return err
	}
	for i := range m.Files {
		f := &m.Files[i]
		for n, sum := range f.Pieces {
			switch size, ok := have[sum]; {
			case !ok:
				return fmt.Errorf("%s in %s: %w: a piece of %s is missing (%s)", m.ID, p, ErrDamaged, f.Path, sum)
			case size != f.pieceSize(n):
				return fmt.Errorf("%s in %s: %w: a piece of %s has %d bytes instead of %d (%s)", m.ID, p, ErrDamaged, f.Path, size, f.pieceSize(n), sum)
			}
		}
	}
	return nil
}

// Fetch writes the files of a snapshot below a folder, each whole and compared with its
// checksums, or not at all, and durably. What is there already and right is left, so that
// it may be run again. The error is ErrDamaged where something is not what was saved.
func Fetch(ctx context.Context, p Place, m *Manifest, into string, o FetchOptions) error {
	f := &fetcher{place: p, into: into, o: o}
	wanted := make([]*File, 0, len(m.Files))
	for i := range m.Files {
		if o.Wanted == nil || o.Wanted(&m.Files[i]) {
			wanted = append(wanted, &m.Files[i])
			f.total += m.Files[i].Size
		}
	}
	folders := map[string]bool{}
	for _, file := range wanted {
		if err := f.fetch(ctx, file); err != nil {
			return fmt.Errorf("restore %s of %s from %s: %w", file.Path, m.ID, p, err)
		}
		for at := filepath.Dir(f.path(file)); len(at) >= len(into) && !folders[at]; at = filepath.Dir(at) {
			folders[at] = true
		}
	}
	for folder := range folders {
		if err := (vfs.OS{}).SyncDir(folder); err != nil {
			return fmt.Errorf("restore %s: %w", m.ID, err)
		}
	}
	return nil
}

type fetcher struct {
	place       Place
	into        string
	o           FetchOptions
	done, total int64
}

func (f *fetcher) path(file *File) string {
	return filepath.Join(f.into, filepath.FromSlash(file.Path))
}

func (f *fetcher) fetch(ctx context.Context, file *File) error {
	to := f.path(file)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err //nolint:wrapcheck // it names the folder
	}
	if file.Link != "" {
		if at, err := os.Readlink(to); err == nil && at == file.Link {
			return nil
		}
		return os.Symlink(file.Link, to) //nolint:wrapcheck // it names the link
	}
	if right(to, file) {
		f.pass(file.Size)
		return nil
	}
	if err := f.write(ctx, to+temporary, file); err != nil {
		if rm := os.Remove(to + temporary); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
		return err
	}
	if !file.Changed.IsZero() { // so that the next backup need not read it
		if err := os.Chtimes(to+temporary, time.Time{}, file.Changed); err != nil {
			return err //nolint:wrapcheck // it names the file
		}
	}
	return os.Rename(to+temporary, to) //nolint:wrapcheck // it names the file
}

// right reports whether a file is there as it was saved.
func right(name string, want *File) bool {
	r, err := os.Open(name)
	if err != nil {
		return false
	}
	defer r.Close() //nolint:errcheck // only read
	if info, err := r.Stat(); err != nil || info.Size() != want.Size || !info.Mode().IsRegular() {
		return false
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return false
	}
	return hex.EncodeToString(sum.Sum(nil)) == want.SHA256
}

// write writes a file from its pieces, of which some are on their way at once.
func (f *fetcher) write(ctx context.Context, name string, file *File) (err error) {
	out, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, fs.FileMode(file.Mode)&0o700|0o600)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	whole := sha256.New()
	for at := 0; at < len(file.Pieces); at += senders {
		pieces, err := f.readPieces(ctx, file, at)
		if err != nil {
			return err
		}
		for _, b := range pieces {
			_, _ = whole.Write(b) // never fails
			if _, err := out.Write(b); err != nil {
				return err //nolint:wrapcheck // it names the file
			}
			f.pass(int64(len(b)))
		}
	}
	if sum := hex.EncodeToString(whole.Sum(nil)); sum != file.SHA256 {
		return fmt.Errorf("%w: the file is not what was saved", ErrDamaged)
	}
	if err := out.Chmod(fs.FileMode(file.Mode)); err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	return out.Sync() //nolint:wrapcheck // it names the file
}

// readPieces reads the next few pieces of a file, from the one at on.
func (f *fetcher) readPieces(ctx context.Context, file *File, at int) ([][]byte, error) {
	pieces := make([][]byte, min(senders, len(file.Pieces)-at))
	group, ctx := errgroup.WithContext(ctx)
	for i := range pieces {
		group.Go(func() error {
			b, err := readPiece(ctx, f.place, file.Pieces[at+i], file.pieceSize(at+i))
			pieces[i] = b
			return err
		})
	}
	return pieces, group.Wait() //nolint:wrapcheck // it is ours
}

// readPiece reads a piece and compares it with its name.
func readPiece(ctx context.Context, p Place, sum string, size int64) ([]byte, error) {
	b, err := p.Read(ctx, objectName(sum), size+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: a piece is missing (%s)", ErrDamaged, sum)
	}
	if err != nil {
		return nil, fmt.Errorf("read a piece: %w", err)
	}
	if int64(len(b)) != size || sumOf(b) != sum {
		return nil, fmt.Errorf("%w: a piece is not what was saved (%s)", ErrDamaged, sum)
	}
	return b, nil
}

// ReadFile returns the content of one file of a snapshot, of at most `most` bytes.
func ReadFile(ctx context.Context, p Place, file *File, most int64) ([]byte, error) {
	if file.Size > most {
		return nil, fmt.Errorf("%s has %d bytes, more than it may have", file.Path, file.Size)
	}
	var out []byte
	for i, sum := range file.Pieces {
		b, err := readPiece(ctx, p, sum, file.pieceSize(i))
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

func (f *fetcher) pass(n int64) {
	f.done += n
	if f.o.Progress != nil {
		f.o.Progress(f.done, f.total)
	}
}
