package memfs

import (
	"maps"
	"math"
	"slices"
)

// Sector is the unit that disks write atomically, in bytes.
const Sector = 512

// Crash returns the disk as a power failure at this moment could have left
// it: all that was synced and, of what was not, a prefix of each file's writes
// and of the changes of names. The survivor function decides how many of n
// unsynced steps (operations, or bytes of the last one) survive, from 0 to n;
// nil keeps none. The receiver goes on unchanged.
func (m *FS) Crash(survivor func(n int) int) *FS {
	if survivor == nil {
		survivor = func(int) int { return 0 }
	}
	return m.crash(survivor, func(n *inode) []byte {
		data := slices.Clone(n.synced)
		keep := survivor(len(n.ops))
		for _, o := range n.ops[:keep] {
			data = o.apply(data)
		}
		if keep < len(n.ops) {
			if o := n.ops[keep]; len(o.data) > 0 {
				o.data = o.data[:survivor(len(o.data)-1)]
				if len(o.data) > 0 {
					data = o.apply(data)
				}
			}
		}
		return data
	})
}

// CrashScattered is Crash for disks that write back in any order: every
// changed sector survives or not as pick says, and sizes are the newest ones.
func (m *FS) CrashScattered(pick func() bool) *FS {
	all := func(n int) int { return n }
	return m.crash(all, func(n *inode) []byte {
		data := resize(slices.Clone(n.synced), int64(len(n.data)))
		for at := 0; at < len(data); at += Sector {
			end := min(at+Sector, len(data))
			if !slices.Equal(data[at:end], n.data[at:end]) && pick() {
				copy(data[at:end], n.data[at:end])
			}
		}
		return data
	})
}

func (m *FS) crash(survivor func(n int) int, content func(*inode) []byte) *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := maps.Clone(m.durable)
	for _, c := range m.pending[:survivor(len(m.pending))] {
		c.apply(names)
	}
	out := New()
	out.capacity = m.capacity
	maps.Copy(out.folders, m.folders)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		data := content(names[name])
		node := &inode{data: data, synced: slices.Clone(data), modified: names[name].modified}
		out.names[name], out.durable[name] = node, node
	}
	return out
}

// Clone returns an independent copy of the file system as programs see it,
// all of it durable: what a process that was killed, on a machine that went
// on, leaves behind.
func (m *FS) Clone() *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := New()
	out.capacity = m.capacity
	maps.Copy(out.folders, m.folders)
	for name, n := range m.names {
		node := &inode{data: slices.Clone(n.data), synced: slices.Clone(n.data), modified: n.modified}
		out.names[name], out.durable[name] = node, node
	}
	return out
}

// Unlimited is the capacity that never runs out.
const Unlimited int64 = math.MaxInt64
