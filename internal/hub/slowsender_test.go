package hub

import (
	"context"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// counted is a pool that counts what came back to it.
type counted struct{ back atomic.Int64 }

func (c *counted) Get(n int) *[]byte { b := make([]byte, n); return &b }
func (c *counted) Put(*[]byte)       { c.back.Add(1) }

// mute is a stream whose client sends batches and reads no acks until it hangs up.
type mute struct {
	grpc.ServerStream

	ctx      context.Context //nolint:containedctx // as a stream has it
	messages chan []byte
	pool     counted
	hangUp   chan struct{}
}

func (d *mute) Context() context.Context { return d.ctx }

func (d *mute) RecvMsg(m any) error {
	b, ok := <-d.messages
	if !ok {
		return io.EOF
	}
	data := mem.BufferSlice{mem.NewBuffer(&b, &d.pool)}
	defer data.Free()
	m.(*message).take(data) //nolint:forcetypeassert // the hub's
	return nil
}

func (d *mute) SendMsg(any) error {
	<-d.hangUp
	return io.EOF
}

// TestSenderThatReadsNoAcksHoldsNoMemory: what is on disk, or was put off, is not kept in
// memory until its ack has been read.
func TestSenderThatReadsNoAcksHoldsNoMemory(t *testing.T) {
	h := startHub(t, "")
	const batches = 20
	stream := &mute{ctx: t.Context(), messages: make(chan []byte, batches), hangUp: make(chan struct{})}
	random := make([]byte, 5000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	long := hex.EncodeToString(random) // packed, it is still large enough for gRPC's pool
	for i := range batches {
		sequence := uint64(i/2 + 1) // every second is a duplicate
		r := &pb.PublishRequest{ProducerId: sixteen(1), Sequence: sequence, Events: [][]byte{makeEvent(t, long)}}
		switch i % 5 {
		case 1:
			r = packedRequest(sequence, makeEvent(t, long))
		case 2: // packed again
			r = packedRequest(sequence, makeEvent(t, long), nil)
		}
		b, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		stream.messages <- b
	}
	hangUp := sync.OnceFunc(func() {
		close(stream.messages)
		close(stream.hangUp)
	})
	defer hangUp()
	if !h.bus.begin() {
		t.Fatal("the hub stops")
	}
	p := &publication{
		bus: h.bus, stream: stream, sender: sender{publisher: "p", rules: h.bus.rules},
		order: make(chan *slot, h.bus.maxInFlight), free: make(chan *slot, h.bus.maxInFlight), ended: make(chan struct{}),
	}
	go p.receive()
	done := make(chan error, 1)
	go func() { done <- p.acknowledge() }()
	eventually(t, "all batches are given back", func() bool { return stream.pool.back.Load() == batches })
	h.nothingHeld(t)
	hangUp()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
