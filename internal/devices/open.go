package devices

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// open finds something to go on from: the checkpoint, else nothing, with what the store
// has of the time before the log.
func (in *Inventory) open(ctx context.Context) {
	s, known, err := in.load()
	if err != nil {
		in.setAside(ctx, err, &s)
	}
	in.mu.Lock()
	in.state = s
	in.mu.Unlock()
	if !known {
		in.readEarlier(ctx)
	}
	in.mu.Lock()
	in.state.opened = true
	in.mu.Unlock()
}

// setAside puts a checkpoint away that cannot be read.
func (in *Inventory) setAside(ctx context.Context, why error, s *state) {
	if !errors.Is(why, errDamaged) && !errors.Is(why, errNewer) {
		in.o.Logger.WarnContext(ctx, "the inventory of devices cannot be read: it is made again from the log", obs.KeyError, why)
		s.note(fmt.Sprintf("the inventory is being made again from the log, as its file could not be read (%v): devices that were not seen since the log begins may be missing for a day", why))
		return
	}
	to := filepath.Join(in.o.Path, asideFile)
	err := in.o.FS.Rename(filepath.Join(in.o.Path, CheckpointFile), to)
	in.o.Logger.WarnContext(ctx, "the inventory of devices is set aside and made again from the log",
		obs.KeyError, why, obs.KeyPath, to, "moved", err == nil)
	s.note(fmt.Sprintf("%s on %s: it was set aside as %s, and the inventory made again from the log and the store; devices that neither has may be missing for a day",
		why, in.o.Now().UTC().Format("2006-01-02 15:04 UTC"), asideFile))
}

// Bounds on what is read of the store: how long it is waited for, and how many events
// are taken, in pages.
const (
	earlierWait  = 30 * time.Second
	earlierPause = time.Second
	earlierMost  = 500_000
	earlierPage  = 1000
)

// readEarlier folds what the store has of events about devices from before the log's
// oldest, the oldest first.
func (in *Inventory) readEarlier(ctx context.Context) {
	if in.o.Earlier == nil {
		return
	}
	begins, err := in.tryFor(ctx, func(ctx context.Context) (stream.Offset, error) { return in.o.LogBegins(ctx) })
	if err == nil && begins == 0 {
		return // the log has all
	}
	if err == nil {
		err = in.foldEarlier(ctx, begins)
	}
	if err != nil && ctx.Err() == nil {
		in.o.Logger.WarnContext(ctx, "devices from before the log's oldest event are not read", obs.KeyError, err)
		in.mu.Lock()
		in.state.note("the store could not be asked for devices from before the log's oldest event: those that were not seen since may be missing for a day")
		in.mu.Unlock()
	}
}

// tryFor asks again for as long as a store may take to start.
func (in *Inventory) tryFor(ctx context.Context, ask func(context.Context) (stream.Offset, error)) (at stream.Offset, err error) {
	until := time.Now().Add(earlierWait)
	for {
		if at, err = ask(ctx); err == nil || time.Now().After(until) {
			return at, err
		}
		if stream.Wait(ctx, earlierPause) != nil {
			return 0, ctx.Err()
		}
	}
}

func (in *Inventory) foldEarlier(ctx context.Context, begins stream.Offset) error {
	req := &pb.SearchEventsRequest{
		Filter:      &pb.Filter{Types: []string{"device.", "snmp.reading"}, Query: fmt.Sprintf("offset:<%d", begins)},
		OldestFirst: true, NoTotal: true, Limit: earlierPage,
		Since: timestamppb.New(in.o.Now().Add(-pastMost)),
	}
	for taken := 0; taken < earlierMost; {
		var page *pb.SearchEventsResponse
		_, err := in.tryFor(ctx, func(ctx context.Context) (_ stream.Offset, err error) {
			page, err = in.o.Earlier.SearchEvents(ctx, req)
			return 0, err
		})
		if err != nil {
			return fmt.Errorf("ask the store: %w", err)
		}
		in.mu.Lock()
		for _, e := range page.GetEvents() {
			in.take(e.GetEvent(), e.GetPublisher(), e.GetOffset(), e.GetLoggedTime().AsTime())
		}
		in.mu.Unlock()
		taken += len(page.GetEvents())
		if req.Page = page.GetNextPage(); req.Page == "" || len(page.GetEvents()) == 0 {
			break
		}
	}
	return nil
}
