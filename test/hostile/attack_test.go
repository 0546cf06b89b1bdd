//go:build linux

package hostile_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// streams is how many calls an attack begins on a connection: as many as the hub
// lets one have.
const streams = 128

// biggest is more than the hub takes of any message by default, by its prefix.
const biggest = 1088 << 10

// attacker is one client of a role.
type attacker struct {
	addr    string
	server  identity.Role
	files   identity.Files
	role    identity.Role
	allowed []string // methods of the role, what carries most last
	denied  []string // the others

	// What is sent, made once: a batch about as large as a message may be, with its
	// prefix; the same without its end; and lists of empty entries by method.
	whole, half []byte
	bombs       map[string][]byte
	// Packed batches: a small one that is as large as may be when unpacked, and those
	// that are not what they say.
	large []byte
	// Batches of events that are refused, as many as may be without that the stream ends.
	empty, packedEmpty []byte
	lies               [][]byte
}

func (a *attacker) prepare() {
	a.whole = framed(batchOf("evil", biggest, 10_000))
	a.half = a.whole[:len(a.whole)-1]
	a.bombs = map[string][]byte{}
	for _, method := range a.allowed {
		a.bombs[method] = bomb(method)
	}
	const packedMost = biggest - 4096
	events := repeated(1000, packedMost)
	packed := codec.S2.Pack(nil, events)
	a.large = carrying(packed)
	a.empty = framed(bytes.Repeat([]byte{eventsTag, 0}, 4096))
	a.packedEmpty = carrying(codec.S2.Pack(nil, bytes.Repeat([]byte{eventsTag, 0}, 1000)))
	a.lies = [][]byte{
		carrying(codec.S2.Pack(nil, make([]byte, 64<<20))),                             // a bomb
		carrying(append(binary.AppendUvarint(nil, packedMost), "x"...)),                // a length alone
		carrying(packed[:len(packed)-1]),                                               // cut off at its end
		carrying(codec.S2.Pack(nil, events[:len(events)-1])),                           // events that are
		carrying(codec.S2.Pack(nil, make([]byte, packedMost))),                         // zeros
		carrying(codec.S2.Pack(nil, repeated(10_000, packedMost))),                     // for nothing
		carrying(codec.S2.Pack(nil, a.large)),                                          // packed twice
		carrying(codec.S2.Pack(nil, bytes.Repeat([]byte{eventsTag, 0}, packedMost/2))), // empty events
	}
}

// carrying is a request, with its prefix, that carries what was packed.
func carrying(packed []byte) []byte {
	b, _ := proto.Marshal(&pb.PublishRequest{Compressed: packed, Codec: pb.Codec_CODEC_S2})
	return framed(b)
}

const eventsTag = 3<<3 | byte(protowire.BytesType)

// repeated is one good event so many times, in about so many bytes.
func repeated(times, size int) []byte {
	id, _ := event.NewID()
	b, _ := proto.Marshal(&pb.Event{
		Id: id[:], Time: timestamppb.Now(), Type: "process.execution", Host: &pb.Host{Name: "evil"}, Message: strings.Repeat("x", max(0, size/times-100)),
	})
	return bytes.Repeat(protowire.AppendBytes([]byte{eventsTag}, b), times)
}

// attack is what a client does on one connection until ctx ends or it is cut.
type attack struct {
	name string
	// window is what the client lets the hub send of each answer.
	window uint32
	do     func(ctx context.Context, a *attacker, r *raw)
}

// attacks are those that were seen, and their kin.
func attacks() []attack {
	return []attack{
		{"half messages", 0, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, streams, a.allowed, 16<<10, 1, func(string) []byte { return a.half })
		}},
		{"half messages in tiny frames", 0, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, streams, a.allowed, 1, 1, func(string) []byte { return a.half })
		}},
		{"many tiny messages", 0, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, streams, a.allowed, 5, 200_000, func(string) []byte { return framed(nil) })
		}},
		{"biggest messages", 0, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, streams, a.allowed, 16<<10, 1000, func(string) []byte { return a.whole })
		}},
		{"biggest messages on few streams", 0, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, 4, a.allowed[max(0, len(a.allowed)-4):], 16<<10, 1000, func(string) []byte { return a.whole })
		}},
		{"empty entries", 1 << 20, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, streams, a.allowed, 16<<10, 1, func(method string) []byte { return framed(a.bombs[method]) })
		}},
		{"small packed messages that are large", 1 << 20, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, streams, a.allowed[max(0, len(a.allowed)-2):], 16<<10, 1_000_000, func(string) []byte { return a.large })
		}},
		{"packed messages that lie", 1 << 20, func(ctx context.Context, a *attacker, r *raw) {
			for ctx.Err() == nil {
				var all []pending
				for i := range 4 * len(a.lies) {
					id, err := r.open(a.allowed[len(a.allowed)-1-i%min(2, len(a.allowed))])
					if err != nil {
						return
					}
					all = append(all, pending{id: id, rest: a.lies[i%len(a.lies)], end: true})
				}
				r.pump(ctx, all, 16<<10)
				r.answered(ctx)
			}
		}},
		{"refusals that nobody reads", 0, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, streams, a.allowed[len(a.allowed)-1:], 16<<10, 1000, func(string) []byte { return a.empty })
		}},
		{"packed refusals that nobody reads", 0, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, streams, a.allowed[len(a.allowed)-1:], 16<<10, 1000, func(string) []byte { return a.packedEmpty })
		}},
		{"wrong roles", 1 << 20, func(ctx context.Context, a *attacker, r *raw) {
			r.begin(ctx, streams, a.denied, 16<<10, 1, func(string) []byte { return a.whole })
		}},
		{"answers that nobody reads", 0, func(ctx context.Context, a *attacker, r *raw) {
			var all []pending
			for i := range streams {
				method := a.allowed[i%len(a.allowed)]
				if id, err := r.open(method); err == nil {
					all = append(all, pending{id: id, rest: framed(small(method)), end: true})
				}
			}
			r.pump(ctx, all, 16<<10)
			r.hold(ctx)
		}},
		{"headers that are long, and calls that are reset", 0, func(ctx context.Context, a *attacker, r *raw) {
			long := strings.Repeat("x", 15<<10)
			for ctx.Err() == nil {
				id, err := r.open(a.allowed[0], hpack.HeaderField{Name: "x", Value: long, Sensitive: true},
					hpack.HeaderField{Name: "grpc-timeout", Value: "99999999H"})
				if err != nil {
					return
				}
				if id%256 < 128 {
					continue
				}
				r.mu.Lock()
				_ = r.framer.WriteRSTStream(id, 8)
				r.mu.Unlock()
			}
		}},
	}
}

