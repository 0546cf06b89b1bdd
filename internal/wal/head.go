package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// The head file says what the chain alone cannot: how far the log reached, what
// retention removed, and what was lost. Without it, whoever takes whole segments or
// records off either end leaves a shorter log that is still in order. There are two
// copies, one in the log's folder and one beside it, so that neither losing the folder
// nor losing a file takes the record away. Each has two slots, written in turn and in
// place, so that it can be brought up to date on a full disk and a torn write leaves
// the other slot. See docs/formats.md, "HEAD".
const (
	headName      = "HEAD"
	headSuffix    = ".head" // of the copy: the folder's name and this
	headMagic     = "AMOSHEAD"
	headSlotBytes = 96
	headSlotEvery = 4096
	headFileBytes = 2 * headSlotEvery
	headCRCAt     = headSlotBytes - 4

	// The rest of a slot; previous builds neither read nor write it.
	noteMagic      = "AMOSNOTE"
	noteAt         = headSlotBytes
	noteLossesAt   = 144
	noteCRCAt      = headSlotEvery - 4
	noteClosed     = 1
	noteHasNewest  = 2
	lossBytes      = 48
	lossUnknownEnd = 1

	// maxLosses bounds the losses on record. Beyond it accepted ones are forgotten,
	// oldest first, and then open ones that are neighbours become one.
	maxLosses = 64
)

// head is what the head file says.
type head struct {
	serial uint64
	// removed says that retention removed everything below. Previous builds wrote
	// the offset of the oldest segment there was, which means the same where nothing
	// was lost.
	removed Offset
	next    Offset           // the log reached at least to here
	chain   [chainBytes]byte // chain value at next

	note note
}

// note is the part of the head file that previous builds do not know.
type note struct {
	serial    uint64 // of the slot it was written with, 0 without one
	newest    Offset // where the newest segment begins, if hasNewest
	hasNewest bool
	closed    bool // the log was closed in order: it reached to next and not further
	removedAt time.Time
	lastID    uint64
	losses    []loss // in the order of their offsets
}

// loss is a loss on record.
type loss struct {
	id       uint64
	from, to Offset
	unknown  bool // how much of it was given out is not known
	noticed  time.Time
	accepted time.Time // zero while it is open
	cause    lossCause
}

// stream returns the loss as others see it.
func (l *loss) stream() stream.Loss {
	return stream.Loss{
		ID: l.id, From: l.from, To: l.to, Unknown: l.unknown, Noticed: l.noticed, Accepted: l.accepted, Reason: l.cause.String(),
	}
}

func (h *head) encode() []byte {
	b := make([]byte, headSlotEvery)
	le := binary.LittleEndian
	copy(b, headMagic)
	le.PutUint64(b[8:], h.serial)
	le.PutUint64(b[16:], h.removed)
	le.PutUint64(b[24:], h.next)
	copy(b[32:], h.chain[:])
	le.PutUint32(b[headCRCAt:], crc32.Checksum(b[:headCRCAt], castagnoli()))
	h.note.put(b, h.serial)
	return b
}

func (n *note) put(b []byte, serial uint64) {
	le := binary.LittleEndian
	copy(b[noteAt:], noteMagic)
	le.PutUint64(b[104:], serial)
	le.PutUint64(b[112:], n.newest)
	var flags uint32
	if n.closed {
		flags |= noteClosed
	}
	if n.hasNewest {
		flags |= noteHasNewest
	}
	le.PutUint32(b[120:], flags)
	le.PutUint32(b[124:], uint32(len(n.losses)))
	le.PutUint64(b[128:], n.lastID)
	le.PutUint64(b[136:], nanos(n.removedAt))
	for i := range n.losses {
		l, p := &n.losses[i], b[noteLossesAt+i*lossBytes:]
		le.PutUint64(p, l.id)
		le.PutUint64(p[8:], l.from)
		le.PutUint64(p[16:], l.to)
		le.PutUint64(p[24:], nanos(l.noticed))
		le.PutUint64(p[32:], nanos(l.accepted))
		p[40] = byte(l.cause)
		if l.unknown {
			p[41] = lossUnknownEnd
		}
	}
	le.PutUint32(b[noteCRCAt:], crc32.Checksum(b[noteAt:noteCRCAt], castagnoli()))
}

