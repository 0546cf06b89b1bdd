package event_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/eventtest"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// samples are events as a process agent sends them: 43 fields, most of them the same
// from one event to the next.
func samples(n int) [][]byte {
	var out [][]byte
	for i := range n {
		user := &pb.User{Name: "www-data", Uid: "33", GroupName: "www-data", Gid: "33"}
		process := &pb.Process{
			Pid: uint32(1000 + i), Uid: fmt.Sprintf("3f1c9a7e5b2d%08x", i), Ppid: 871, Name: fmt.Sprintf("worker-%d", i%7),
			Executable: "/usr/lib/systemd/systemd-networkd", CmdLine: fmt.Sprintf("/usr/lib/systemd/systemd-networkd --unit %d", i),
			Args: []string{"/usr/lib/systemd/systemd-networkd", "--unit", fmt.Sprint(i)}, WorkingDirectory: "/var/lib/service",
			CreatedTime: timestamppb.New(when.Add(time.Duration(i) * time.Second)), SessionId: "871", User: user,
			Cgroup: "/system.slice/systemd-networkd.service",
		}
		ev := &pb.Event{
			Id: bytes.Repeat([]byte{byte(i + 1), byte(i >> 8), 7, 9}, 4), Time: timestamppb.New(when.Add(time.Duration(i) * time.Millisecond)),
			Type: "process.sample", Severity: pb.Severity_SEVERITY_INFORMATIONAL,
			Agent: &pb.Agent{Id: "proc_agent", Kind: "proc", Version: "0.1.0"},
			Host:  &pb.Host{Name: "web-1", Id: "0b8f4bb0d0a14d6b9b7a5a0a58f2f1c3", Ip: []string{"192.0.2.10", "2001:db8::10"}, OsType: "linux", OsVersion: "Debian 12", Arch: "amd64"},
			Body: &pb.Event_Process{Process: &pb.ProcessActivity{
				Action: pb.ProcessAction_PROCESS_ACTION_SAMPLE, Process: process,
				Usage: &pb.ProcessUsage{
					CpuPercent: float64(i%97) / 10, RssBytes: uint64(20<<20 + i), VszBytes: uint64(200<<20 + i), FileDescriptors: proto.Uint32(34), Threads: 3,
					State: pb.ProcessState_PROCESS_STATE_SLEEPING, CpuUser: durationpb.New(time.Duration(i) * time.Millisecond), CpuSystem: durationpb.New(time.Duration(i) * time.Microsecond),
				},
			}},
		}
		b, err := event.Encode(ev)
		if err != nil {
			panic(err)
		}
		out = append(out, b)
	}
	return out
}

// agree holds a Walker's verdict and envelope against Inspect's.
func agree(t *testing.T, w *event.Walker, in []byte) {
	t.Helper()
	want, wantErr := event.Inspect(in)
	got, err := w.Inspect(in)
	if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
		t.Fatalf("walker says %v, Inspect %v, of %x", err, wantErr, in)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(event.Envelope{})); d != "" {
		t.Fatalf("envelope of %x: %s", in, d)
	}
}

func TestWalkerAgreesWithInspect(t *testing.T) {
	var w event.Walker
	events := samples(50)
	for _, ev := range eventtest.Filled() {
		ev.Publisher, ev.Observer = "", nil
		b, err := event.Encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, b)
	}
	r := rand.New(rand.NewPCG(7, 9))
	for range 200 {
		b := slices.Clone(events[r.IntN(len(events))])
		for range r.IntN(3) {
			switch at := r.IntN(len(b)); r.IntN(4) {
			case 0:
				b[at] ^= 1 << r.IntN(8)
			case 1:
				b = b[:at+1]
			case 2:
				b = slices.Insert(b, at, byte(r.IntN(256)))
			case 3: // a second one of something
				b = append(b, events[r.IntN(len(events))]...)
			}
		}
		for range 2 {
			agree(t, &w, b)
			agree(t, &w, events[r.IntN(len(events))])
		}
	}
}

// TestWalkerKeepsNothingOfTheRefused: names and messages of an event that is refused
// do not show in the next one.
func TestWalkerKeepsNothingOfTheRefused(t *testing.T) {
	good := samples(1)[0]
	twoHosts := slices.Concat(good, []byte("\x32\x04\x0a\x02vm"))
	for _, bad := range [][]byte{
		twoHosts,
		slices.Concat([]byte("\x32\x04\x0a\x02vm"), []byte("\x0a\x01x")),
		slices.Concat([]byte("\x2a\x04\x0a\x02ag"), []byte("\xff")),
		slices.Concat([]byte("\x4a\x04\x0a\x02ob"), []byte("\x3a\x05\x0a")),
	} {
		var w event.Walker
		agree(t, &w, bad)
		agree(t, &w, good)
		agree(t, &w, slices.Concat(good, bad))
		agree(t, &w, bad)
		agree(t, &w, slices.Concat(good[:len(good)-1], []byte("\xff")))
		w.Forget()
		agree(t, &w, twoHosts)
	}
}

func TestWalkerForgets(t *testing.T) {
	var w event.Walker
	b := slices.Clone(samples(1)[0])
	agree(t, &w, b)
	w.Forget()
	at := bytes.Index(b, []byte("web-1"))
	b[at] = 0xff // the bytes are another event's now, and no longer UTF-8
	if _, err := w.Inspect(b); !errors.Is(err, event.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func FuzzWalker(f *testing.F) {
	all := samples(3)
	for _, b := range all {
		f.Add(b, all[0])
	}
	for _, ev := range eventtest.Filled() {
		b, err := event.Encode(ev)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, all[0])
	}
	f.Add(slices.Concat(all[0], []byte("\x32\x04\x0a\x02vm")), all[1])
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var w event.Walker
		for _, b := range [][]byte{one, two, one, slices.Concat(one, two), two} {
			agree(t, &w, b)
		}
	})
}

// BenchmarkWalk inspects events of one sender in a row, as they stand in a batch.
func BenchmarkWalk(b *testing.B) {
	events := samples(100)
	each := func(b *testing.B, inspect func([]byte) (event.Envelope, error), forget func()) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			for _, e := range events {
				if _, err := inspect(e); err != nil {
					b.Fatal(err)
				}
			}
			forget()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
	}
	b.Run("inspect", func(b *testing.B) { each(b, event.Inspect, func() {}) })
	b.Run("walker", func(b *testing.B) {
		var w event.Walker
		each(b, w.Inspect, w.Forget)
	})
}
