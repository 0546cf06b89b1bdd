package hub

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// TestDamagedLog: the hub starts on a damaged log, says so, serves what is well,
// and tells readers what is not.
func TestDamagedLog(t *testing.T) {
	small := func(o *Options, _ *StorageOptions) { o.Config.WAL.RotationSizeMB = 1 }
	h := startHub(t, "", small)
	long := strings.Repeat("y", 200_000)
	for i := range 20 {
		h.fill(t, []string{fmt.Sprint(i) + long})
	}
	if err := h.stopNow(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(h.home.WAL(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	segments = slices.DeleteFunc(segments, func(name string) bool {
		info, err := os.Stat(name)
		return err != nil || info.IsDir() || info.Size() < 500_000
	})
	if len(segments) < 3 {
		t.Fatalf("segments %v", segments)
	}
	for _, i := range []int{1, len(segments) - 1} {
		spoil(t, segments[i], 300_000)
	}
	h = startHub(t, h.home, small)
	code, body := h.get(t, "https://"+h.Addr().String()+"/health", "operator")
	if code != http.StatusOK || !strings.Contains(body, `"degraded"`) || !strings.Contains(body, "damaged") {
		t.Errorf("health: %d %s", code, body)
	}
	h.alive(t)
	events, gaps, _ := h.readAll(t, &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromOffset{}})
	lost := uint64(0)
	for _, g := range gaps {
		if !strings.HasPrefix(g.GetReason(), "damaged") {
			t.Errorf("gap %v", g)
		}
		lost += g.GetToOffset() - g.GetFromOffset()
	}
	if len(gaps) == 0 || lost == 0 || lost > 4 || len(events)+int(lost) != 21 {
		t.Errorf("%d events and gaps %v of 21 offsets", len(events), gaps)
	}
}

// TestDamageMetWhileRunning: damage that comes after the start is known to those
// who ask for the hub's health, as soon as a reader has met it.
func TestDamageMetWhileRunning(t *testing.T) {
	h := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Config.WAL.RotationSizeMB = 1 })
	long := strings.Repeat("y", 200_000)
	for i := range 12 {
		h.fill(t, []string{fmt.Sprint(i) + long})
	}
	segments, err := filepath.Glob(filepath.Join(h.home.WAL(), "*.wal"))
	if err != nil || len(segments) < 2 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	spoil(t, segments[0], 300_000)
	if s := h.Status(); s.Status != StateOK {
		t.Fatalf("before a reader met it: %+v", s)
	}
	if _, gaps, _ := h.readAll(t, &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromOffset{}}); len(gaps) == 0 {
		t.Fatal("no reader met it")
	}
	s := h.Status()
	want := fmt.Sprintf("segment %s is damaged from offset 1 on: ", filepath.Base(segments[0]))
	if s.Status != StateDegraded || s.Log.Damaged != 1 || len(s.Reasons) != 1 || !strings.HasPrefix(s.Reasons[0], want) {
		t.Errorf("status %s, %d damaged places, reasons %q", s.Status, s.Log.Damaged, s.Reasons)
	}
}

// TestReasonsAreBounded: a log with many bad places does not fill a page.
func TestReasonsAreBounded(t *testing.T) {
	var stat stream.Stat
	stat.State = stream.StateOK
	for i := range 10 {
		stat.Recovery.Damage = append(stat.Recovery.Damage, stream.Damage{Segment: "a", FirstBad: uint64(i)})
		stat.Met = append(stat.Met, stream.Damage{Segment: "b", FirstBad: uint64(i)})
	}
	var s Status
	s.judge(&stat, false, nil)
	if n := len(s.Reasons); n != maxDamageReasons+1 || s.Reasons[n-1] != "12 further places of the log are damaged" {
		t.Errorf("%d reasons: %q", n, s.Reasons)
	}
	for n, want := range map[int]string{1: "1 damaged file of the log was set aside ", 2: "2 damaged files of the log were set aside "} {
		var s Status
		s.judge(&stream.Stat{State: stream.StateOK, Quarantined: make([]string, n)}, false, nil)
		if len(s.Reasons) != 1 || !strings.HasPrefix(s.Reasons[0], want) {
			t.Errorf("reasons %q", s.Reasons)
		}
	}
}

// spoil flips bits in the middle of a file.
func spoil(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 0xff
	}
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRestart(t *testing.T) {
	h := startHub(t, "")
	batch := func(sequence uint64) *pb.PublishRequest {
		return &pb.PublishRequest{ProducerId: sixteen(1), Sequence: sequence, Events: [][]byte{makeEvent(t, fmt.Sprint(sequence))}}
	}
	for round := range 3 {
		s := publishStream(t, h.dial(t, "agent"), "")
		for sequence := range uint64(10) {
			want := round > 0 && sequence < 5
			ack := exchange(t, s, batch(uint64(round)*5+sequence+1))
			if ack.GetStatus() != pb.PublishAck_STATUS_OK || ack.GetDuplicate() != want {
				t.Errorf("round %d, batch %d: %v", round, sequence, ack)
			}
		}
		if err := h.stopNow(); err != nil {
			t.Fatal(err)
		}
		h = startHub(t, h.home)
	}
	events, _, _ := h.readAll(t, &pb.SubscribeRequest{})
	if len(events) != 20 {
		t.Errorf("%d events, want 20", len(events))
	}
}