// begin opens calls, taking the methods in turn, sends on each, and holds on.
func (r *raw) begin(ctx context.Context, calls int, methods []string, frame, times int, message func(method string) []byte) {
	var all []pending
	if len(methods) == 0 { // an operator may call all of a store's
		calls = 0
	}
	for i := range calls {
		method := methods[i%len(methods)]
		id, err := r.open(method)
		if err != nil {
			return
		}
		m := message(method)
		all = append(all, pending{id: id, rest: m, message: m, more: times - 1})
	}
	r.pump(ctx, all, frame)
	r.hold(ctx)
}

// bomb is a message of as many bytes as may be, or nearly, whose entries are empty.
func bomb(method string) []byte {
	entries := func(field protowire.Number, n int) []byte {
		return bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), nil), n)
	}
	wrap := func(field protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), b)
	}
	switch method {
	case pb.Fleet_Control_FullMethodName:
		hello, _ := proto.Marshal(&pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: &pb.NodeHello{NodeId: "evil", Host: &pb.Host{Name: "evil"}}}})
		return append(hello, wrap(2, entries(1, 500_000))...)
	case pb.EventBus_Publish_FullMethodName:
		return entries(3, 65_536)
	case pb.EventBus_Subscribe_FullMethodName:
		return wrap(5, entries(1, 30_000))
	default:
		return entries(1, 30_000)
	}
}

// small is a good request with the largest answer that it can ask for.
func small(method string) []byte {
	var m proto.Message = &pb.StatusRequest{}
	switch method {
	case pb.Query_SearchEvents_FullMethodName:
		m = &pb.SearchEventsRequest{Limit: 1000, HistogramBuckets: 500, Facets: []string{"type", "host.name", "agent.id"}}
	case pb.Query_Series_FullMethodName:
		m = &pb.SeriesRequest{Since: timestamppb.New(time.Now().Add(-time.Hour))}
	case pb.EventBus_Subscribe_FullMethodName:
		m = &pb.SubscribeRequest{}
	case pb.Query_Rows_FullMethodName:
		m = &pb.RowsRequest{Query: "*", Limit: 100_000}
	case pb.Query_FieldNames_FullMethodName:
		m = &pb.FieldNamesRequest{}
	case pb.Query_FieldValues_FullMethodName:
		m = &pb.FieldValuesRequest{Field: "message", Limit: 1000}
	case pb.Accounts_Login_FullMethodName:
		m = &pb.LoginRequest{Name: "admin", Password: "wrong", SrcIp: "192.0.2.1"}
	}
	b, _ := proto.Marshal(m)
	return b
}

// batchOf makes a good batch of a host, of about so many bytes, in events of eventBytes.
func batchOf(host string, size, eventBytes int) []byte {
	var out []byte
	text := strings.Repeat("x", eventBytes)
	for len(out) < size-eventBytes-200 {
		id, _ := event.NewID()
		b, _ := proto.Marshal(&pb.Event{Id: id[:], Time: timestamppb.Now(), Type: "process.execution", Host: &pb.Host{Name: host}, Message: text})
		out = protowire.AppendBytes(protowire.AppendTag(out, 3, protowire.BytesType), b)
	}
	return out
}

// load is how much a client did.
type load struct {
	bytes, calls, connections int64
	took                      time.Duration
}

// run attacks on so many connections for a time. A connection that is cut is made
// again, as a hostile client would.
func (a *attacker) run(ctx context.Context, x attack, connections int, length time.Duration) load {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	begin := time.Now()
	var mu sync.Mutex
	var sum load
	var group sync.WaitGroup
	for range connections {
		group.Go(func() {
			for ctx.Err() == nil {
				r, err := dialRaw(ctx, a, x.window)
				if err != nil {
					select {
					case <-ctx.Done():
					case <-time.After(20 * time.Millisecond):
					}
					continue
				}
				x.do(ctx, a, r)
				r.close()
				mu.Lock()
				sum.bytes += r.sent.Load()
				sum.calls += r.calls.Load()
				sum.connections++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	sum.took = time.Since(begin)
	return sum
}
