package hub

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/codec"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// bytesCodec sends what it is given.
type bytesCodec struct{ encoding.CodecV2 }

func (c bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// sendRaw opens a Publish stream, sends one message as it is, and returns what
// the stream ended with instead of an ack.
func sendRaw(t *testing.T, conn *grpc.ClientConn, message []byte) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := conn.NewStream(ctx, &pb.EventBus_ServiceDesc.Streams[0], pb.EventBus_Publish_FullMethodName,
		grpc.ForceCodecV2(bytesCodec{encoding.GetCodecV2(proto.Name)}))
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SendMsg(message) // the answer tells
	_ = s.CloseSend()
	var ack pb.PublishAck
	return s.RecvMsg(&ack)
}

// alive checks that the hub still takes events.
func (h *testHub) alive(t *testing.T) {
	t.Helper()
	conn := h.dial(t, "agent")
	defer conn.Close()
	if ack := exchange(t, publishStream(t, conn, ""), &pb.PublishRequest{Events: [][]byte{makeEvent(t, "alive")}}); ack.GetAccepted() != 1 {
		t.Fatalf("the hub takes nothing any more: %v", ack)
	}
}

func TestBadMessages(t *testing.T) {
	h := startHub(t, "")
	conn := h.dial(t, "agent")
	good := mustMarshal(&pb.PublishRequest{ProducerId: sixteen(1), Sequence: 1, Events: [][]byte{makeEvent(t, "x")}})
	many := bytes.Repeat([]byte{0x1a, 0x00}, 70_000)
	packed := func(raw []byte) []byte { return carrying(codec.S2.Pack(nil, raw)) }
	some := mustMarshal(&pb.EventBatch{Events: [][]byte{makeEvent(t, "x"), makeEvent(t, "y")}})
	tests := []struct {
		name    string
		message []byte
		code    codes.Code
		counted string
	}{
		{"empty", nil, codes.OK, ""},
		{"truncated", good[:len(good)-3], codes.InvalidArgument, "malformed_request"},
		{"garbage", []byte("GET / HTTP/1.1\r\n\r\n"), codes.InvalidArgument, "malformed_request"},
		{"over the limit", make([]byte, 16<<20+1), codes.ResourceExhausted, ""},
		{"too many events", many, codes.ResourceExhausted, "too_many_events"},
		{"groups without end", bytes.Repeat([]byte{0x0b}, 1000), codes.InvalidArgument, "malformed_request"},
		{"unknown fields", append(append([]byte(nil), good...), protowire.AppendVarint(protowire.AppendTag(nil, 1234, protowire.VarintType), 1)...), codes.OK, ""},
		{"event nested without end", mustMarshal(&pb.PublishRequest{Events: [][]byte{nested(10_000)}}), codes.OK, "refused_event"},
		{"packed", packed(some), codes.OK, ""},
		{"packed, event nested without end", packed(mustMarshal(&pb.EventBatch{Events: [][]byte{nested(10_000)}})), codes.OK, "refused_event"},
		{"packed, truncated", carrying(codec.S2.Pack(nil, some)[:20]), codes.InvalidArgument, "malformed_request"},
		{"packed, cut off within the events", packed(some[:len(some)-1]), codes.InvalidArgument, "malformed_request"},
		{"packed, too many events", packed(many), codes.ResourceExhausted, "too_many_events"},
		{"packed, too many for so few bytes", packed(bytes.Repeat(some[:len(some)/2], 1001)), codes.ResourceExhausted, "too_many_events"},
		{"packed, a bomb", packed(make([]byte, 64<<20)), codes.ResourceExhausted, "message_too_large"},
		{"packed, over the limit by one byte", packed(make([]byte, h.config.Server.messageLimit()+1)), codes.ResourceExhausted, "message_too_large"},
		{"packed, a length that lies", carrying(append(protowire.AppendVarint(nil, 1_000_000), codec.S2.Pack(nil, some)[2:]...)), codes.InvalidArgument, "malformed_request"},
		{"packed, a length of four gigabytes", carrying([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}), codes.ResourceExhausted, "message_too_large"},
		{"packed, a length without end", carrying(bytes.Repeat([]byte{0xff}, 1000)), codes.InvalidArgument, "malformed_request"},
		{"packed twice over", packed(packed(some)), codes.InvalidArgument, "malformed_request"},
		{"packed with groups without end", packed(bytes.Repeat([]byte{0x0b}, 1000)), codes.InvalidArgument, "malformed_request"},
		{"packed and not packed", append(packed(some), some...), codes.InvalidArgument, "malformed_request"},
		{"packed by nothing", mustMarshal(&pb.PublishRequest{Compressed: codec.S2.Pack(nil, some)}), codes.InvalidArgument, "malformed_request"},
		{"packed by what nobody knows", mustMarshal(&pb.PublishRequest{Compressed: codec.S2.Pack(nil, some), Codec: 77}), codes.InvalidArgument, "unknown_codec"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := h.metric(t, "eventbus_errors_total", "reason", tt.counted)
			err := sendRaw(t, conn, tt.message)
			if status.Code(err) != tt.code {
				t.Errorf("got %v, want %s", err, tt.code)
			}
			if after := h.metric(t, "eventbus_errors_total", "reason", tt.counted); tt.counted != "" && after != before+1 {
				t.Errorf("%s was counted %v times", tt.counted, after-before)
			}
			h.alive(t)
		})
	}
}

