package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity/revoked"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Follower keeps the hub's list of revocations, as the hub tells it: within a moment
// while there is a connection, and as it last was while there is none, also after a
// restart.
type Follower struct {
	List *revoked.List

	file   string
	client pb.CertificatesClient
	cut    func() int
	logger *slog.Logger
}

// FollowerOptions are what a Follower needs; all are required.
type FollowerOptions struct {
	File   string // where the list is kept; its folder must exist
	Client pb.CertificatesClient
	Logger *slog.Logger
}

// OpenFollower reads the list of before. A file that cannot be read is an error: to
// forget revocations would let in who is out.
func OpenFollower(o FollowerOptions) (*Follower, error) {
	f := &Follower{List: revoked.New(), file: o.File, client: o.Client, logger: o.Logger}
	text, err := os.ReadFile(o.File)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	var list []revoked.Entry
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the hub has revoked: %w: remove %s once the hub can be reached, which tells it again", err, o.File)
	}
	f.List.Add(list...)
	return f, nil
}

// Pauses before the hub is asked again, while it is not there and while it is of
// before and does not know the question.
const (
	shortPause = 200 * time.Millisecond
	longPause  = 5 * time.Second
)

// Run follows the hub until ctx ends. cut is called after each change.
func (f *Follower) Run(ctx context.Context, cut func() int) error {
	f.cut = cut
	pause := shortPause
	warned := ""
	for ctx.Err() == nil {
		heard, err := f.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if heard {
			pause, warned = shortPause, ""
		}
		if code := status.Code(err).String(); code != warned {
			warned = code
			f.logger.WarnContext(ctx, "the hub does not tell what it revokes: what it revoked before counts", obs.KeyError, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, longPause)
	}
	return nil
}

// follow takes what the hub tells over one stream.
func (f *Follower) follow(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := f.client.WatchRevoked(ctx, &pb.WatchRevokedRequest{})
	if err != nil {
		return false, err
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return heard, err
		}
		heard = true
		f.take(ctx, r)
	}
}

// take takes over what was revoked and cuts who is out by it.
func (f *Follower) take(ctx context.Context, r *pb.WatchRevokedResponse) {
	list := make([]revoked.Entry, 0, len(r.GetRevocations()))
	for _, e := range r.GetRevocations() {
		list = append(list, revoked.Entry{Target: e.GetTarget(), Time: e.GetTime().AsTime(), Reason: e.GetReason()})
	}
	if f.List.Add(list...) == 0 {
		return
	}
	if n := f.cut(); n > 0 {
		f.logger.InfoContext(ctx, "connections with revoked certificates cut", obs.KeyCount, n)
	}
	if err := f.keep(); err != nil {
		f.logger.ErrorContext(ctx, "revocations are in force and not on disk", obs.KeyError, err)
	}
}

// keep writes the list down.
func (f *Follower) keep() error {
	text, err := json.Marshal(f.List.All())
	if err != nil {
		return err
	}
	next := f.file + ".next"
	file, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, f.file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
