package devices

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/inventory"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/vfs"
)

// CheckpointFile is the name of the checkpoint below Options.Path:
//
//	AMOSKYS devices 1\n
//	CRC JSON\n       any number of lines: an entry each, and the CRC-32C of its JSON, in
//	                 8 hexadecimal digits; the last has "end", the number of those before
//	the Book         as package inventory encodes it
//
// It is replaced whole or not at all.
const CheckpointFile = "inventory"

// asideFile is where a checkpoint that cannot be read is put; there is one.
const asideFile = CheckpointFile + ".set-aside"

const (
	fileHead    = "AMOSKYS devices "
	fileVersion = 1
	// maxEntry bounds one line: a reading by SNMP in base64, and a history.
	maxEntry = 2 << 20
)

// Why a checkpoint is not used.
var (
	errDamaged = errors.New("the file of the inventory of devices is damaged")
	errNewer   = errors.New("the file of the inventory of devices was written by a newer version")
)

// entry is one line of the file. One of its parts is set.
type entry struct {
	Place  *placeEntry  `json:"place,omitempty"`
	Host   *hostEntry   `json:"host,omitempty"`
	Device *deviceEntry `json:"device,omitempty"`
	End    *int         `json:"end,omitempty"`
}

// placeEntry is what is known of the log, and of who observes.
type placeEntry struct {
	Offset  uint64    `json:"offset"`
	Newest  time.Time `json:"newest,omitzero"`
	Heard   time.Time `json:"heard,omitzero"`
	Scanned time.Time `json:"scanned,omitzero"`
	Lost    uint64    `json:"lost,omitempty"`
	Notes   []string  `json:"notes,omitempty"`
}

type hostEntry struct {
	Name string    `json:"name"`
	Told string    `json:"told"`
	Seen time.Time `json:"seen"`
	At   time.Time `json:"at"`
	UID  string    `json:"uid"`
	Own  bool      `json:"own,omitempty"`
}

