package admit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrCheckpoint is returned for a checkpoint that does not decode.
var ErrCheckpoint = errors.New("checkpoint of the ledger does not decode")

// ErrNewer is returned for a checkpoint of a version that this program does not know.
var ErrNewer = errors.New("a newer version of amoskys wrote it and this one cannot tell which batches are stored: " +
	"run that version, or one newer")

// checkpointMagic begins a checkpoint; its last byte is the version.
const checkpointMagic = "AMLG\x01"

// A checkpoint is checkpointMagic and then, with all numbers as varints:
//
//	count of names, then each: length, bytes       publishers
//	count of producers, then each, least recent first:
//	    name index, id (16), unix seconds of last use, top,
//	    full (0 or 1), and unless full the bitmap (128, little endian)
//	count of events, then each, oldest first: name index, id (16)
//
// A producer is full when every sequence that its window covers is stored.

// Checkpoint encodes everything that is stored.
func (l *Ledger) Checkpoint() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	index := map[string]uint64{}
	nameOf := func(s string) uint64 {
		i, ok := index[s]
		if !ok {
			i = uint64(len(names))
			index[s], names = i, append(names, s)
		}
		return i
	}

	body := binary.AppendUvarint(make([]byte, 0, 64+32*l.producers.len()), uint64(l.producers.len()))
	l.producers.oldestFirst(func(key producerKey, p *producer) { body = p.append(body, key, nameOf) })
	count := 0
	var events []byte
	l.events.oldestFirst(func(key eventKey, stored *bool) {
		if *stored {
			count++
			events = append(binary.AppendUvarint(events, nameOf(key.publisher)), key.id[:]...)
		}
	})
	body = append(binary.AppendUvarint(body, uint64(count)), events...)

	out := append(make([]byte, 0, len(body)+64), checkpointMagic...)
	out = binary.AppendUvarint(out, uint64(len(names)))
	for _, s := range names {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	return append(out, body...)
}

func (p *producer) append(out []byte, key producerKey, nameOf func(string) uint64) []byte {
	out = binary.AppendUvarint(out, nameOf(key.publisher))
	out = append(out, key.id[:]...)
	out = binary.AppendUvarint(out, uint64(max(0, p.used.Unix())))
	out = binary.AppendUvarint(out, p.window.top)
	if p.window.full() {
		return append(out, 1)
	}
	out = append(out, 0)
	for _, word := range p.window.stored {
		out = binary.LittleEndian.AppendUint64(out, word)
	}
	return out
}

// full reports whether every sequence from 1 that the window covers is stored.
func (w *window) full() bool {
	for i := range min(w.top, WindowSize) {
		if !w.stored.has(w.top - i) {
			return false
		}
	}
	return true
}

// Restore adds what a checkpoint holds. On error the ledger may hold a part of
// it, which is true as far as it goes.
func (l *Ledger) Restore(checkpoint []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := reader{b: checkpoint}
	const last = len(checkpointMagic) - 1
	if n := len(checkpointMagic); len(checkpoint) >= n && string(checkpoint[:last]) == checkpointMagic[:last] && checkpoint[last] > checkpointMagic[last] {
		return fmt.Errorf("checkpoint of the ledger has version %d, this program reads %d: %w", checkpoint[last], checkpointMagic[last], ErrNewer)
	}
	if string(r.bytes(len(checkpointMagic))) != checkpointMagic {
		return fmt.Errorf("%w: it does not begin as one", ErrCheckpoint)
	}
	names := make([]string, 0, 16)
	for range r.count(1) {
		names = append(names, string(r.bytes(r.count(1))))
	}
	name := func() string {
		i := r.uvarint()
		if i >= uint64(len(names)) {
			r.bad = true
			return ""
		}
		return names[i]
	}
	for range r.count(IDSize + 4) {
		l.restoreProducer(&r, name)
	}
	for range r.count(IDSize + 1) {
		key := eventKey{publisher: name()}
		copy(key.id[:], r.bytes(IDSize))
		if !r.bad {
			l.remember(key, true)
		}
	}
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("%w: it is cut off or longer than it says", ErrCheckpoint)
	}
	return nil
}

func (l *Ledger) restoreProducer(r *reader, name func() string) {
	key := producerKey{publisher: name()}
	copy(key.id[:], r.bytes(IDSize))
	used := time.Unix(int64(r.uvarint()), 0)
	w := window{top: r.uvarint()}
	if r.uvarint() == 1 {
		for i := range min(w.top, WindowSize) {
			w.stored.set(w.top - i)
		}
	} else {
		for i := range w.stored {
			w.stored[i] = r.uint64()
		}
	}
	if r.bad {
		return
	}
	w.claimed = w.stored
	l.producer(key, used).window = w
}

// Replay marks a batch of the log as stored.
func (l *Ledger) Replay(publisher string, id [IDSize]byte, sequence uint64, received time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producer(producerKey{publisher, id}, received).window.store(sequence)
}

// ReplayEvent marks a single event of the log as stored.
func (l *Ledger) ReplayEvent(publisher string, id [IDSize]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(eventKey{publisher, id}, true)
}

// reader takes a checkpoint apart. After a fault it is bad and yields zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	b := r.bytes(8)
	if r.bad {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

// count reads how many things of at least size bytes follow, and fails if so
// many cannot.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if r.bad || n > len(r.b) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) fail() { r.bad, r.b = true, nil }
