package hub

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestAppendAckWritesWhatProtoDoes(t *testing.T) {
	for _, want := range []*pb.PublishAck{
		{Status: pb.PublishAck_STATUS_OK},
		{Status: pb.PublishAck_STATUS_OK, Sequence: 1, FirstOffset: 1 << 60, Accepted: 65536},
		{Status: pb.PublishAck_STATUS_OK, Sequence: ^uint64(0), Accepted: 3, Duplicate: true},
	} {
		got := appendAck(nil, want.GetSequence(), want.GetFirstOffset(), int(want.GetAccepted()), want.GetDuplicate())
		if diff := cmp.Diff(mustMarshal(want), got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", want, diff)
		}
	}
}

func TestAppendStoredWritesWhatProtoDoes(t *testing.T) {
	logged := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	want := &pb.Delivery{NextOffset: 301, TailOffset: 500, Events: []*pb.StoredEvent{
		{Offset: 0, LoggedTime: timestamppb.New(logged), Publisher: "spiffe://a/agent/b", Event: []byte("event")},
		{Offset: 300, LoggedTime: timestamppb.New(logged), Publisher: "spiffe://a/agent/b", Event: make([]byte, 1000)},
	}}
	var b []byte
	for _, e := range want.GetEvents() {
		b = appendStored(b, e.GetOffset(), appendTime(nil, logged), e.GetPublisher(), e.GetEvent())
	}
	b = appendProgress(b, 301, 500)
	var got pb.Delivery
	if err := proto.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIDOf(t *testing.T) {
	id := sixteen(5)
	tests := []struct {
		name  string
		event []byte
		ok    bool
	}{
		{"first field", mustMarshal(&pb.Event{Id: id, Type: "t"}), true},
		{"last field", append(mustMarshal(&pb.Event{Type: "t"}), mustMarshal(&pb.Event{Id: id})...), true},
		{"too short", mustMarshal(&pb.Event{Id: id[:3]}), false},
		{"none", mustMarshal(&pb.Event{Type: "t"}), false},
		{"garbage", []byte{0xff}, false},
		{"cut off", protowire.AppendVarint([]byte{0x0a}, 16), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := idOf(tt.event)
			if ok != tt.ok || ok && string(got[:]) != string(id) {
				t.Errorf("got %q, %t", got, ok)
			}
		})
	}
}
