package dashboard

import (
	"context"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// BackupAnswer is what GET /api/backup answers.
type BackupAnswer struct {
	Backups []Backup  `json:"backups" nullable:"false" doc:"The last backup that is whole; none where none was ever made."`
	Time    time.Time `json:"time" doc:"When it was asked."`
}

// Backup is a backup that was made.
type Backup struct {
	ID       string    `json:"id"`
	Place    string    `json:"place" doc:"A folder of the hub's machine, or s3://BUCKET/PREFIX."`
	Time     time.Time `json:"time"`
	Bytes    uint64    `json:"bytes" doc:"Of all its files."`
	Sent     uint64    `json:"sent_bytes" doc:"What was sent for it: the rest was there."`
	Seconds  float64   `json:"seconds" doc:"How long it took."`
	Offset   uint64    `json:"offset" doc:"The log reaches up to here in it."`
	WithKeys bool      `json:"with_keys" doc:"Private keys are in it, encrypted."`
}

// backup answers GET /api/backup.
func (s *Server) backup(ctx context.Context, _ *struct{}) (*BackupAnswer, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	h, err := s.hub.query.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return nil, err //nolint:wrapcheck // it becomes an answer
	}
	out := &BackupAnswer{Backups: []Backup{}, Time: s.o.Now().UTC()}
	if b := h.GetLastBackup(); b != nil {
		out.Backups = append(out.Backups, Backup{
			ID: b.GetId(), Place: b.GetPlace(), Time: b.GetTime().AsTime(), Bytes: b.GetBytes(), Sent: b.GetSentBytes(),
			Seconds: b.GetTook().AsDuration().Seconds(), Offset: b.GetOffset(), WithKeys: b.GetWithKeys(),
		})
	}
	return out, nil
}
