package event_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestInspectRefusesTimesNoCalendarHas: JSON has no form for them, so one such
// event would spoil every answer that it is part of.
func TestInspectRefusesTimesNoCalendarHas(t *testing.T) {
	created := func(at *timestamppb.Timestamp) []byte {
		ev := sample()
		ev.GetProcess().GetProcess().CreatedTime = at
		return encoded(t, ev)
	}
	used := func(d *durationpb.Duration) []byte {
		ev := sample()
		ev.GetProcess().GetUsage().CpuUser = d
		return encoded(t, ev)
	}
	// The decoder merges a message that comes twice: the seconds of the first stay.
	twice := encoded(t, sample())
	for _, part := range []*timestamppb.Timestamp{{Seconds: math.MaxInt64}, {Nanos: 5}} {
		body := protowire.AppendTag(nil, 1, protowire.VarintType)
		body = protowire.AppendVarint(body, uint64(part.GetSeconds()))
		if part.GetNanos() != 0 {
			body = protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), uint64(part.GetNanos()))
		}
		twice = protowire.AppendBytes(protowire.AppendTag(twice, 2, protowire.BytesType), body)
	}
	for name, in := range map[string][]byte{
		"far future":          created(&timestamppb.Timestamp{Seconds: math.MaxInt64}),
		"far past":            created(&timestamppb.Timestamp{Seconds: math.MinInt64}),
		"nanoseconds below 0": created(&timestamppb.Timestamp{Seconds: 1, Nanos: -1}),
		"too many":            created(&timestamppb.Timestamp{Nanos: 1_000_000_000}),
		"merged":              twice,
		"endless":             used(&durationpb.Duration{Seconds: math.MaxInt64}),
		"two signs":           used(&durationpb.Duration{Seconds: 1, Nanos: -1}),
		"below 0":             used(&durationpb.Duration{Seconds: -1}),
	} {
		if _, err := event.Inspect(in); !errors.Is(err, event.ErrMalformed) && !errors.Is(err, event.ErrNoTime) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, in := range map[string][]byte{
		"first":   created(&timestamppb.Timestamp{Seconds: -62135596800}),
		"last":    created(&timestamppb.Timestamp{Seconds: 253402300799, Nanos: 999_999_999}),
		"longest": used(&durationpb.Duration{Seconds: 315576000000, Nanos: 999_999_999}),
		"usual":   used(durationpb.New(time.Second)),
	} {
		if _, err := event.Inspect(in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		ev, err := event.Decode(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := event.ToJSON(ev); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func encoded(t *testing.T, ev *pb.Event) []byte {
	t.Helper()
	b, err := event.Encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}
