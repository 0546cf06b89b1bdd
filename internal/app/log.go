package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/live"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/wal"
)

// logSource reads the log for the live view. Damaged places are logged and passed.
type logSource struct {
	log    *wal.Log
	reader *wal.Reader
	logger *slog.Logger
}

func newLogSource(log *wal.Log, from uint64, logger *slog.Logger) (*logSource, error) {
	reader, err := log.NewReader(from)
	if err != nil {
		return nil, fmt.Errorf("read the log for the live view: %w", err)
	}
	return &logSource{log: log, reader: reader, logger: logger}, nil
}

// Next returns the next batch of events.
func (s *logSource) Next(ctx context.Context) (live.Batch, error) {
	for {
		entry, err := s.reader.Next(ctx)
		if damage, ok := errors.AsType[*wal.CorruptionError](err); ok {
			s.logger.WarnContext(ctx, "the live view skips a damaged place of the log", obs.KeyError, damage)
			continue
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, wal.ErrClosed) {
				return live.Batch{}, err
			}
			if err := s.skip(ctx, err); err != nil {
				return live.Batch{}, err
			}
			continue
		}
		if entry.Kind != wal.KindEvents {
			continue
		}
		return live.Batch{
			First: entry.First, Count: entry.Count, Publisher: entry.Publisher,
			Received: entry.Received, Events: entry.Events(),
		}, nil
	}
}

// skipPause is how long to leave a disk alone that cannot be read.
const skipPause = time.Second

// skip goes to the end of the log, past what the disk cannot read: the view is of
// what is new, and ending it would end the hub, now and after each start.
func (s *logSource) skip(ctx context.Context, why error) error {
	pause := time.NewTimer(skipPause)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-pause.C:
	}
	from, to := s.reader.Offset(), s.log.Stat().NextOffset
	s.logger.WarnContext(ctx, "the live view skips what cannot be read of the log",
		obs.KeyError, why, obs.KeyOffset, from, obs.KeyCount, to-min(from, to))
	reader, err := s.log.NewReader(to)
	if err != nil {
		return errors.Join(why, err)
	}
	old := s.reader
	s.reader = reader
	if err := old.Close(); err != nil {
		s.logger.WarnContext(ctx, "the live view left a file open", obs.KeyError, err)
	}
	return nil
}

// Close lets go of the log's files.
func (s *logSource) Close() error { return s.reader.Close() }

// eventsField is the number of EventBatch.events and PublishRequest.events.
const eventsField = 3

// ownEvents returns a function that appends one event of the hub itself.
func ownEvents(log *wal.Log, publisher string) func(context.Context, []byte) error {
	return func(ctx context.Context, encoded []byte) error {
		head := protowire.AppendTag(nil, eventsField, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(len(encoded)))
		_, err := log.Append(ctx, &wal.Record{
			Kind: wal.KindEvents, Publisher: publisher, Received: time.Now(), Count: 1, Payload: [][]byte{head, encoded},
		})
		return err
	}
}
