//go:build unix

package skew

import (
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestPackedBatchesAreNegotiated: a hub that takes packed batches says so before the
// first one. One that does not know them acknowledges a batch without an event of it,
// which is why a sender has to wait for that word.
func TestPackedBatchesAreNegotiated(t *testing.T) {
	t.Parallel()
	before, now := Previous(t), Current(t)
	for _, hub := range []Programs{before, now} {
		t.Run(hub.Name, func(t *testing.T) {
			w := newWorld(t)
			w.run(now.Amoskys, "certs", "init")
			w.startHub(hub)
			s, err := pb.NewEventBusClient(w.dial("packer")).Publish(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			events := &pb.EventBatch{Events: [][]byte{eventOf(t, "packer", "one"), eventOf(t, "packer", "two")}}
			raw, err := proto.Marshal(events)
			if err != nil {
				t.Fatal(err)
			}
			packed := &pb.PublishRequest{Compressed: codec.S2.Pack(nil, raw), Codec: pb.Codec_CODEC_S2}
			if err := s.Send(packed); err != nil {
				t.Fatal(err)
			}
			ack, err := s.Recv()
			if err != nil {
				t.Fatal(err)
			}
			header, err := s.Header()
			if err != nil {
				t.Fatal(err)
			}
			said := codec.Choose(header.Get(codec.Metadata)...) == codec.S2
			if got := ack.GetAccepted(); ack.GetStatus() != pb.PublishAck_STATUS_OK || (got == 2) != said || got != 0 && got != 2 {
				t.Errorf("says that it takes packed batches: %t; ack: %v", said, ack)
			}
			if hub == now && !said {
				t.Error("this tree's hub does not say that it takes packed batches")
			}
			if got := w.count(hub, "test.packed"); got != int(ack.GetAccepted()) {
				t.Errorf("%d events are shown, %d were acknowledged", got, ack.GetAccepted())
			}
			w.verify(hub)
		})
	}
}

// dial connects as the agent of a host.
func (w *world) dial(host string) *grpc.ClientConn {
	w.t.Helper()
	certs := filepath.Join(w.home, "certs")
	ca, err := identity.LoadCA(filepath.Join(certs, "ca.crt"), filepath.Join(certs, "ca.key"))
	if err != nil {
		w.t.Fatal(err)
	}
	pair, err := ca.Issue(identity.IssueOptions{ID: identity.ID{Domain: ca.Domain(), Role: identity.RoleAgent, Name: host}, TTL: time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("certs/"+host+".crt", string(pair.CertPEM))
	w.write("certs/"+host+".key", string(pair.KeyPEM))
	cfg, err := identity.ClientConfig(identity.FilesFor(certs, host), identity.ClientOptions{ServerName: "localhost"})
	if err != nil {
		w.t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:"+w.hub, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// eventOf is one of a host.
func eventOf(t *testing.T, host, text string) []byte {
	t.Helper()
	id, err := event.NewID()
	if err != nil {
		t.Fatal(err)
	}
	b, err := event.Encode(&pb.Event{Id: id[:], Time: timestamppb.Now(), Type: "test.packed", Message: text, Host: &pb.Host{Name: host}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
