// Package backup keeps snapshots of an installation in a folder or a bucket, and brings
// them back. It knows files, not what is in them: internal/app/backups says which files an
// installation is made of, and takes them while it runs.
//
// In a place lie
//
//	objects/AB/ABCD…       pieces of files, named by the SHA-256 of what is in them
//	snapshots/ID.json      manifests: which file is made of which pieces
//
// A piece that is there already is not sent again, so that every snapshot is whole and the
// next one costs what has changed. A manifest is written last: without it there is no
// snapshot, and pieces that no manifest names go with the next pruning. docs/backup.md
// gives the format.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Format is the version of manifests that this program writes, and the newest it reads.
const Format = 1

// PieceBytes is how large the pieces of a file are; the last one of each is what is left.
const PieceBytes = 8 << 20

// Bounds on what is read of a place that somebody else may have written.
const (
	maxManifestBytes = 256 << 20
	maxFiles         = 1 << 20
	maxPathBytes     = 1 << 10
)

// Manifest says what a snapshot is made of.
type Manifest struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`    // when it was begun
	Host    string    `json:"host"`    // of which machine it is
	Version string    `json:"version"` // of the program that made it
	// Log is the log as it is in it; every other part stands at its end or before.
	Log LogRange `json:"log"`
	// Parts are what it holds, and from where each goes on to read the log.
	Parts []Part `json:"parts"`
	// Hub is where the hub answered that it is of, host:port.
	Hub []string `json:"hub,omitempty"`
	// Keys is the path of the private keys, sealed; empty where they are not in it.
	Keys  string `json:"keys,omitempty"`
	Files []File `json:"files"`
}

// LogRange is a part of a log.
type LogRange struct {
	First uint64 `json:"first"`
	Next  uint64 `json:"next"`
	// Chain is the log's chain value at Next, which no other log has.
	Chain string `json:"chain"`
}

// Part is one of the things that an installation keeps.
type Part struct {
	Name string `json:"name"`
	// Offset is its place in the log, of parts that have one.
	Offset uint64 `json:"offset,omitempty"`
	// Path is where it lies below the home.
	Path string `json:"path,omitempty"`
	// Missing says why it is not in the snapshot, or not whole.
	Missing string `json:"missing,omitempty"`
}

// File is one file, or a link.
type File struct {
	// Path is where it lies below the home, with slashes.
	Path string `json:"path"`
	// Link is the name of the file in the same folder that it leads to; nothing else is
	// set then.
	Link    string    `json:"link,omitempty"`
	Mode    uint32    `json:"mode,omitempty"` // permissions
	Size    int64     `json:"size"`
	Changed time.Time `json:"changed,omitzero"` // as the file said; content that may change without is read anyway
	// SHA256 is that of the whole file, Pieces those of its pieces, in hexadecimal.
	SHA256 string   `json:"sha256,omitempty"`
	Pieces []string `json:"pieces,omitempty"`
}

// Bytes is the size of all files.
func (m *Manifest) Bytes() (n int64) {
	for i := range m.Files {
		n += m.Files[i].Size
	}
	return n
}

// Find returns the file at path, nil where there is none.
func (m *Manifest) Find(path string) *File {
	for i := range m.Files {
		if m.Files[i].Path == path {
			return &m.Files[i]
		}
	}
	return nil
}

// Errors that callers decide on.
var (
	// ErrDamaged says that a snapshot is not what was written.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrNewer says that a newer program wrote it.
	ErrNewer = errors.New("a newer version of amoskys made the backup: restore it with that one")
	// ErrNoSnapshot says that there is none.
	ErrNoSnapshot = errors.New("there is no backup here")
)

// encode returns the manifest with its checksum: a line with the SHA-256 of the rest.
func (m *Manifest) encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	body = append(body, '\n')
	return slices.Concat([]byte(sumOf(body)), []byte("\n"), body), nil
}

// DecodeManifest reads and checks a manifest, which may come from anywhere: its paths stay
// below a home, and no piece has another name than a checksum. The error is ErrDamaged or
// ErrNewer.
func DecodeManifest(b []byte) (*Manifest, error) {
	sum, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != sumOf(body) {
		return nil, fmt.Errorf("%w: the checksum of its manifest is wrong", ErrDamaged)
	}
	m := &Manifest{}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("%w: its manifest cannot be read: %w", ErrDamaged, err)
	}
	if m.Format > Format {
		return nil, fmt.Errorf("%w (format %d, this program knows %d)", ErrNewer, m.Format, Format)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return m, nil
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// snapshotID is the form of a snapshot's name.
var snapshotID = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4,16}$`)

