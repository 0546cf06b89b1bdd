package hub

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// badDisk makes bytes [from, to) of the log's segments unreadable.
type badDisk struct{ from, to atomic.Int64 }

func (b *badDisk) use(_ *Options, s *StorageOptions) {
	s.Open = wal.Opener(errorfs.Wrap(vfs.OS{}, func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".wal") && op.Hits(b.from.Load(), b.to.Load()) {
			return syscall.EIO
		}
		return nil
	}))
}

// TestSubscriptionPassesABadSector: what the disk cannot read is a gap with its
// reason, for one that follows and for one that reads to the end; neither ends, and
// everything else arrives.
func TestSubscriptionPassesABadSector(t *testing.T) {
	var disk badDisk
	h := startHub(t, "", disk.use)
	for i := range 20 {
		h.fill(t, []string{fmt.Sprint(i) + strings.Repeat("x", 10_000)})
	}
	disk.from.Store(50 << 10)
	disk.to.Store(60 << 10)
	req := &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromOffset{}}
	events, gaps, next := h.readAll(t, req)
	if len(gaps) != 1 || gaps[0].GetReason() != "the disk cannot read them" || next != 20 {
		t.Fatalf("gaps %v, next %d", gaps, next)
	}
	if lost := gaps[0].GetToOffset() - gaps[0].GetFromOffset(); lost > 3 || len(events)+int(lost) != 20 {
		t.Errorf("%d events and gap %v of 20 offsets", len(events), gaps[0])
	}
	s, err := pb.NewEventBusClient(h.dial(t, "operator")).Subscribe(t.Context(), &pb.SubscribeRequest{Start: req.GetStart()})
	if err != nil {
		t.Fatal(err)
	}
	h.fill(t, []string{"one more"})
	var seen, gone uint64
	for next := uint64(0); next < 21; {
		d, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		next = d.GetNextOffset()
		seen += uint64(len(d.GetEvents()))
		gone += d.GetGap().GetToOffset() - d.GetGap().GetFromOffset()
	}
	if seen != uint64(len(events))+1 || seen+gone != 21 {
		t.Errorf("%d events, %d offsets in gaps", seen, gone)
	}
}

// TestSubscriptionOutlastsTheDisk: while nothing can be read a subscription waits,
// its status says so, and it goes on where it was.
func TestSubscriptionOutlastsTheDisk(t *testing.T) {
	var disk badDisk
	h := startHub(t, "", disk.use)
	h.fill(t, []string{"a"}, []string{"b"})
	disk.to.Store(1 << 40)
	s, err := pb.NewEventBusClient(h.dial(t, "operator")).Subscribe(t.Context(), &pb.SubscribeRequest{
		Start: &pb.SubscribeRequest_FromOffset{}, Cursor: "mine",
	})
	if err != nil {
		t.Fatal(err)
	}
	state := func() stream.ReaderState {
		list := h.Status().Subscribers
		if len(list) != 1 || list[0].SeenAt == nil {
			return ""
		}
		return list[0].State
	}
	eventually(t, "the subscription waits", func() bool { return state() == stream.ReaderWaiting })
	disk.to.Store(0)
	for i := 0; i < 2; {
		d, err := s.Recv()
		if err != nil || d.GetGap() != nil {
			t.Fatal(err, d.GetGap())
		}
		i += len(d.GetEvents())
	}
	if got := state(); got != stream.ReaderOK {
		t.Errorf("state %s", got)
	}
}
