package hub

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestFromTimeInALongLog: the search by halves finds what a scan would.
func TestFromTimeInALongLog(t *testing.T) {
	begin := time.Now()
	var ahead atomic.Int64
	h := startHub(t, "", func(o *Options, _ *StorageOptions) {
		o.Now = func() time.Time { return begin.Add(time.Duration(ahead.Load())) }
		o.Config.WAL.RotationSizeMB = 1
	})
	s := publishStream(t, h.dial(t, "agent"), "")
	const batches, each = 200, 100
	for i := range batches {
		ahead.Store(int64(time.Duration(i) * time.Minute))
		r := &pb.PublishRequest{}
		for range each {
			r.Events = append(r.Events, makeEvent(t, strings.Repeat("x", 100)))
		}
		exchange(t, s, r)
	}
	for _, i := range []int{0, 1, 17, 100, 198, 199} {
		for _, before := range []time.Duration{0, 30 * time.Second} {
			at := begin.Add(time.Duration(i)*time.Minute - before)
			got, err := h.storage.Log.OffsetAt(t.Context(), at)
			if err != nil || got != uint64(i*each) {
				t.Errorf("%v before batch %d: offset %d, %v; want %d", before, i, got, err, i*each)
			}
		}
	}
	events, _, _ := h.readAll(t, &pb.SubscribeRequest{
		Start: &pb.SubscribeRequest_FromTime{FromTime: timestamppb.New(begin.Add(199 * time.Minute))},
	})
	if len(events) != each {
		t.Errorf("%d events of the last minute", len(events))
	}
}

// TestRetentionLeavesAGap: a reader that comes too late is told what is gone.
func TestRetentionLeavesAGap(t *testing.T) {
	h := startHub(t, "", func(o *Options, _ *StorageOptions) {
		o.Config.WAL.RotationSizeMB, o.Config.WAL.RetentionSizeMB = 1, 2
	})
	long := strings.Repeat("x", 200_000)
	for i := range 40 {
		h.fill(t, []string{fmt.Sprint(i) + long})
	}
	if err := h.storage.Log.(interface{ Maintain(context.Context) error }).Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	events, gaps, next := h.readAll(t, &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromOffset{FromOffset: 3}})
	if len(gaps) != 1 || gaps[0].GetFromOffset() != 3 || gaps[0].GetReason() != "removed by retention" {
		t.Fatalf("gaps %v", gaps)
	}
	first := h.Status().Log.FirstOffset
	if gaps[0].GetToOffset() != first || len(events) != int(40-first) || next != 40 {
		t.Errorf("gap %v, %d events, next offset %d; the log begins at %d", gaps[0], len(events), next, first)
	}
}
