// Package agenttest is the conformance suite that every agent passes, with a hub
// and a publisher to test agents against.
package agenttest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/agent/probe"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Hub is a small EventBus in memory that keeps the wire contract: events are
// inspected, acks come in order, and a batch is stored once by producer and
// sequence. It takes packed batches, and says so. What it holds outlives Stop and Start, as the log of a real hub does.
type Hub struct {
	pb.UnimplementedEventBusServer
	addr string
	tls  *tls.Config

	mu     sync.Mutex
	stop   func()
	seen   map[string]bool
	events []*pb.Event
	faults []string
	change chan struct{}
	report probe.Report
}

// NewHub starts a hub on a free loopback port, with plain text when cfg is nil;
// cfg must offer h2 and http/1.1. It ends with the test.
func NewHub(tb testing.TB, cfg *tls.Config) *Hub {
	tb.Helper()
	h := &Hub{addr: "127.0.0.1:0", tls: cfg, seen: map[string]bool{}, change: make(chan struct{})}
	h.report.Status, h.report.Log.State = "ok", "ok"
	h.Start(tb)
	tb.Cleanup(h.Stop)
	return h
}

// Addr is the hub's host:port, the same after Stop and Start.
func (h *Hub) Addr() string { return h.addr }

// Port is the hub's port.
func (h *Hub) Port(tb testing.TB) int {
	tb.Helper()
	addr, err := net.ResolveTCPAddr("tcp", h.addr)
	if err != nil {
		tb.Fatal(err)
	}
	return addr.Port
}

// Start serves again after Stop.
func (h *Hub) Start(tb testing.TB) {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", h.addr)
	if err != nil {
		tb.Fatal(err)
	}
	h.addr = l.Addr().String()
	bus := grpc.NewServer()
	pb.RegisterEventBusServer(bus, h)
	healthpb.RegisterHealthServer(bus, health.NewServer())
	server := &http.Server{
		Handler: h.route(bus), ReadHeaderTimeout: 5 * time.Second, Protocols: new(http.Protocols),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	server.Protocols.SetHTTP1(true)
	if h.tls == nil {
		server.Protocols.SetUnencryptedHTTP2(true)
	} else {
		server.Protocols.SetHTTP2(true)
		server.TLSConfig = h.tls.Clone()
		l = tls.NewListener(l, h.tls)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with Stop
	}()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stop = func() {
		_ = server.Close() // the connections' faults are the test's subject
		bus.Stop()
		<-done
	}
}

// route serves GET /health beside the bus, as a hub does on its one port.
func (h *Hub) route(bus http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", bus)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		report := h.report
		h.mu.Unlock()
		obs.WriteJSON(w, http.StatusOK, report)
	})
	return mux
}

// Report sets the answer of /health.
func (h *Hub) Report(r probe.Report) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report = r
}

// Stop ends every connection at once, as a crash would.
func (h *Hub) Stop() {
	h.mu.Lock()
	stop := h.stop
	h.stop = nil
	h.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// Publish implements the bus.
func (h *Hub) Publish(s grpc.BidiStreamingServer[pb.PublishRequest, pb.PublishAck]) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	ids := md.Get(identity.MetadataAgent)
	if len(ids) != 1 {
		return status.Error(codes.InvalidArgument, "no agent id in the metadata")
	}
	if err := s.SendHeader(metadata.Pairs(codec.Metadata, codec.Announce(codec.Known()))); err != nil {
		return err
	}
	for {
		req, err := s.Recv()
		if err != nil {
			return nil //nolint:nilerr // the client has gone
		}
		if err := unpack(req); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if err := s.Send(h.store(ids[0], req)); err != nil {
			return err
		}
	}
}

// unpack puts packed events in their usual place.
func unpack(req *pb.PublishRequest) error {
	if len(req.GetCompressed()) == 0 {
		return nil
	}
	if len(req.GetEvents()) > 0 {
		return errors.New("events beside packed ones")
	}
	fields, err := codec.Codec(req.GetCodec()).Unpack(nil, req.GetCompressed(), maxMessageBytes)
	if err != nil {
		return err
	}
	plain := &pb.PublishRequest{}
	err = proto.Unmarshal(fields, plain)
	req.Events = plain.GetEvents()
	return err
}

// maxMessageBytes is what a hub takes by default: the larger of 256 KiB and an event
// of 1 MiB, and 64 KiB around it.
const maxMessageBytes = 1<<20 + 64<<10

func (h *Hub) store(agentID string, req *pb.PublishRequest) *pb.PublishAck {
	h.mu.Lock()
	defer h.mu.Unlock()
	ack := &pb.PublishAck{Sequence: req.GetSequence(), Status: pb.PublishAck_STATUS_OK}
	key := fmt.Sprintf("%x/%d", req.GetProducerId(), req.GetSequence())
	if h.seen[key] {
		ack.Duplicate = true
		return ack
	}
	h.seen[key] = true
	for i, b := range req.GetEvents() {
		ev, err := event.Decode(b)
		if err == nil {
			err = admissible(b)
		}
		if err == nil && ev.GetAgent().GetId() != agentID {
			err = fmt.Errorf("event of %q from %q", ev.GetAgent().GetId(), agentID)
		}
		if err != nil {
			h.faults = append(h.faults, err.Error())
			ack.Refused = append(ack.Refused, &pb.RefusedEvent{Index: uint32(i), Reason: pb.RefusalReason_REFUSAL_REASON_MALFORMED})
			continue
		}
		ack.Accepted++
		h.events = append(h.events, ev)
	}
	close(h.change)
	h.change = make(chan struct{})
	return ack
}

// Events returns what is stored so far, in order.
func (h *Hub) Events() []*pb.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*pb.Event(nil), h.events...)
}

// Faults returns why events were refused.
func (h *Hub) Faults() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.faults...)
}

// Wait blocks until ok holds of the stored events, and fails the test after limit.
func (h *Hub) Wait(tb testing.TB, limit time.Duration, what string, ok func([]*pb.Event) bool) []*pb.Event {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	defer cancel()
	for {
		h.mu.Lock()
		change := h.change
		h.mu.Unlock()
		events := h.Events()
		if ok(events) {
			return events
		}
		select {
		case <-change:
		case <-ctx.Done():
			tb.Fatalf("the hub waited %v for %s; it has %d events, faults %v", limit, what, len(events), h.Faults())
		}
	}
}
