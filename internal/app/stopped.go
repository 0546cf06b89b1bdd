package app

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/hub/audit"
	"github.com/amoskys/amoskys/internal/hub/keeping"
	"github.com/amoskys/amoskys/internal/hub/own"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// StoppedLog is the log of a hub that does not run, opened to decide about it: under
// its lock, so that no hub starts meanwhile.
type StoppedLog struct {
	*keeping.Service

	storage *hub.Storage
	db      *state.DB
}

// OpenStoppedLog opens the log in dir of the hub of e's home. What is decided is audited
// as the hub does, in that home's state database and in the log itself, with actor as
// who did it. While somebody has the log, the error is a *vfs.LockedError.
func OpenStoppedLog(ctx context.Context, e *cli.Env, dir, actor string) (*StoppedLog, error) {
	if _, err := os.Stat(dir); err != nil { // before a log is made where there is none
		return nil, fmt.Errorf("find the log: %w", err)
	}
	cfg, err := LoadHubConfig(e)
	if err != nil {
		return nil, err
	}
	cfg.WAL.Path = dir
	logger := obs.Discard()
	s := &StoppedLog{}
	if s.storage, err = OpenStorage(ctx, cfg, e.Home, logger, obs.NewRegistry()); err != nil {
		return nil, err
	}
	if s.db, err = OpenState(ctx, e.Home, cfg); err != nil {
		return nil, errors.Join(err, s.storage.Close())
	}
	id := ownID(cfg.Files(e.Home).Cert)
	host := id.Host()
	if host == "" {
		host, _ = os.Hostname()
	}
	publisher := own.New(own.Options{
		Append: ownEvents(s.storage.Log, id.String()), Host: host, Version: obs.ReadBuild().Version,
	})
	s.Service = keeping.New(keeping.Options{
		Losses: s.storage.Log, Caller: func(context.Context) string { return actor },
		Auditor: audit.New(audit.Options{Store: s.db, Publisher: publisher, Logger: logger}),
	})
	return s, nil
}

// Losses returns the open ones.
func (s *StoppedLog) Losses() []*pb.LogLoss {
	losses := s.storage.Log.Stat().Losses
	out := make([]*pb.LogLoss, 0, len(losses))
	for _, l := range losses {
		out = append(out, keeping.Message(l))
	}
	return out
}

// Close closes the log.
func (s *StoppedLog) Close() error { return errors.Join(s.db.Close(), s.storage.Close()) }