// carrying is a request that carries what was packed.
func carrying(packed []byte) []byte {
	return mustMarshal(&pb.PublishRequest{Compressed: packed, Codec: pb.Codec_CODEC_S2})
}

// nested is an event with a process in a message in a message, and on.
func nested(depth int) []byte {
	b := []byte{}
	for range depth {
		b = protowire.AppendBytes(protowire.AppendTag(nil, 20, protowire.BytesType), b)
		if len(b) > 1<<16 {
			break
		}
	}
	return b
}

func TestRandomMessages(t *testing.T) {
	h := startHub(t, "")
	conn := h.dial(t, "agent")
	random := rand.New(rand.NewPCG(7, 7))
	good := [][]byte{
		mustMarshal(&pb.PublishRequest{ProducerId: sixteen(1), Sequence: 1, Events: [][]byte{makeEvent(t, "x"), makeEvent(t, "y")}}),
		mustMarshal(packedRequest(2, makeEvent(t, "x"), makeEvent(t, "y"))),
	}
	for i := range 400 {
		m := bytes.Clone(good[i%2])
		for range 1 + random.IntN(8) {
			m[random.IntN(len(m))] = byte(random.Uint32())
		}
		if random.IntN(4) == 0 {
			m = m[:random.IntN(len(m))]
		}
		switch err := sendRaw(t, conn, m); status.Code(err) {
		case codes.OK, codes.InvalidArgument, codes.FailedPrecondition:
		case codes.ResourceExhausted:
			if !strings.Contains(err.Error(), "larger than max when unpacked") {
				t.Fatalf("%x: %v", m, err)
			}
		default:
			t.Fatalf("%x: %v", m, err)
		}
	}
	h.alive(t)
	events, _, _ := h.readAll(t, &pb.SubscribeRequest{})
	for _, e := range events {
		decode(t, e) // whatever was taken is an event
	}
}

func TestStaleSequence(t *testing.T) {
	h := startHub(t, "")
	s := publishStream(t, h.dial(t, "agent"), "")
	batch := func(sequence uint64) *pb.PublishRequest {
		return &pb.PublishRequest{ProducerId: sixteen(1), Sequence: sequence, Events: [][]byte{makeEvent(t, "x")}}
	}
	exchange(t, s, batch(5000))
	exchange(t, s, batch(5000-1023))
	_ = s.Send(batch(5000 - 1024))
	if _, err := s.Recv(); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "new producer_id") {
		t.Errorf("a sequence far behind: %v", err)
	}
}

// rawConn is a TLS connection that speaks what the test says.
func (h *testHub) rawConn(t *testing.T, protos ...string) *tls.Conn {
	t.Helper()
	cfg := h.tlsConfig(t, "agent").Clone()
	cfg.NextProtos = protos
	d := tls.Dialer{Config: cfg}
	c, err := d.DialContext(t.Context(), "tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*tls.Conn)
}

func TestHostileHTTP2(t *testing.T) {
	h := startHub(t, "")
	random := rand.New(rand.NewPCG(3, 3))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	frames := func(write func(*http2.Framer)) []byte {
		var b bytes.Buffer
		b.WriteString(http2.ClientPreface)
		f := http2.NewFramer(&b, nil)
		f.AllowIllegalWrites = true
		_ = f.WriteSettings()
		write(f)
		return b.Bytes()
	}
	header := func(fields ...string) []byte {
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for i := 0; i < len(fields); i += 2 {
			_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		return b.Bytes()
	}
	call := header(":method", "POST", ":scheme", "https", ":path", pb.EventBus_Publish_FullMethodName,
		":authority", "x", "content-type", "application/grpc", "te", "trailers")
	length := binary.BigEndian.AppendUint32([]byte{0}, 1<<31)
	tests := map[string][]byte{
		"noise":              noise,
		"preface and noise":  append([]byte(http2.ClientPreface), noise...),
		"data on stream 0":   frames(func(f *http2.Framer) { _ = f.WriteData(0, true, []byte("x")) }),
		"headers that lie":   frames(func(f *http2.Framer) { _ = f.WriteRawFrame(http2.FrameHeaders, 4, 1, noise[:100]) }),
		"huge header list":   frames(func(f *http2.Framer) { bigHeaders(f, header("a", strings.Repeat("x", 100_000))) }),
		"message of 2 GiB":   frames(func(f *http2.Framer) { openCall(f, call); _ = f.WriteData(1, false, length) }),
		"rapid resets":       frames(func(f *http2.Framer) { rapidResets(f, call) }),
		"settings flood":     frames(func(f *http2.Framer) { flood(f) }),
		"frame over the max": frames(func(f *http2.Framer) { _ = f.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<20)) }),
		"not gRPC": frames(func(f *http2.Framer) {
			openCall(f, header(":method", "GET", ":scheme", "https", ":path", "/", ":authority", "x"))
		}),
	}
	for name, sent := range tests {
		t.Run(name, func(t *testing.T) {
			c := h.rawConn(t, "h2")
			_, _ = c.Write(sent)
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			h.alive(t)
		})
	}
}

