package app

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/app/replay"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/findings"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// env is that of a command in the hub's own home.
func (h *enrolHub) env() *cli.Env {
	return &cli.Env{Home: h.home, Now: h.clock.Now, Logger: obs.Discard(), Stderr: io.Discard, Lookup: func(string) (string, bool) { return "", false }}
}

// replayed publishes n flows as a capture has them, and stops in the middle where
// interrupted.
func (h *enrolHub) replayed(t *testing.T, key replay.Key, n int, interrupted bool) replay.Counts {
	t.Helper()
	files, host, err := replay.Certificate(t.Context(), h.env(), h.addr)
	if err != nil {
		t.Fatal(err)
	}
	p := replay.NewPublisher(replay.Options{
		Hub: h.addr, Host: host, Files: files, Key: key, Path: "/x/old.pcap", Now: h.clock.Now,
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		},
	})
	ended := make(chan error, 1)
	go func() { ended <- p.Run(t.Context()) }()
	for i := range n {
		f := track.Flow{
			Tuple: dissect.Tuple{Src: packet.Addr4([4]byte{192, 0, 2, 1}), Dst: packet.Addr4([4]byte{192, 0, 2, 2}), SrcPort: uint16(1024 + i), DstPort: 53, Protocol: 17},
			First: long, Last: long + int64(i)*1e6, Out: track.Side{Packets: 1, Bytes: 60}, End: track.Idle,
		}
		if err := errors.Join(p.Pass(f.Last), p.Flow(&f)); err != nil {
			t.Fatal(err)
		}
	}
	if !interrupted {
		scan := &pb.Event{
			Time: timestamppb.New(time.Unix(0, long)), Type: findings.TypePrefix + "port_scan", Severity: pb.Severity_SEVERITY_MEDIUM,
			Body: &pb.Event_Finding{Finding: &pb.DetectionFinding{Uid: "1"}},
		}
		if err := p.Finding(scan); err != nil {
			t.Fatal(err)
		}
	}
	if interrupted {
		p.Abandon()
	} else if err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	c, refusal := p.Counts()
	if refusal != "" {
		t.Error(refusal)
	}
	return c
}

// long is when the capture was made, in Unix nanoseconds.
const long = int64(1_500_000_000e9)

// TestReplayPublishes: a capture is stored once, however often and from wherever it is
// published again, and no host counts as alive by it.
func TestReplayPublishes(t *testing.T) {
	h := startEnrolHub(t, true)
	key := replay.Key{1}
	for i, want := range []struct {
		flows       int
		interrupted bool
		counts      replay.Counts
	}{
		{300, true, replay.Counts{Outcome: replay.Outcome{Stored: 256}}},                                                        // a batch that is not full is not sent
		{600, false, replay.Counts{Outcome: replay.Outcome{Stored: 344, Duplicates: 256}, Findings: replay.Outcome{Stored: 1}}}, // with what was found at its end
		{600, false, replay.Counts{Outcome: replay.Outcome{Duplicates: 600}, Findings: replay.Outcome{Duplicates: 1}}},
	} {
		if got := h.replayed(t, key, want.flows, want.interrupted); got != want.counts {
			t.Errorf("replay %d: %+v, want %+v", i, got, want.counts)
		}
	}
	found := h.published(t, "finding.replay.port_scan")
	if len(found) != 1 || found[0].GetObserver().GetName() != "hub1" || found[0].GetLabels()["capture"] != "old.pcap" || found[0].GetFinding().GetUid() != "1" {
		t.Errorf("findings: %v", found)
	}
	events := h.published(t, event.TypeFlowEnded)
	ids := map[string]bool{}
	for i, ev := range events {
		ids[string(ev.GetId())] = true
		if at := ev.GetTime().AsTime().UnixNano(); at != long+int64(i)*1e6 || ev.GetHost() != nil || ev.GetObserver().GetName() != "hub1" ||
			ev.GetAbout().GetName() != "old.pcap" || ev.GetLabels()["capture"] != "old.pcap" || ev.GetPublisher() != "spiffe://amoskys.local/agent/hub1/replay" {
			t.Fatalf("event %d: %v", i, ev)
		}
	}
	if len(events) != 600 || len(ids) != 600 {
		t.Errorf("%d events with %d ids", len(events), len(ids))
	}
	if got := h.replayed(t, replay.Key{2}, 1, false); got.Stored != 1 || got.Findings.Stored != 1 {
		t.Errorf("another capture: %+v", got)
	}
	fleet := pb.NewFleetClient(h.dial(t, identity.FilesFor(h.home.Certs(), "operator")))
	list, err := fleet.ListAgents(t.Context(), &pb.ListAgentsRequest{})
	if err != nil || len(list.GetAgents())+len(list.GetNodes()) != 0 {
		t.Errorf("the lists have %v, %v", list, err)
	}
	if !h.acts.has("token.create true "+tokens(t, h)[0].GetId()) || len(tokens(t, h)) != 1 { // one certificate serves all
		t.Errorf("audited %v, tokens %v", h.acts.list, tokens(t, h))
	}
}

