package inventory

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/entity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// The durable form, all numbers little endian:
//
//	"AMDEVICE" | version, u32 | records | 0, u32 | CRC-32C of all before, u32
//
// A record is its length, u32, and two parts with their lengths, u32: of the first record
// nothing and the Book's own memory as JSON, of each other one the device as
// DeviceInventory and its memory as JSON.
const (
	magic   = "AMDEVICE"
	version = 1
	// maxRecord is the most bytes of one record.
	maxRecord = 4 << 20
)

// ErrDamaged says that what was to be a Book is none, or not whole. What was observed is
// lost with it, and nothing else: observing goes on with an empty one.
var ErrDamaged = errors.New("the inventory is damaged")

// own is the memory of the Book itself.
type own struct {
	Shared []string `json:"shared,omitempty"`
	Now    int64    `json:"now"`
}

// Encode writes the Book in its durable form.
func (b *Book) Encode(w io.Writer) error {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	head := binary.LittleEndian.AppendUint32([]byte(magic), version)
	_, err := out.Write(head) // a bufio.Writer keeps its first error
	mine := own{Now: b.now}
	for m := range b.shared {
		mine.Shared = append(mine.Shared, m)
	}
	slices.Sort(mine.Shared)
	err = errors.Join(err, writeRecord(out, nil, mine))
	all := make([]*record, 0, len(b.all))
	for r := range b.all {
		all = append(all, r)
	}
	slices.SortFunc(all, func(x, y *record) int { return strings.Compare(x.d.GetUid(), y.d.GetUid()) })
	for _, r := range all {
		d, encodeErr := proto.MarshalOptions{Deterministic: true}.Marshal(r.d)
		if err = errors.Join(err, encodeErr); err != nil {
			break
		}
		if err = writeRecord(out, d, r.memory); err != nil {
			break
		}
	}
	if _, e := out.Write([]byte{0, 0, 0, 0}); e != nil {
		err = errors.Join(err, e)
	}
	if err = errors.Join(err, out.Flush()); err == nil {
		_, err = w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	}
	if err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}

func writeRecord(w io.Writer, device []byte, memory any) error {
	text, err := json.Marshal(memory)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(8+len(device)+len(text)))
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(device))), device...)
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...)
	_, err = w.Write(b)
	return err
}

// Decode reads a Book from its durable form. The error is ErrDamaged, wrapped, if it is
// not whole, or that of r. More devices than o allows are left out and counted.
func Decode(r io.Reader, o Options) (*Book, error) {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	plain := bufio.NewReaderSize(r, 64<<10)
	in := io.TeeReader(plain, sum)
	head := make([]byte, len(magic)+4)
	if _, err := io.ReadFull(in, head); err != nil || string(head[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it does not begin as one", ErrDamaged)
	}
	if v := binary.LittleEndian.Uint32(head[len(magic):]); v != version {
		return nil, fmt.Errorf("%w: it is of version %d, this program knows %d", ErrDamaged, v, version)
	}
	b := New(o)
	for first := true; ; first = false {
		device, memory, err := readRecord(in)
		if err != nil {
			return nil, err
		}
		if device == nil && memory == nil {
			break
		}
		if first {
			err = b.decodeOwn(memory)
		} else {
			err = b.decodeRecord(device, memory)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	want := sum.Sum32()
	var tail [4]byte
	if _, err := io.ReadFull(plain, tail[:]); err != nil || binary.LittleEndian.Uint32(tail[:]) != want {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	return b, nil
}

func readRecord(in io.Reader) (device, memory []byte, err error) {
	cut := func(what string) error { return fmt.Errorf("%w: %s", ErrDamaged, what) }
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return nil, nil, cut("it ends early")
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n == 0 {
		return nil, nil, nil
	}
	if n < 8 || n > maxRecord {
		return nil, nil, cut("a record has an impossible length")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, nil, cut("it ends within a record")
	}
	first := binary.LittleEndian.Uint32(b)
	if uint64(first)+8 > uint64(n) {
		return nil, nil, cut("a record has parts that are longer than it")
	}
	second := binary.LittleEndian.Uint32(b[4+first:])
	if uint64(first)+8+uint64(second) != uint64(n) {
		return nil, nil, cut("the parts of a record do not fill it")
	}
	return b[4 : 4+first], b[8+first:], nil
}

func (b *Book) decodeOwn(text []byte) error {
	var mine own
	if err := json.Unmarshal(text, &mine); err != nil {
		return err
	}
	b.now = mine.Now
	for _, m := range mine.Shared[:min(len(mine.Shared), maxShared)] {
		b.shared[m] = struct{}{}
	}
	return nil
}

func (b *Book) decodeRecord(device, text []byte) error {
	r := &record{d: &pb.DeviceInventory{}}
	if err := proto.Unmarshal(device, r.d); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &r.memory); err != nil {
		return err
	}
	if r.d.GetVendor() != "" && entity.Maker(r.d.GetVendor()) == "" { // as versions before this one took it
		r.d.Vendor, r.Facts[factVendor] = "", standing{}
	}
	if r.d.GetUid() == "" || len(r.Ports) != len(r.d.GetPorts()) || b.taken(r.d.GetUid(), r) {
		return errors.New("a device lacks its uid, has another's, or has ports that nobody saw")
	}
	if len(b.all) >= b.o.MaxDevices {
		b.stats.Refused++
		return nil
	}
	b.all[r] = struct{}{}
	r.place = b.fresh.PushBack(r)
	b.freshness(r)
	b.index(r)
	return nil
}
