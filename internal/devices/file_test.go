package devices

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/inventory"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// TestSetAside: a file that cannot be read is put away with a word, and what the log has
// is there again.
func TestSetAside(t *testing.T) {
	n := newNetwork(t)
	n.scanned(event.TypeDeviceDiscovered, pc(1))
	whole := t.TempDir()
	in, stop := n.start(whole)
	n.upTo(in)
	stop()
	good, err := os.ReadFile(filepath.Join(whole, CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(fileHead)+30] ^= 1
	for name, tc := range map[string]struct {
		file []byte
		says string
	}{
		"a bit":       {flipped, "damaged"},
		"its end":     {good[:len(good)-3], "damaged"},
		"nothing":     {nil, "damaged"},
		"another":     {[]byte("hello\n"), "damaged"},
		"a newer one": {[]byte(fileHead + "2\n"), "newer version"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, CheckpointFile), tc.file, 0o600); err != nil {
				t.Fatal(err)
			}
			n := &network{t: t, log: n.log, now: n.now, n: n.n}
			in, stop := n.start(dir)
			n.upTo(in)
			if got := names(t, in, ""); got != "pc-1" {
				t.Errorf("there is %q", got)
			}
			if lacks := strings.Join(list(t, in, "").GetLacks(), "\n"); !strings.Contains(lacks, tc.says) || !strings.Contains(lacks, "set aside") {
				t.Errorf("it says %q", lacks)
			}
			stop()
			if kept, err := os.ReadFile(filepath.Join(dir, asideFile)); err != nil || !bytes.Equal(kept, tc.file) {
				t.Errorf("set aside: %d bytes, %v", len(kept), err)
			}
			in, _ = n.start(dir)
			n.upTo(in)
			if got := names(t, in, ""); got != "pc-1" {
				t.Errorf("after that there is %q", got)
			}
		})
	}
}

// earlier is a store that has events of before the log, in pages of one; it is away at
// first.
type earlier struct {
	events []*pb.StoredEvent
	away   int
	asked  *pb.SearchEventsRequest
}

func (e *earlier) SearchEvents(_ context.Context, req *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	e.asked = req
	if e.away > 0 {
		e.away--
		return nil, errors.New("it starts")
	}
	var at int
	fmt.Sscan(req.GetPage(), &at)
	resp := &pb.SearchEventsResponse{Events: e.events[at : at+1]}
	if at+1 < len(e.events) {
		resp.NextPage = fmt.Sprint(at + 1)
	}
	return resp, nil
}

// TestEarlier: without a file, what the log has no longer comes from the store.
func TestEarlier(t *testing.T) {
	n := newNetwork(t)
	e := &earlier{}
	for i := range 3 {
		b, err := event.Encode(&pb.Event{
			Id: make([]byte, 16), Time: timestamppb.New(n.now.Add(-time.Hour)), Type: event.TypeDeviceDiscovered, Observer: &pb.Host{Name: "gate"},
			Agent: &pb.Agent{Id: "device_scanner", Kind: kindScanner}, Body: &pb.Event_Device{Device: pc(i + 1)},
		})
		if err != nil {
			t.Fatal(err)
		}
		e.events = append(e.events, &pb.StoredEvent{Offset: uint64(i), LoggedTime: timestamppb.New(n.now.Add(-time.Hour)), Event: b})
	}
	n.scanned(event.TypeDeviceDiscovered, pc(4))
	in, _ := n.start(t.TempDir(), func(o *Options) {
		o.Earlier, o.LogBegins = e, func(context.Context) (stream.Offset, error) { return 3, nil }
	})
	n.upTo(in)
	if got := names(t, in, ""); got != "pc-4 pc-1 pc-2 pc-3" {
		t.Errorf("there is %q", got)
	}
	if e.asked.GetFilter().GetQuery() != "offset:<3" || !e.asked.GetOldestFirst() {
		t.Errorf("asked %v", e.asked)
	}
}

// FuzzCheckpoint reads files that somebody else wrote: each is refused or can be written
// again.
func FuzzCheckpoint(f *testing.F) {
	in, err := New(Options{Source: nowhere{}, Path: "-"})
	if err != nil {
		f.Fatal(err)
	}
	s := in.blank()
	s.book.Observe(time.Unix(1_700_000_000, 0), "gate/scanner", pc(1))
	s.more["mac-00005e005301"] = &beside{host: "h", reading: &pb.SnmpReading{SysName: "x"}, history: []line{{1, "device.gone", "x", 3}}, found: findings{Last: 9}}
	s.hosts["h"] = &hostFacts{told: "x", uid: "u"}
	var b bytes.Buffer
	if err := s.encode(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()/2])
	f.Add([]byte(fileHead + "1\n"))
	f.Add([]byte(fileHead + "9\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		s := in.blank()
		if err := s.decode(bytes.NewReader(file), inventory.Options{}); err != nil {
			if !errors.Is(err, errDamaged) && !errors.Is(err, errNewer) {
				t.Errorf("%v", err)
			}
			return
		}
		if err := s.encode(&bytes.Buffer{}); err != nil {
			t.Errorf("it cannot be written again: %v", err)
		}
	})
}

// FuzzEntry reads lines whose checksums are right.
func FuzzEntry(f *testing.F) {
	in, err := New(Options{Source: nowhere{}, Path: "-"})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		`{"place":{"offset":7,"notes":["x"]}}`, `{"host":{"name":"h","seen":"2026-01-01T00:00:00Z"}}`,
		`{"device":{"uid":"u","reading":"CgF4","findings":{"hours":[1],"last":5},"history":[{"at":1,"type":"t","text":"x"}]}}`, `{"end":1}`, `{"device":{"findings":{"last":-9}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		line := fmt.Appendf(nil, "%08x %s\n", sumOf(text), text)
		e, err := parseEntry(line)
		if err != nil {
			return
		}
		s := in.blank()
		if s.add(&e) != nil {
			return
		}
		for _, m := range s.more {
			m.found.add(time.Unix(1_700_000_000, 0))
			m.found.count(time.Unix(1_700_000_000, 0))
		}
		if err := s.encode(&bytes.Buffer{}); err != nil {
			t.Errorf("it cannot be written again: %v", err)
		}
	})
}