// TestGracefulStop stops the hub under load: whatever it acknowledged is in the
// log, and whatever is in the log was acknowledged to senders that still listened.
func TestGracefulStop(t *testing.T) {
	h := startHub(t, "")
	const senders = 8
	acked := make([]map[uint64]bool, senders)
	var group errgroup.Group
	started := make(chan struct{}, senders)
	for i := range senders {
		acked[i] = map[uint64]bool{}
		s := publishStream(t, h.dial(t, "agent"), "")
		group.Go(func() error {
			for sequence := uint64(1); ; sequence++ {
				if s.Send(&pb.PublishRequest{
					ProducerId: sixteen(i + 1), Sequence: sequence, Events: [][]byte{makeEvent(t, fmt.Sprint(i, " ", sequence))},
				}) != nil {
					return nil
				}
			}
		})
		group.Go(func() error {
			for {
				ack, err := s.Recv()
				if err != nil {
					if status.Code(err) != codes.Unavailable {
						return err
					}
					return nil
				}
				acked[i][ack.GetSequence()] = true
				if len(acked[i]) == 50 {
					started <- struct{}{}
				}
			}
		})
	}
	for range senders {
		<-started
	}
	if err := h.stopNow(); err != nil {
		t.Fatal(err)
	}
	if err := group.Wait(); err != nil {
		t.Errorf("a stream ended with %v", err)
	}
	h = startHub(t, h.home)
	events, _, _ := h.readAll(t, &pb.SubscribeRequest{})
	inLog := map[string]int{}
	for _, m := range messages(t, events) {
		inLog[m]++
	}
	total := 0
	for i := range acked {
		for sequence := range acked[i] {
			total++
			if n := inLog[fmt.Sprint(i, " ", sequence)]; n != 1 {
				t.Errorf("batch %d of sender %d was acknowledged and is in the log %d times", sequence, i, n)
			}
		}
	}
	if total != len(events) {
		t.Errorf("%d events are in the log, %d were acknowledged", len(events), total)
	}
}

// TestFairness: a sender of single small batches gets its acks quickly while
// others push as much as they can.
func TestFairness(t *testing.T) {
	h := startHub(t, "")
	stop := make(chan struct{})
	var group errgroup.Group
	event := makeEvent(t, strings.Repeat("z", 10_000))
	heavy := &pb.PublishRequest{}
	for range 100 { // 1 MB, about the most of a message
		heavy.Events = append(heavy.Events, event)
	}
	for range 3 {
		s := publishStream(t, h.dial(t, "agent"), "")
		group.Go(func() error {
			for {
				select {
				case <-stop:
					return s.CloseSend()
				default:
				}
				if err := s.Send(heavy); err != nil {
					return err
				}
			}
		})
		group.Go(func() error {
			for {
				if _, err := s.Recv(); err != nil {
					return nil //nolint:nilerr // the end
				}
			}
		})
	}
	eventually(t, "the heavy ones are at work", func() bool { return h.metric(t, "eventbus_events_total") > 4000 })
	s := publishStream(t, h.dial(t, "agent"), "")
	var slowest time.Duration
	rounds, limit := 50, 2*time.Second
	if raceEnabled {
		rounds, limit = 10, 20*time.Second
	}
	for range rounds {
		begin := time.Now()
		if ack := exchange(t, s, &pb.PublishRequest{Events: [][]byte{makeEvent(t, "small")}}); ack.GetStatus() != pb.PublishAck_STATUS_OK {
			t.Fatalf("ack %v", ack)
		}
		slowest = max(slowest, time.Since(begin))
	}
	close(stop)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("slowest ack of the light sender: %v", slowest)
	if slowest > limit {
		t.Errorf("the light sender waited %v", slowest)
	}
}

// TestStopDoesNotWaitForTheStubborn: a call that does not end when it is told to
// is cut off after a grace.
func TestStopDoesNotWaitForTheStubborn(t *testing.T) {
	entered := make(chan struct{})
	h := startHub(t, "", func(o *Options, _ *StorageOptions) {
		o.Register = func(r grpc.ServiceRegistrar) { pb.RegisterFleetServer(r, deaf{entered: entered}) }
	})
	s, err := pb.NewFleetClient(h.dial(t, "node")).Control(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	begin := time.Now()
	if err := h.stopNow(); err != nil {
		t.Fatal(err)
	}
	grace := min(h.options.Config.timeout()/5, stopGrace)
	if took := time.Since(begin); took < grace || took > grace+5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the call ended with %v", err)
	}
}

// deaf is a service that looks at nothing but its stream.
type deaf struct {
	pb.UnimplementedFleetServer
	entered chan struct{}
}

func (d deaf) Control(stream grpc.BidiStreamingServer[pb.NodeMessage, pb.NodeCommand]) error {
	close(d.entered)
	_, err := stream.Recv()
	return err
}