// deviceEntry is what is known beside a device.
type deviceEntry struct {
	UID      string    `json:"uid"`
	Host     string    `json:"host,omitempty"`
	Reading  []byte    `json:"reading,omitempty"` // a SnmpReading
	Read     time.Time `json:"read,omitzero"`
	Findings *findings `json:"findings,omitempty"`
	History  []line    `json:"history,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a constant table

func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// encode writes the checkpoint.
func (s *state) encode(w io.Writer) error {
	out := bufio.NewWriterSize(w, 256<<10)
	fmt.Fprintf(out, "%s%d\n", fileHead, fileVersion) // out keeps its first error
	n := 0
	put := func(e entry) error {
		n++
		return writeEntry(out, e)
	}
	if err := put(entry{Place: &placeEntry{s.place, s.newest, s.heard, s.scanned, s.lost, s.notes}}); err != nil {
		return err
	}
	for name, h := range s.hosts {
		if err := put(entry{Host: &hostEntry{name, h.told, h.seen, h.at, h.uid, h.own}}); err != nil {
			return err
		}
	}
	for uid, m := range s.more {
		e := &deviceEntry{UID: uid, Host: m.host, Read: m.read, History: m.history}
		if m.found.Last > 0 {
			e.Findings = &m.found
		}
		if m.reading != nil {
			b, err := proto.Marshal(m.reading)
			if err != nil {
				return fmt.Errorf("encode a reading by SNMP: %w", err)
			}
			e.Reading = b
		}
		if err := put(entry{Device: e}); err != nil {
			return err
		}
	}
	if err := writeEntry(out, entry{End: &n}); err != nil {
		return err
	}
	if err := s.book.Encode(out); err != nil {
		return err //nolint:wrapcheck // it says all
	}
	return out.Flush()
}

func writeEntry(w io.Writer, e entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode the inventory of devices: %w", err)
	}
	_, err = fmt.Fprintf(w, "%08x %s\n", sumOf(text), text)
	return err
}

// decode reads a checkpoint into s, which is blank. The error is errDamaged or errNewer,
// or that of r.
func (s *state) decode(r io.Reader, o inventory.Options) error {
	in := bufio.NewReaderSize(r, maxEntry+16)
	head, err := in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("%w: it does not begin as one", errDamaged)
	}
	text, ok := strings.CutPrefix(strings.TrimSuffix(string(head), "\n"), fileHead)
	version, err := strconv.Atoi(text)
	switch {
	case !ok || err != nil || version < 1:
		return fmt.Errorf("%w: it does not begin as one", errDamaged)
	case version > fileVersion:
		return fmt.Errorf("%w (%d, this program knows %d)", errNewer, version, fileVersion)
	}
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("%w: it ends within its entries: %w", errDamaged, err)
		}
		e, err := parseEntry(line)
		if err != nil {
			return err
		}
		if e.End != nil {
			if *e.End != n {
				return fmt.Errorf("%w: it has %d entries, and says %d", errDamaged, n, *e.End)
			}
			break
		}
		if err := s.add(&e); err != nil {
			return err
		}
	}
	book, err := inventory.Decode(in, o)
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	s.book = book
	return nil
}

func parseEntry(line []byte) (e entry, err error) {
	sum, text, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if !ok || string(sum) != fmt.Sprintf("%08x", sumOf(text)) {
		return e, fmt.Errorf("%w: the checksum of an entry is wrong", errDamaged)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return e, nil
}

// add takes one entry in.
func (s *state) add(e *entry) error {
	switch {
	case e.Place != nil:
		p := e.Place
		s.place, s.newest, s.heard, s.scanned, s.lost = p.Offset, p.Newest, p.Heard, p.Scanned, p.Lost
		s.notes = p.Notes[:min(len(p.Notes), maxNotes)]
	case e.Host != nil:
		h := e.Host
		if len(s.hosts) < maxHosts {
			s.hosts[h.Name] = &hostFacts{told: h.Told, seen: h.Seen, at: h.At, uid: h.UID, own: h.Own}
		}
	case e.Device != nil:
		d := e.Device
		m := &beside{host: d.Host, read: d.Read, history: d.History[max(0, len(d.History)-maxLines):]}
		if d.Findings != nil {
			if d.Findings.Last < 0 {
				return fmt.Errorf("%w: findings of before 1970", errDamaged)
			}
			m.found = *d.Findings
		}
		if len(d.Reading) > 0 {
			m.reading = &pb.SnmpReading{}
			if err := proto.Unmarshal(d.Reading, m.reading); err != nil {
				return fmt.Errorf("%w: %w", errDamaged, err)
			}
			m.size = len(d.Reading)
		}
		if old := s.more[d.UID]; old != nil {
			return fmt.Errorf("%w: a device is there twice", errDamaged)
		}
		s.more[d.UID] = m
		s.lines += len(m.history)
		s.readingBytes += m.size
	}
	return nil
}

// appender writes to the end of a file.
type appender struct {
	f  vfs.File
	at int64
}

// Write implements io.Writer.
func (a *appender) Write(b []byte) (int, error) {
	n, err := a.f.WriteAt(b, a.at)
	a.at += int64(n)
	return n, err //nolint:wrapcheck // it is the caller's to word
}

// save writes the checkpoint and tells the reader what is durable with it. Questions and
// events wait while it is encoded, not while the disk syncs.
func (in *Inventory) save(ctx context.Context, r *reader.Reader) {
	place, err := in.write()
	if err != nil {
		in.metrics.saveErrors.Inc()
		in.o.Logger.WarnContext(ctx, "the inventory of devices cannot be written: it would be made again from the log", obs.KeyError, err)
		in.mu.Lock()
		in.state.unsaved = err.Error()
		in.mu.Unlock()
		return
	}
	in.metrics.saves.Inc()
	in.mu.Lock()
	in.state.unsaved = ""
	in.mu.Unlock()
	r.Durable(place)
}

func (in *Inventory) write() (place uint64, err error) {
	if err := in.o.FS.MkdirAll(in.o.Path, 0o700); err != nil {
		return 0, fmt.Errorf("make the folder of devices: %w", err)
	}
	name := filepath.Join(in.o.Path, CheckpointFile)
	f, err := in.o.FS.Create(name + ".new")
	if err != nil {
		return 0, fmt.Errorf("write the inventory of devices: %w", err)
	}
	in.mu.Lock()
	place = in.state.place
	err = in.state.encode(&appender{f: f})
	in.mu.Unlock()
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, errors.Join(fmt.Errorf("write the inventory of devices: %w", err), in.o.FS.Remove(name+".new"))
	}
	if err := in.o.FS.Rename(name+".new", name); err != nil {
		return 0, fmt.Errorf("write the inventory of devices: %w", err)
	}
	if err := in.o.FS.SyncDir(in.o.Path); err != nil {
		return 0, fmt.Errorf("write the inventory of devices: %w", err)
	}
	return place, nil
}

// load reads the checkpoint; known is false where there is none. The error is errDamaged,
// errNewer or that of the disk.
func (in *Inventory) load() (s state, known bool, err error) {
	s = in.blank()
	f, err := in.o.FS.Open(filepath.Join(in.o.Path, CheckpointFile))
	if vfs.IsNotExist(err) {
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("read the inventory of devices: %w", err)
	}
	size, err := f.Size()
	if err == nil {
		err = s.decode(io.NewSectionReader(f, 0, size), in.bookOptions())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return in.blank(), false, err
	}
	return s, true, nil
}
