package wal

import (
	"testing"

	"github.com/amoskys/amoskys/internal/vfs"
)

// shape is how a test's log is written: what holds of one must hold of all. A log is
// opened again, after whatever a test did to it, by what writes the newest format.
type shape struct {
	name   string
	format func(first Offset) uint32 // nil for the newest
	packs  func(seq int) bool        // which batches are packed
}

func version1(Offset) uint32 { return 1 }

// eachShape runs a test with logs of version 1, of version 2 in which every other batch
// is packed, and with ones that begin with a segment of version 1 and go on with packed
// batches in version 2; from is the first batch that is certain not to be in the first
// segment. With -short only the last, which has all that the others have.
func eachShape(t *testing.T, from int, f func(t *testing.T, sh *shape)) {
	t.Helper()
	shapes := allShapes(from)
	if testing.Short() {
		shapes = shapes[2:]
	}
	for _, sh := range shapes {
		t.Run(sh.name, func(t *testing.T) { f(t, &sh) })
	}
}

func allShapes(from int) []shape {
	return []shape{
		{name: "version 1", format: version1, packs: func(int) bool { return false }},
		{name: "version 2", packs: func(seq int) bool { return seq%2 == 1 }},
		{name: "both versions", packs: func(seq int) bool { return seq >= from }, format: func(first Offset) uint32 {
			if first == 0 {
				return 1
			}
			return segmentVersion
		}},
	}
}

// options are those of the package, with the shape's format.
func (s *shape) options(fsys vfs.FS) Options {
	o := options(fsys)
	o.format = s.format
	return o
}

// batch is that of the package, packed where the shape says so.
func (s *shape) batch(seq, events, size int) *Record {
	r := batch(seq, events, size)
	if s.packs(seq) {
		r = packed(r)
	}
	return r
}

// record is that of the package, packed where the shape says so.
func (s *shape) record(publisher string, seq uint64, events ...string) *Record {
	r := record(publisher, seq, events...)
	if s.packs(int(seq)) {
		r = packed(r)
	}
	return r
}

// newest is the shape of version 2, of which every other batch is packed.
func newest() *shape { return &allShapes(3)[1] }
