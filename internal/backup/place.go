package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Place is where backups lie: a folder, or a bucket. Names have slashes. It is safe for
// concurrent use.
type Place interface {
	// Put stores something whole or not at all; when it returns, it is durable.
	Put(ctx context.Context, name string, content []byte) error
	// Read returns what is stored, at most `most` bytes of it. The error is
	// fs.ErrNotExist where nothing is.
	Read(ctx context.Context, name string, most int64) ([]byte, error)
	// List calls each for everything below a folder, which ends with a slash, in any order.
	List(ctx context.Context, folder string, each func(Stored) error) error
	// Remove takes something away; that nothing is there is no error.
	Remove(ctx context.Context, name string) error
	// String names the place for people, without secrets.
	String() string
}

// Stored is a thing in a place.
type Stored struct {
	Name    string
	Size    int64
	Changed time.Time
}

// Open returns the place that a person names: s3://BUCKET/PREFIX, or a folder. With make
// a folder is made where there is none. lookup finds variables, of which S3 takes its
// address and keys.
func Open(ctx context.Context, name string, lookup func(string) (string, bool), makeIt bool) (Place, error) {
	if rest, ok := strings.CutPrefix(name, "s3://"); ok {
		return openS3(ctx, rest, lookup)
	}
	if scheme, _, ok := strings.Cut(name, "://"); ok {
		return nil, fmt.Errorf("backups go to a folder or to s3://BUCKET/PREFIX, not to %s://", scheme)
	}
	return openDir(name, makeIt)
}

// Folders of a place.
const (
	objectsFolder   = "objects/"
	snapshotsFolder = "snapshots/"
	manifestSuffix  = ".json"
)

func objectName(sum string) string    { return objectsFolder + sum[:2] + "/" + sum }
func manifestName(id string) string   { return snapshotsFolder + id + manifestSuffix }
func sumOfObject(name string) string  { return path.Base(name) }
func idOfManifest(name string) string { return strings.TrimSuffix(path.Base(name), manifestSuffix) }

// Snapshots lists the names of the snapshots in a place, the oldest first.
func Snapshots(ctx context.Context, p Place) ([]string, error) {
	var ids []string
	err := p.List(ctx, snapshotsFolder, func(s Stored) error {
		if id := idOfManifest(s.Name); strings.HasSuffix(s.Name, manifestSuffix) && CheckID(id) == nil {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the backups in %s: %w", p, err)
	}
	slices.Sort(ids)
	return ids, nil
}

// Load reads the manifest of a snapshot; the newest where id is empty. The error is
// ErrNoSnapshot, ErrDamaged, ErrNewer, or that of the place.
func Load(ctx context.Context, p Place, id string) (*Manifest, error) {
	if id == "" {
		ids, err := Snapshots(ctx, p)
		if err != nil {
			return nil, err
		}
		if len(ids) == 0 {
			return nil, fmt.Errorf("%w: %s", ErrNoSnapshot, p)
		}
		id = ids[len(ids)-1]
	}
	if err := CheckID(id); err != nil {
		return nil, err
	}
	b, err := p.Read(ctx, manifestName(id), maxManifestBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no %s", ErrNoSnapshot, p, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read the manifest of %s in %s: %w", id, p, err)
	}
	m, err := DecodeManifest(b)
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", id, p, err)
	}
	if m.ID != id {
		return nil, fmt.Errorf("%s in %s: %w: its manifest is that of %s", id, p, ErrDamaged, m.ID)
	}
	return m, nil
}

// objects returns the sizes of all pieces in a place, by their sums.
func objects(ctx context.Context, p Place) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := p.List(ctx, objectsFolder, func(s Stored) error {
		if sum := sumOfObject(s.Name); isSum(sum) {
			sizes[sum] = s.Size
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list what %s has: %w", p, err)
	}
	return sizes, nil
}
