package hub

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// rawCalls opens calls of a method on one connection and begins a message of size
// bytes on each, of which it sends sent.
func rawCalls(method string, calls, size, sent int) []byte {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "https"},
		{":path", method},
		{":authority", "x"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	w := http2.NewFramer(&b, nil)
	_ = w.WriteSettings()
	for i := range calls {
		id := uint32(2*i + 1)
		_ = w.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
		message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(size)), make([]byte, sent)...)
		for len(message) > 0 {
			n := min(len(message), 16<<10)
			_ = w.WriteData(id, false, message[:n])
			message = message[n:]
		}
		block.Reset() // the table has them all from now on
		_ = e.WriteField(hpack.HeaderField{Name: ":method", Value: "POST"})
		for _, f := range [][2]string{
			{":scheme", "https"},
			{":path", method},
			{":authority", "x"},
			{"content-type", "application/grpc"},
			{"te", "trailers"},
		} {
			_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	return b.Bytes()
}

// TestHalfMessages: 128 messages that are begun and not finished are more than one
// connection may have; it is cut, and everything is given back.
func TestHalfMessages(t *testing.T) {
	h := startHub(t, "")
	c := h.rawConn(t, "h2")
	_, _ = c.Write(rawCalls(pb.EventBus_Publish_FullMethodName, 128, 1<<20, 1000))
	if _, err := io.Copy(io.Discard, c); err != nil && !isReset(err) {
		t.Logf("the connection ended with %v", err)
	}
	if n := h.metric(t, "eventbus_errors_total", "reason", "too_much_begun"); n != 1 {
		t.Errorf("counted %v times", n)
	}
	eventually(t, "all is given back", func() bool {
		return h.metric(t, "amoskys_hub_bound_used", "bound", "begun_bytes") == 0
	})
	if !strings.Contains(h.log.String(), "reason=too_much_begun") {
		t.Error("it is not in the log")
	}
	h.alive(t)
}

func isReset(err error) bool { _, ok := err.(net.Error); return ok } //nolint:errorlint // as the connection gave it

// TestBegunIsShown: what is begun is to be seen, with its bound.
func TestBegunIsShown(t *testing.T) {
	h := startHub(t, "")
	c := h.rawConn(t, "h2")
	_, _ = c.Write(rawCalls(pb.EventBus_Publish_FullMethodName, 3, 1<<20, 1000))
	for _, bound := range []string{"begun_bytes", "begun_bytes_of_identity", "begun_bytes_of_connection"} {
		eventually(t, bound, func() bool { return h.metric(t, "amoskys_hub_bound_used", "bound", bound) == 3<<20 })
		if limit := h.metric(t, "amoskys_hub_bound_limit", "bound", bound); limit < 8<<20 {
			t.Errorf("%s: %v", bound, limit)
		}
	}
	_ = c.Close()
	eventually(t, "all is given back", func() bool { return h.metric(t, "amoskys_hub_bound_used", "bound", "begun_bytes") == 0 })
	h.alive(t)
}

// large is a query service whose answers are large.
type large struct {
	pb.UnimplementedQueryServer
	answer *pb.MetricsResponse
}

func (l large) Metrics(context.Context, *pb.MetricsRequest) (*pb.MetricsResponse, error) {
	return l.answer, nil
}

// TestUnreadAnswers: large answers that nobody reads are few, whoever asks for
// them; they are given back when their call ends, read or not.
func TestUnreadAnswers(t *testing.T) {
	h := startHub(t, "", func(o *Options, _ *StorageOptions) {
		o.Register = func(r grpc.ServiceRegistrar) {
			pb.RegisterQueryServer(r, large{answer: &pb.MetricsResponse{
				Samples: []*pb.MetricSample{{Help: strings.Repeat("x", 3<<20)}},
			}})
		}
	})
	used := func() float64 { return h.metric(t, "amoskys_hub_bound_used", "bound", "answer_bytes_of_identity") }
	files := identity.FilesFor(h.home.Certs(), "operator")
	window := grpc.WithInitialWindowSize(64 << 10) // which does not grow
	conn := dialFiles(t, h.Addr().String(), files, window)
	client := pb.NewQueryClient(conn)
	for range 20 {
		if _, err := client.Metrics(t.Context(), &pb.MetricsRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "what was read is given back", func() bool { return used() == 0 })
	// Streams that are never read.
	ctx, cancel := context.WithCancel(t.Context())
	for range 5 {
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, pb.Query_Metrics_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(&pb.MetricsRequest{}); err != nil {
			t.Fatal(err)
		}
		_ = s.CloseSend()
	}
	eventually(t, "they are counted", func() bool { return used() > 14<<20 })
	cancel()
	eventually(t, "what was given up is given back", func() bool { return used() == 0 })
	// A connection that goes with answers unread.
	other := dialFiles(t, h.Addr().String(), files, window)
	for range 3 {
		s, err := other.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, pb.Query_Metrics_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(&pb.MetricsRequest{}); err != nil {
			t.Fatal(err)
		}
		_ = s.CloseSend()
	}
	eventually(t, "they are counted", func() bool { return used() > 8<<20 })
	_ = other.Close()
	eventually(t, "what a closed connection left is given back", func() bool { return used() == 0 })
	if _, err := client.Metrics(t.Context(), &pb.MetricsRequest{}); status.Code(err) != codes.OK {
		t.Error(err)
	}
}

// TestIdentityThatArrivesTooMuch: what an identity has here and not yet stored has a
// bound on all its streams; what is beyond is put off.
func TestIdentityThatArrivesTooMuch(t *testing.T) {
	s := newShares(100)
	if err := s.enter(t.Context(), "a", 80, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.enter(t.Context(), "a", 30, time.Millisecond); err == nil {
		t.Error("30 more fit")
	}
	if err := s.enter(t.Context(), "b", 100, 0); err != nil || s.most() != 100 {
		t.Errorf("another: %v, %d", err, s.most())
	}
	s.leave("a", 80)
	s.leave("b", 100)
	if s.most() != 0 || len(s.gates) != 0 {
		t.Errorf("%d are left", s.most())
	}
}
