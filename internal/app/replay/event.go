package replay

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/findings"
	"github.com/amoskys/amoskys/internal/flow/tell"
	"github.com/amoskys/amoskys/internal/flow/track"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Key is what tells one reading of a capture from others: the same for the same bytes
// in a file of the same name, which the events tell, read in the same way by the same
// program.
type Key [sha256.Size]byte

// KeyOf reads a file for its key; how says in which way it will be read. Progress is
// told the bytes so far and of all. What is no regular file can be read only once: its
// key is new, and again is false.
func KeyOf(path, how string, progress func(done, total int64)) (k Key, again bool, err error) {
	info, err := os.Stat(path)
	if path == "-" || err == nil && !info.Mode().IsRegular() {
		_, err := rand.Read(k[:])
		return k, false, err
	}
	if err != nil {
		return k, false, err
	}
	f, err := os.Open(path)
	if err != nil {
		return k, false, err
	}
	defer func() { _ = f.Close() }() // It was read only.
	h := sha256.New()
	fmt.Fprintf(h, "amoskys replay 3\n%s\n%s\n%q\n", obs.ReadBuild().Version, how, captureName(path))
	var done int64
	block := make([]byte, 1<<20)
	for {
		n, err := f.Read(block)
		_, _ = h.Write(block[:n]) // A hash takes all.
		done += int64(n)
		progress(done, info.Size())
		if err == io.EOF {
			return Key(h.Sum(nil)), true, nil
		}
		if err != nil {
			return k, false, fmt.Errorf("read %s: %w", path, err)
		}
	}
}

// producer is the id under which a thousand batches are numbered: as many as the hub's
// window can tell apart (decision 2).
func (k Key) producer(n uint64) [16]byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(k[:], n/perProducer))
	return [16]byte(h[:])
}

// perProducer is how many batches are numbered under one id.
const perProducer = 1000

// id is that of the n-th event of a series, which happened at a time: a UUIDv7 (RFC 9562,
// section 5.7) whose random bits are of the key.
func (k Key) id(series string, n uint64, at time.Time) event.ID {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(append(k[:], series...), n))
	var id event.ID
	copy(id[:], h[:])
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(max(0, at.UnixMilli())))
	copy(id[:6], stamp[2:])
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// captureLabel is the label that names the capture.
const captureLabel = "capture"

// captureName is what a capture is called in events.
func captureName(path string) string {
	if path == "-" {
		return "stdin"
	}
	name := strings.ToValidUTF8(filepath.Base(path), "?")
	const longest = 200 // bytes
	if len(name) > longest {
		name = strings.ToValidUTF8(name[len(name)-longest:], "")
	}
	return name
}

// encode makes the event of a flow that ended.
func (p *Publisher) encode(f *track.Flow) ([]byte, error) {
	activity := tell.Surroundings{}.Activity(f)
	if p.o.Add != nil {
		p.o.Add(activity)
	}
	return p.encodeEvent(p.o.Key.id("event", p.flows, time.Unix(0, f.Last)), &pb.Event{
		Time: timestamppb.New(time.Unix(0, f.Last)), Type: event.TypeFlowEnded, Severity: pb.Severity_SEVERITY_INFORMATIONAL,
		Body: &pb.Event_Network{Network: activity},
	})
}

// encodeFinding makes the event of something that was found.
func (p *Publisher) encodeFinding(ev *pb.Event) ([]byte, error) {
	ev.Type = findingPrefix + strings.TrimPrefix(ev.GetType(), findings.TypePrefix)
	return p.encodeEvent(p.o.Key.id("finding", p.found, ev.GetTime().AsTime()), ev)
}

// findingPrefix begins the type of what this agent finds.
const findingPrefix = "finding." + event.KindReplay + "."

// encodeEvent adds who saw it, and in what.
func (p *Publisher) encodeEvent(id event.ID, ev *pb.Event) ([]byte, error) {
	ev.Id = id[:]
	ev.Agent = &pb.Agent{Id: event.KindReplay, Kind: event.KindReplay, Version: obs.ReadBuild().Version}
	ev.Observer = &pb.Host{Name: p.o.Host}
	ev.About = &pb.Device{Name: p.capture, Type: captureLabel}
	ev.Labels = map[string]string{captureLabel: p.capture}
	return event.Encode(ev)
}
