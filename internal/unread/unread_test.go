package unread

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// counted is a share of size bytes.
func counted(connection context.Context, size int64) (*Share, *atomic.Int64) {
	var taken atomic.Int64
	return &Share{
		Take: func(n int64) error {
			if taken.Load()+n > size {
				return status.Error(codes.ResourceExhausted, "read first")
			}
			taken.Add(n)
			return nil
		},
		Release:    func(n int64) { taken.Add(-n) },
		Connection: connection,
	}, &taken
}

func TestAnAnswerCountsUntilItIsFreed(t *testing.T) {
	s, taken := counted(t.Context(), 1<<20)
	m := wrapperspb.String(strings.Repeat("x", 100_000))
	data, err := Encode(m, s)
	if err != nil || taken.Load() != int64(proto.Size(m)) {
		t.Fatalf("%d bytes count: %v", taken.Load(), err)
	}
	var got wrapperspb.StringValue
	if err := proto.Unmarshal(data.Materialize(), &got); err != nil || got.GetValue() != m.GetValue() {
		t.Errorf("it is encoded as another: %v", err)
	}
	data.Free()
	if n := taken.Load(); n != 0 {
		t.Errorf("%d bytes count still", n)
	}
}

func TestAnAnswerCountsNoLongerThanItsConnection(t *testing.T) {
	connection, end := context.WithCancel(context.Background())
	s, taken := counted(connection, 1<<20)
	data, err := Encode(wrapperspb.String(strings.Repeat("x", 100_000)), s)
	if err != nil {
		t.Fatal(err)
	}
	freed := make(chan struct{})
	context.AfterFunc(connection, func() { close(freed) })
	end()
	<-freed
	data.Free() // late, and nothing is given back twice
	if n := taken.Load(); n < 0 {
		t.Errorf("%d bytes count", n)
	}
}

func TestSmallAnswersAndOnesWithoutRoom(t *testing.T) {
	s, taken := counted(t.Context(), 50_000)
	if data, err := Encode(wrapperspb.String("x"), s); data != nil || err != nil || taken.Load() != 0 {
		t.Errorf("a small one: %v, %v, %d bytes count", data, err, taken.Load())
	}
	if _, err := Encode(wrapperspb.String(strings.Repeat("x", 100_000)), s); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one without room: %v", err)
	}
	if _, err := Encode(&wrapperspb.StringValue{Value: strings.Repeat("\xff", 20_000)}, s); status.Code(err) != codes.Internal || taken.Load() != 0 {
		t.Errorf("one that cannot be encoded: %v, %d bytes count", err, taken.Load())
	}
}
