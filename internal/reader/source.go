package reader

import (
	"context"
	"errors"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// Source is a log to read: Local or Remote.
type Source interface {
	// Open begins to read and returns the first offset that is looked at.
	Open(ctx context.Context, r Request) (Feed, stream.Offset, error)
	// Commit makes a place of a cursor durable. It never makes a cursor.
	Commit(ctx context.Context, cursor string, off stream.Offset) error
	// Tail returns the end of the log, as far as the source knows.
	Tail() stream.Offset
}

// Feed is a source being read. It is for one goroutine.
type Feed interface {
	// Next waits for the next batch, which is valid until the next call. The error is
	// that of ctx, stream.ErrClosed, io.EOF with Request.NoFollow, or one after which the
	// source is opened again.
	Next(ctx context.Context) (*Batch, error)
	Close() error
}

// Match decides which events are wanted; *logsql.Matcher is one.
type Match interface {
	Match(encoded []byte, publisher string, offset stream.Offset, logged time.Time) bool
}

// errQuery is for whoever puts a query where only lists belong.
var errQuery = errors.New("the query of a filter is applied by Request.Match")

// Request says what to read.
type Request struct {
	Cursor string // made if it is new; empty for none
	Hold   bool
	// Start is where to begin without a cursor, or when it is not to Resume there.
	Start  Start
	Resume bool
	Move   bool // have the cursor at Start.Offset, wherever it stood
	// Filter is what the source chooses by, without a query.
	Filter *pb.Filter
	// Match, if it is not nil, chooses among what the source gives, in this process. It
	// is for this feed alone.
	Match     Match
	MaxEvents int  // of a batch; 0 is 512
	Blocks    bool // have Batch.Blocks in place of Batch.Events
	NoFollow  bool // io.EOF comes at the tail
	// Trouble is told of what cannot be read for now, and nil when it can again. It may
	// be nil.
	Trouble func(error)
}
