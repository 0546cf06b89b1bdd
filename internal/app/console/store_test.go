package console

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestStoreLine(t *testing.T) {
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	well := remote.StoreOf(&pb.StatusResponse{Store: &pb.StoreStatus{
		State: "ok", Events: 1234, Bytes: 5 << 20, OldestTime: timestamppb.New(day), Retention: durationpb.New(30 * 24 * time.Hour),
		Days: []*pb.StoreDay{{Day: "2026-05-01", Events: 1234, State: "ok"}, {Day: "2026-04-30", State: "ok"}},
	}})
	if well.RetentionDays != 30 || well.Days != 1 || well.OldestTime == nil {
		t.Errorf("%+v", well)
	}
	ill := remote.StoreOf(&pb.StatusResponse{Reasons: []string{"the disk is nearly full"}, Store: &pb.StoreStatus{
		State: "degraded", LagEvents: 1, EngineRestarts: 2,
		Days: []*pb.StoreDay{{Day: "2026-05-01", State: "set_aside"}, {Day: "2026-04-30", State: "rebuilding"}},
	}})
	for _, tt := range []struct {
		s    remote.StoreStatus
		want string
	}{
		{well, "store ok, 1,234 events of 1 day in 5.0 MiB, no lag"},
		{ill, "store degraded, 0 events of 0 days in 0 B, 1 event behind the log, 1 day set aside (2026-05-01), " +
			"1 day being rebuilt (2026-04-30), engine restarted 2 times\n  the disk is nearly full"},
		{remote.StoreStatus{State: "down", Error: "no\x1b[31m"}, "store down: no"},
	} {
		if got := storeLine(&tt.s); !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\x1b") {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

// TestCheckStore: the doctor warns of a store that is not there, and says nothing of
// one that this host does not have.
func TestCheckStore(t *testing.T) {
	e := &cli.Env{Home: config.Home(t.TempDir()), Stdout: &bytes.Buffer{}, Now: time.Now}
	if got := CheckStore(t.Context(), e); got != nil {
		t.Errorf("%+v", got)
	}
	if _, err := identity.EnsureLayout(e.Home.Certs(), identity.LayoutOptions{Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(e.Home.Config(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(e.Home.StoreConfig(), []byte("server: {host: 127.0.0.1, port: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := CheckStore(t.Context(), e)
	if len(got) != 1 || got[0].Verdict != endpoint.VerdictWarn || !strings.Contains(got[0].Detail, "127.0.0.1:1") || !strings.Contains(got[0].Fix, "amoskys up") {
		t.Errorf("%+v", got)
	}
}
