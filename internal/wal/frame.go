package wal

import (
	"encoding/binary"
	"slices"
)

// frame lays a group out for one vectored write. Headers, names, trailers and
// small payloads go to an arena that is reused; large payloads are written
// from where they lie.
type frame struct {
	arena  []byte
	pieces [][]byte
}

// build completes the headers of records that are written to a place of the active
// segment, and returns the bytes to write. The place is moved behind them. What a header
// calls durable is what is durable now, wherever it is written to.
func (f *frame) build(reqs []*request, a *active, at *tail) [][]byte {
	need := 0
	for _, r := range reqs {
		if r.size > 0 {
			need += int(r.size)
			if !r.inline() {
				need -= r.payloadBytes()
			}
		}
	}
	// The arena must not move while pieces point into it.
	f.arena = slices.Grow(f.arena[:0], need)
	f.pieces = f.pieces[:0]
	from := 0
	for _, r := range reqs {
		if r.size == 0 {
			continue
		}
		h := &r.header
		h.salt, h.first, h.synced = a.seg.salt, at.next, uint64(a.pos)
		h.chain = h.link(&at.chain, &r.hash.out)
		at.pos, at.next, at.chain = at.pos+r.size, h.behind(), h.chain

		begin := len(f.arena)
		f.arena = f.arena[:begin+recordHeaderBytes]
		h.put(f.arena[begin:])
		f.arena = append(f.arena, r.name...)
		if r.inline() {
			for _, p := range r.payload {
				f.arena = append(f.arena, p...)
			}
		} else {
			f.pieces = append(f.pieces, f.arena[from:])
			f.pieces = append(f.pieces, r.payload...)
			from = len(f.arena)
		}
		for range r.size - int64(h.length) - recordTrailerBytes {
			f.arena = append(f.arena, 0)
		}
		f.arena = binary.LittleEndian.AppendUint32(f.arena, h.trailer())
	}
	if from < len(f.arena) {
		f.pieces = append(f.pieces, f.arena[from:])
	}
	return f.pieces
}

func (r *request) payloadBytes() int {
	return int(r.header.length) - recordHeaderBytes - int(r.header.publisher)
}

func (r *request) inline() bool { return r.payloadBytes() <= inlineBytes }