func openCall(f *http2.Framer, block []byte) {
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true})
}

func bigHeaders(f *http2.Framer, block []byte) {
	const most = 16 << 10
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:most]})
	for rest := block[most:]; len(rest) > 0; {
		n := min(most, len(rest))
		_ = f.WriteContinuation(1, n == len(rest), rest[:n])
		rest = rest[n:]
	}
}

func rapidResets(f *http2.Framer, block []byte) {
	for id := uint32(1); id < 4001; id += 2 {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true})
		_ = f.WriteRSTStream(id, http2.ErrCodeCancel)
	}
}

func flood(f *http2.Framer) {
	for range 5000 {
		_ = f.WriteSettings()
		_ = f.WritePing(false, [8]byte{})
	}
}

func TestPlainHTTPToTheTLSPort(t *testing.T) {
	h := startHub(t, "")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.Addr().String()+"/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "HTTPS") || len(body) > 500 {
		t.Errorf("%s: %s", resp.Status, body)
	}
	eventually(t, "it is counted", func() bool { return h.metric(t, "eventbus_errors_total", "reason", "not_tls") == 1 })
}

func TestRefusedHandshakesAreCounted(t *testing.T) {
	h := startHub(t, "")
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	if c, err := d.DialContext(t.Context(), "tcp", h.Addr().String()); err == nil {
		_, err = c.Read(make([]byte, 1)) // TLS 1.3 tells with the first read
		if err == nil {
			t.Error("a client without certificate was let in")
		}
		_ = c.Close()
	}
	eventually(t, "it is counted", func() bool { return h.metric(t, "eventbus_errors_total", "reason", "no_certificate") == 1 })
	if !strings.Contains(h.log.String(), "no_certificate") {
		t.Error("it is not in the log")
	}
}

func TestTooManyConnections(t *testing.T) {
	h := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Config.Server.MaxConnections = 3 })
	var open []net.Conn
	for range 3 {
		c := h.rawConn(t, "h2")
		open = append(open, c)
	}
	eventually(t, "they are counted", func() bool { return h.Connections() == 3 })
	if !isClosed(h.rawConn(t, "h2"), 10*time.Second) {
		t.Error("a fourth connection was let in")
	}
	if got := h.metric(t, "eventbus_errors_total", "reason", refusedConnection); got != 1 {
		t.Errorf("counted %v times", got)
	}
	if s := h.Status(); s.Status != StateDegraded || !strings.Contains(strings.Join(s.Reasons, "\n"), "server.max_connections allows, 3") {
		t.Errorf("the hub says %s: %q", s.Status, s.Reasons)
	}
	if got := h.Connections(); got != 3 {
		t.Errorf("%d connections", got)
	}
	for _, c := range open {
		_ = c.Close()
	}
	eventually(t, "there is room again", func() bool { return h.Connections() == 0 })
	h.alive(t)
}

func TestTooManyStreams(t *testing.T) {
	h := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Config.Server.MaxStreams = 2 })
	conn := h.dial(t, "agent")
	for range 2 {
		exchange(t, publishStream(t, conn, ""), &pb.PublishRequest{Events: [][]byte{makeEvent(t, "x")}})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	s, err := pb.NewEventBusClient(conn).Publish(ctx)
	if err == nil {
		_ = s.Send(&pb.PublishRequest{})
		_, err = s.Recv()
	}
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a third stream: %v", err)
	}
	h.alive(t)
}
