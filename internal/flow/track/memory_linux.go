package track

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ownChunks is how many chunks the Go heap holds: all of a host that is not busy.
	ownChunks = 16
	// mapped is how much memory is asked for at once then, in bytes.
	mapped = 16 << 20
)

// memory gives room for chunks. Many of them lie beside the Go heap: the collector
// lets that grow to twice what is in use, which with a million flows would be memory
// for another million. There they also lie in large pages, where the system has
// them, so that a look at one of many records misses the cache alone and not the
// page tables too.
type memory struct {
	made int
	room []byte // of the last mapping
	maps *mappings
}

// mappings are given back when nothing refers to the Table any more.
type mappings struct{ all [][]byte }

func (m *mappings) unmap() {
	for _, b := range m.all {
		_ = unix.Munmap(b)
	}
}

// own makes what is mapped go with the Table.
func (m *memory) own(t *Table) {
	m.maps = &mappings{}
	runtime.AddCleanup(t, (*mappings).unmap, m.maps)
}

// chunk returns an empty chunk.
func (m *memory) chunk() *chunk {
	const size = int(unsafe.Sizeof(chunk{}))
	if m.made++; m.made <= ownChunks || m.maps == nil {
		return new(chunk)
	}
	if len(m.room) < size {
		b, err := unix.Mmap(-1, 0, mapped, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return new(chunk)
		}
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // not every kernel has them
		m.maps.all = append(m.maps.all, b)
		m.room = b
	}
	c := (*chunk)(unsafe.Pointer(&m.room[0])) //nolint:gosec // room for it, without pointers, at the start of a page or behind whole chunks
	m.room = m.room[size:]
	return c
}
