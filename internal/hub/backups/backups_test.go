package backups_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/hub/backups"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// trail remembers what was audited.
type trail struct{ acts []*pb.AuditActivity }

func (t *trail) Audit(_ context.Context, act *pb.AuditActivity) { t.acts = append(t.acts, act) }

func TestBackupsAreNotedAndAudited(t *testing.T) {
	t.Parallel()
	db, err := state.Open(t.Context(), state.Options{File: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	seen := &trail{}
	s := backups.New(backups.Options{Store: db, Auditor: seen, Caller: func(context.Context) string { return "ada" }})
	if got := s.Last(t.Context()); got != nil {
		t.Fatalf("before the first: %v", got)
	}
	b := &pb.Backup{
		Id: "20261128T081500Z-9f3a", Place: "s3://b/x", Time: timestamppb.New(time.Unix(1_800_000_000, 0)), Bytes: 100, SentBytes: 7,
		Offset: 9, WithKeys: true, Took: durationpb.New(time.Second),
	}
	if _, err := s.NoteBackup(t.Context(), &pb.NoteBackupRequest{Backup: b}); err != nil {
		t.Fatal(err)
	}
	failed := &pb.Backup{Place: "s3://b/x", Time: b.GetTime()}
	if _, err := s.NoteBackup(t.Context(), &pb.NoteBackupRequest{Backup: failed, Failure: "no room"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, s.Last(t.Context()), protocmp.Transform()); diff != "" {
		t.Fatalf("the last good one (-want +got):\n%s", diff)
	}
	if len(seen.acts) != 2 || !seen.acts[0].GetSuccess() || !strings.Contains(seen.acts[0].GetDetail(), "with private keys") ||
		seen.acts[1].GetSuccess() || seen.acts[1].GetDetail() != "no room" || seen.acts[1].GetActor() != "ada" {
		t.Fatalf("audited %v", seen.acts)
	}
	for name, bad := range map[string]*pb.Backup{
		"none": nil, "no place": {Id: "x", Time: b.GetTime()}, "no time": {Id: "x", Place: "y"}, "long": {Id: "x", Place: strings.Repeat("y", 2000), Time: b.GetTime()},
	} {
		if _, err := s.NoteBackup(t.Context(), &pb.NoteBackupRequest{Backup: bad}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}
