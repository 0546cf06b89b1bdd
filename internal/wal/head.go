package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/vfs"
)

// The head file says how far the log reached and where it starts, which the
// chain alone cannot: without it, whoever cuts whole segments or records off
// either end leaves a shorter log that is still in order. It has two slots,
// written in turn and in place, so that it can be brought up to date on a full
// disk and a torn write leaves the other slot.
const (
	headName      = "HEAD"
	headMagic     = "AMOSHEAD"
	headSlotBytes = 96
	headSlotEvery = 4096
	headFileBytes = 2 * headSlotEvery
	headCRCAt     = headSlotBytes - 4
)

// head is the content of the head file.
type head struct {
	serial uint64
	oldest Offset           // first offset of the oldest segment
	next   Offset           // the log reached at least to here
	chain  [chainBytes]byte // chain value at next
}

func (h *head) encode() []byte {
	b := make([]byte, headSlotBytes)
	le := binary.LittleEndian
	copy(b, headMagic)
	le.PutUint64(b[8:], h.serial)
	le.PutUint64(b[16:], h.oldest)
	le.PutUint64(b[24:], h.next)
	copy(b[32:], h.chain[:])
	le.PutUint32(b[headCRCAt:], crc32.Checksum(b[:headCRCAt], castagnoli()))
	return b
}

// parse decodes a slot and reports whether it can be believed.
func (h *head) parse(b []byte) bool {
	le := binary.LittleEndian
	if len(b) < headSlotBytes || string(b[:8]) != headMagic ||
		crc32.Checksum(b[:headCRCAt], castagnoli()) != le.Uint32(b[headCRCAt:]) {
		return false
	}
	h.serial = le.Uint64(b[8:])
	h.oldest = le.Uint64(b[16:])
	h.next = le.Uint64(b[24:])
	copy(h.chain[:], b[32:])
	return h.next <= maxOffset/4
}

// errNoHead says that there is no head file that can be believed.
var errNoHead = errors.New("no readable HEAD file")

// readHead returns the newer slot of the head file in dir.
func readHead(fsys vfs.FS, dir string) (head, error) {
	f, err := fsys.Open(filepath.Join(dir, headName))
	if vfs.IsNotExist(err) {
		return head{}, errNoHead
	}
	if err != nil {
		return head{}, fmt.Errorf("open head: %w", err)
	}
	b := make([]byte, headFileBytes)
	n, err := f.ReadAt(b, 0)
	if err = errors.Join(ignoreEOF(err), f.Close()); err != nil {
		return head{}, fmt.Errorf("read head: %w", err)
	}
	var best head
	ok := false
	for at := 0; at < n; at += headSlotEvery {
		var h head
		if h.parse(b[at:min(n, at+headSlotBytes)]) && (!ok || h.serial > best.serial) {
			best, ok = h, true
		}
	}
	if !ok {
		return head{}, errNoHead
	}
	return best, nil
}

// writeHead makes h durable in the slot that its serial selects.
func writeHead(fsys vfs.FS, dir string, h head) error {
	name := filepath.Join(dir, headName)
	f, err := fsys.OpenRW(name)
	fresh := vfs.IsNotExist(err)
	if fresh {
		if f, err = fsys.Create(name); err == nil {
			err = f.Truncate(headFileBytes)
		}
	}
	if err == nil {
		_, err = f.WriteAt(h.encode(), int64(h.serial%2)*headSlotEvery)
	}
	if err == nil {
		err = f.Datasync()
	}
	if f != nil {
		err = errors.Join(err, f.Close())
	}
	if err == nil && fresh {
		err = fsys.SyncDir(dir)
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