// published are the events of a type in the hub's log.
func (h *enrolHub) published(t *testing.T, typ string) []*pb.Event {
	t.Helper()
	bus := pb.NewEventBusClient(h.dial(t, identity.FilesFor(h.home.Certs(), "operator")))
	s, err := bus.Subscribe(t.Context(), &pb.SubscribeRequest{
		Start: &pb.SubscribeRequest_FromOffset{}, NoFollow: true, Filter: &pb.Filter{Types: []string{typ}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var events []*pb.Event
	for {
		d, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, stored := range d.GetEvents() {
			ev, err := event.Decode(stored.GetEvent())
			if err != nil {
				t.Fatal(err)
			}
			event.Attribute(ev, stored.GetPublisher())
			events = append(events, ev)
		}
	}
}

func tokens(t *testing.T, h *enrolHub) []*pb.EnrollmentToken {
	t.Helper()
	list, err := h.operator(t).ListTokens(t.Context(), &pb.ListTokensRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return list.GetTokens()
}

// TestAgentEnrolsAlone: an agent gets a certificate without a node's, which names the
// kinds that the token allows and no others.
func TestAgentEnrolsAlone(t *testing.T) {
	h := startEnrolHub(t, true)
	made := h.joinToken(t, &pb.CreateTokenRequest{Host: "hub1", Kinds: []string{event.KindReplay}, Uses: 2})
	enrol := func(kind string) (identity.Files, error) {
		return endpoint.EnrollAgent(t.Context(), h.env(), endpoint.AgentEnrolment{Hub: h.addr, Token: made.GetToken(), Host: "hub1", ID: "one", Kind: kind})
	}
	if _, err := enrol("macos"); err == nil || !strings.Contains(err.Error(), "the token lets agents of kind replay") {
		t.Errorf("another kind: %v", err)
	}
	files, err := enrol(event.KindReplay)
	if err != nil {
		t.Fatal(err)
	}
	held, err := identity.Hold(files)
	if err != nil || held.ID.String() != "spiffe://amoskys.local/agent/hub1/one" || !slices.Equal(identity.Observes(held.Cert), []string{event.KindReplay}) {
		t.Errorf("%v, %v", held.ID, err)
	}
	if left := held.Cert.NotAfter.Sub(h.clock.Now()); left < 24*time.Hour {
		t.Errorf("it ends in %v", left)
	}
}

// TestReplayWithoutOperator: who has no operator's certificate is told that it takes one.
func TestReplayWithoutOperator(t *testing.T) {
	e := &cli.Env{Home: "/nonexistent", Now: time.Now}
	if _, _, err := replay.Certificate(t.Context(), e, "localhost:1"); err == nil || !strings.Contains(err.Error(), "operator's certificate") {
		t.Error(err)
	}
}
