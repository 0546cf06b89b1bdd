package reader_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

// counter counts the events of each host by type, as far as the log still has them.
type counter struct {
	mu     sync.Mutex // guards what follows: Counts is called from anywhere
	counts map[string]int
	lost   uint64 // offsets that are gone
}

// Consume implements reader.Consumer.
func (c *counter) Consume(_ context.Context, b *reader.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.Gap != nil {
		c.lost += b.Gap.To - b.Gap.From
		return nil
	}
	for i := range b.Events {
		envelope, err := event.Inspect(b.Events[i].Encoded)
		if err != nil {
			return fmt.Errorf("event %d: %w", b.Events[i].Offset, err)
		}
		c.counts[string(envelope.HostName)+" "+string(envelope.Type)]++
	}
	return nil
}

// Counts returns what has been counted so far, in order.
func (c *counter) Counts() (lines []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(c.counts)) {
		lines = append(lines, fmt.Sprint(key, ": ", c.counts[key]))
	}
	return append(lines, fmt.Sprint("lost: ", c.lost))
}

// ExampleReader follows a log and counts what is in it.
func ExampleReader() {
	log := streamtest.NewModel()
	publish(log, "web-1", event.TypeProcessExecution, event.TypeProcessExit)
	publish(log, "web-2", event.TypeProcessExecution)

	c := &counter{counts: map[string]int{}}
	r, err := reader.New(reader.Options{
		Name: "counter", Source: &reader.Local{Log: log}, Consumer: c, Logger: slog.New(slog.DiscardHandler),
		Filter: &pb.Filter{Types: []string{"process."}},
		Cursor: "counter", Hold: false,
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for r.Status().Offset < log.Stat().NextOffset && ctx.Err() == nil {
		<-time.After(time.Millisecond) // what a program would rather show as lag
	}
	cancel()
	if err := <-done; err != nil {
		panic(err)
	}
	for _, line := range c.Counts() {
		fmt.Println(line)
	}
	// Output:
	// web-1 process.execution: 1
	// web-1 process.exit: 1
	// web-2 process.execution: 1
	// lost: 0
}

// ExampleOptions_blocks copies a log as it is stored: what is packed stays packed, and is
// unpacked by whoever reads the copy.
func ExampleOptions_blocks() {
	log := streamtest.NewModel()
	publish(log, "web-1", event.TypeProcessExecution, event.TypeProcessExit)
	publish(log, "web-2", event.TypeProcessExecution)

	kept := streamtest.NewModel()
	r, err := reader.New(reader.Options{
		Name: "copy", Source: &reader.Local{Log: log}, Logger: slog.New(slog.DiscardHandler), Blocks: true, NoFollow: true,
		Consumer: reader.Func(func(ctx context.Context, b *reader.Batch) error {
			for _, block := range b.Blocks {
				// Those before block.From, of the first one after a restart, are there already.
				if _, err := stream.Append(ctx, kept, &stream.Record{
					Publisher: block.Publisher, Received: block.Received, Count: block.Count,
					Codec: block.Codec, Payload: [][]byte{block.Payload},
				}); err != nil {
					return err
				}
			}
			return nil
		}),
	})
	if err != nil {
		panic(err)
	}
	if err := r.Run(context.Background()); err != nil {
		panic(err)
	}
	c := &counter{counts: map[string]int{}}
	if r, err = reader.New(reader.Options{
		Name: "counter", Source: &reader.Local{Log: kept}, Consumer: c, Logger: slog.New(slog.DiscardHandler), NoFollow: true,
	}); err != nil {
		panic(err)
	}
	if err := r.Run(context.Background()); err != nil {
		panic(err)
	}
	for _, line := range c.Counts() {
		fmt.Println(line)
	}
	// Output:
	// web-1 process.execution: 1
	// web-1 process.exit: 1
	// web-2 process.execution: 1
	// lost: 0
}

// publish appends one event of each type.
func publish(log stream.Log, host string, types ...string) {
	r := &stream.Record{Publisher: "spiffe://amoskys.local/agent/" + host, Received: time.Unix(1, 0), Count: len(types)}
	for i, typ := range types {
		encoded, err := event.Encode(&pb.Event{
			Id: []byte(fmt.Sprintf("%-16d", i)), Time: timestamppb.New(time.Unix(1, 0)), Type: typ, Host: &pb.Host{Name: host},
		})
		if err != nil {
			panic(err)
		}
		r.Payload = append(r.Payload, codec.AppendEvent(nil, encoded))
	}
	if _, err := stream.Append(context.Background(), log, r); err != nil {
		panic(err)
	}
}
