// Package backups is the hub's Backups service: it notes which backups were made, so that
// people see how old the last good one is. What a call tells is audited.
package backups

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Operation names in the audit trail what NoteBackup notes.
const Operation = "backup.create"

// Store keeps what is known of backups; *state.DB does.
type Store interface {
	PutBackup(ctx context.Context, b state.Backup) error
	LastBackup(ctx context.Context) (state.Backup, error)
}

// Auditor records an administrative act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Options are what a Service needs.
type Options struct {
	Store   Store
	Auditor Auditor
	// Caller names whoever makes a call.
	Caller func(context.Context) string
}

// Service implements the Backups service.
type Service struct {
	pb.UnimplementedBackupsServer
	o Options
}

// New returns the service.
func New(o Options) *Service { return &Service{o: o} }

// maxText bounds the name and the place of a backup, in bytes.
const maxText = 1 << 10

// NoteBackup notes that a backup was made, or that one failed.
func (s *Service) NoteBackup(ctx context.Context, req *pb.NoteBackupRequest) (*pb.NoteBackupResponse, error) {
	b := req.GetBackup()
	if b.GetPlace() == "" || len(b.GetPlace()) > maxText || len(b.GetId()) > maxText || !b.GetTime().IsValid() {
		return nil, status.Error(codes.InvalidArgument, "a backup has a name, a place and a time")
	}
	if req.GetFailure() == "" {
		if err := s.o.Store.PutBackup(ctx, Stored(b)); err != nil {
			return nil, status.Error(codes.Unavailable, state.Explain(err))
		}
	}
	s.o.Auditor.Audit(ctx, Act(s.o.Caller(ctx), b, req.GetFailure()))
	return &pb.NoteBackupResponse{}, nil
}

// Last is the last backup that is whole, nil where none is known or the database does not
// say.
func (s *Service) Last(ctx context.Context) *pb.Backup {
	b, err := s.o.Store.LastBackup(ctx)
	if err != nil {
		return nil
	}
	return &pb.Backup{
		Id: b.ID, Place: b.Place, Time: timestamppb.New(b.Time), Bytes: uint64(b.Bytes), SentBytes: uint64(b.Sent),
		Offset: b.Offset, WithKeys: b.WithKeys, Took: durationpb.New(b.Took),
	}
}

// Stored is a backup as it is kept.
func Stored(b *pb.Backup) state.Backup {
	return state.Backup{
		ID: b.GetId(), Place: b.GetPlace(), Time: b.GetTime().AsTime(), Took: b.GetTook().AsDuration(),
		Bytes: int64(min(b.GetBytes(), 1<<62)), Sent: int64(min(b.GetSentBytes(), 1<<62)), Offset: min(b.GetOffset(), 1<<62), WithKeys: b.GetWithKeys(),
	}
}

// Act is the record of a backup that was made, or of one that failed.
func Act(actor string, b *pb.Backup, failure string) *pb.AuditActivity {
	act := &pb.AuditActivity{Actor: actor, Operation: Operation, Target: b.GetPlace(), Success: failure == "", Detail: failure}
	if failure == "" {
		act.Detail = fmt.Sprintf("%s: the log up to offset %d, %d bytes, %d of them sent", b.GetId(), b.GetOffset(), b.GetBytes(), b.GetSentBytes())
		if b.GetWithKeys() {
			act.Detail += ", with private keys"
		}
	}
	return act
}