// CheckID says what is wrong with the name of a snapshot.
func CheckID(id string) error {
	if !snapshotID.MatchString(id) {
		return fmt.Errorf("%q is not the name of a backup: amoskys backup list PLACE shows them", id)
	}
	return nil
}

// check says what in a manifest breaks a rule.
func (m *Manifest) check() error {
	switch {
	case m.Format < 1:
		return errors.New("its manifest has no format")
	case len(m.Files) > maxFiles:
		return fmt.Errorf("its manifest has %d files, more than %d", len(m.Files), maxFiles)
	}
	if err := CheckID(m.ID); err != nil {
		return err
	}
	for _, p := range m.Parts {
		if p.Path != "" && checkPath(p.Path) != nil {
			return fmt.Errorf("part %q lies out of where files of a home lie", p.Name)
		}
	}
	files, folders := make(map[string]bool, len(m.Files)), map[string]bool{}
	for i := range m.Files {
		f := &m.Files[i]
		if err := f.check(); err != nil {
			return err
		}
		if files[f.Path] {
			return fmt.Errorf("file %q is in it twice", f.Path)
		}
		files[f.Path] = true
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if folders[dir] {
				break
			}
			folders[dir] = true
		}
	}
	for i := range m.Files {
		if folders[m.Files[i].Path] {
			return fmt.Errorf("%q is both a file and a folder", m.Files[i].Path)
		}
	}
	if m.Keys != "" && !files[m.Keys] {
		return errors.New("the file of its keys is not in it")
	}
	return nil
}

// homeFolders are the folders below a home in which a snapshot may have files.
func homeFolders() []string { return []string{"certs", "config", "data", "rules", keysFolder} }

// checkPath says what is wrong with a path below a home.
func checkPath(p string) error {
	first, rest, below := strings.Cut(p, "/")
	switch {
	case len(p) > maxPathBytes, !filepath.IsLocal(filepath.FromSlash(p)), path.Clean(p) != p,
		strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }),
		!below, rest == "", !slices.Contains(homeFolders(), first):
		return fmt.Errorf("the path %q leads out of where files of a home lie", p[:min(len(p), maxPathBytes)])
	}
	return nil
}

func (f *File) check() error {
	if err := checkPath(f.Path); err != nil {
		return err
	}
	if f.Link != "" {
		if f.Size != 0 || len(f.Pieces) > 0 || checkPath(path.Join(path.Dir(f.Path), f.Link)) != nil || strings.Contains(f.Link, "/") || f.Link == "." || f.Link == ".." {
			return fmt.Errorf("the link %q leads out of its folder", f.Path)
		}
		return nil
	}
	if f.Mode&^0o777 != 0 {
		return fmt.Errorf("file %q has an impossible mode", f.Path)
	}
	if f.Size < 0 || int64(len(f.Pieces)) != (f.Size+PieceBytes-1)/PieceBytes {
		return fmt.Errorf("file %q has %d bytes in %d pieces", f.Path, f.Size, len(f.Pieces))
	}
	for _, sum := range append([]string{f.SHA256}, f.Pieces...) {
		if !isSum(sum) {
			return fmt.Errorf("file %q has a checksum that is none", f.Path)
		}
	}
	return nil
}

// isSum reports whether s is a SHA-256 in hexadecimal, as objects are named.
func isSum(s string) bool {
	return len(s) == 2*sha256.Size && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// pieceSize is the size of the i-th piece.
func (f *File) pieceSize(i int) int64 { return min(PieceBytes, f.Size-int64(i)*PieceBytes) }