// nanos is a time in nanoseconds since 1970, 0 for none.
func nanos(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

func fromNanos(n uint64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

// parse decodes the part of a slot that all builds know and reports whether it can
// be believed.
func (h *head) parse(b []byte) bool {
	le := binary.LittleEndian
	if len(b) < headSlotBytes || string(b[:8]) != headMagic ||
		crc32.Checksum(b[:headCRCAt], castagnoli()) != le.Uint32(b[headCRCAt:]) {
		return false
	}
	h.serial = le.Uint64(b[8:])
	h.removed = le.Uint64(b[16:])
	h.next = le.Uint64(b[24:])
	copy(h.chain[:], b[32:])
	return h.next <= maxOffset/4
}

// parse decodes the rest of a slot.
func (n *note) parse(b []byte) bool {
	le := binary.LittleEndian
	if len(b) < headSlotEvery || string(b[noteAt:noteAt+8]) != noteMagic ||
		crc32.Checksum(b[noteAt:noteCRCAt], castagnoli()) != le.Uint32(b[noteCRCAt:]) {
		return false
	}
	count := le.Uint32(b[124:])
	flags := le.Uint32(b[120:])
	*n = note{
		serial: le.Uint64(b[104:]), newest: le.Uint64(b[112:]), lastID: le.Uint64(b[128:]), removedAt: fromNanos(le.Uint64(b[136:])),
		closed: flags&noteClosed != 0, hasNewest: flags&noteHasNewest != 0,
	}
	if count > maxLosses || n.newest > maxOffset/4 {
		return false
	}
	for i := range int(count) {
		p := b[noteLossesAt+i*lossBytes:]
		l := loss{
			id: le.Uint64(p), from: le.Uint64(p[8:]), to: le.Uint64(p[16:]), noticed: fromNanos(le.Uint64(p[24:])),
			accepted: fromNanos(le.Uint64(p[32:])), cause: lossCause(p[40]), unknown: p[41]&lossUnknownEnd != 0,
		}
		if l.to < l.from || l.to > maxOffset {
			return false
		}
		n.losses = append(n.losses, l)
	}
	return true
}

// errNoHead says that there is no head file that can be believed.
var errNoHead = errors.New("no readable HEAD file")

// headPaths are those of the head file of the log in dir, and of its copy.
func headPaths(dir string) [2]string {
	return [2]string{filepath.Join(dir, headName), filepath.Clean(dir) + headSuffix}
}

// readHead returns what the head file of the log in dir says: of both copies the
// newest slot, and the newest note. What is missing of them, or damaged, is in faults
// for people. Without a single slot the error is errNoHead.
func readHead(fsys vfs.FS, dir string) (best head, faults []string, err error) {
	ok := false
	var note note
	var unwritten []string // which previous builds leave so
	for _, name := range headPaths(dir) {
		b, err := readSmall(fsys, name, headFileBytes)
		if vfs.IsNotExist(err) {
			unwritten = append(unwritten, name+" is missing")
			continue
		}
		if err != nil {
			return head{}, nil, fmt.Errorf("read head: %w", err)
		}
		for at := 0; at < headFileBytes; at += headSlotEvery {
			slot := b[min(at, len(b)):min(at+headSlotEvery, len(b))]
			if len(slot) > 0 && allZero(slot) {
				unwritten = append(unwritten, fmt.Sprintf("slot %d of %s is empty", at/headSlotEvery, name))
				continue
			}
			var h head
			switch good := h.parse(slot); {
			case !good:
				faults = append(faults, fmt.Sprintf("slot %d of %s is damaged", at/headSlotEvery, name))
				continue
			case !ok || h.serial > best.serial:
				best, ok = h, true
			}
			switch {
			case len(slot) < headSlotEvery || allZero(slot[noteAt:]): // of a previous build
			case !h.note.parse(slot):
				faults = append(faults, fmt.Sprintf("the note in slot %d of %s is damaged", at/headSlotEvery, name))
			case h.note.serial > note.serial:
				note = h.note
			}
		}
	}
	if note.serial > 0 || !ok {
		faults = append(faults, unwritten...)
	}
	if !ok {
		return head{}, faults, errNoHead
	}
	best.note = note
	return best, faults, nil
}

// writeHead makes h durable in the slot that its serial selects, of both copies, one
// after the other: whenever the power fails, one is whole. The copy beside the folder
// may be refused, where the folder above is not ours.
func writeHead(fsys vfs.FS, dir string, h head) (err, copyErr error) {
	paths := headPaths(dir)
	slot := h.encode()
	at := int64(h.serial%2) * headSlotEvery
	return writeHeadSlot(fsys, paths[0], slot, at), writeHeadSlot(fsys, paths[1], slot, at)
}

func writeHeadSlot(fsys vfs.FS, name string, slot []byte, at int64) error {
	f, err := fsys.OpenRW(name)
	fresh := vfs.IsNotExist(err)
	if fresh {
		if f, err = fsys.Create(name); err == nil {
			_, err = f.WriteAt(slot, headSlotEvery-at) // so that an empty slot is a fault
		}
	}
	if err == nil {
		_, err = f.WriteAt(slot, at)
	}
	if err == nil {
		err = f.Datasync()
	}
	if f != nil {
		err = errors.Join(err, f.Close())
	}
	if err == nil && fresh {
		err = fsys.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("write head: %w", err)
	}
	return nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
