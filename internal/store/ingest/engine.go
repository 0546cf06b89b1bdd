package ingest

import (
	"context"
	"errors"

	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Engine is what keeps the rows, and what barrier, retention, damage and rebuilding are
// made with. There are two: one process of ours, kept by its files (Kept), and a cluster
// that others run, kept by what each of its nodes can be asked for (Clustered).
type Engine interface {
	Process
	Rows() Rows
	Days
}

// Process is whether the engine serves. It counts starts: what was given to one that was
// started again since is not known to be there.
type Process interface {
	State() keeper.State
	// Wait returns the state once the engine serves and was started more than `after` times,
	// or the error of ctx.
	Wait(ctx context.Context, after uint64) (keeper.State, error)
	// Mended says that what was behind the last barrier is deleted.
	Mended(ctx context.Context, s keeper.State) error
}

// Rows are given, asked for and deleted. *vlogs.Client and *cluster.Client are such.
type Rows interface {
	Writer
	Durable
	Query(ctx context.Context, q vlogs.Query, each func(row []vlogs.Field) error) error
	// Days are those that may have rows, as dayFormat has them, oldest first.
	Days(ctx context.Context) ([]string, error)
}

// Writer changes what there is.
type Writer interface {
	Insert(ctx context.Context, rows *vlogs.Rows) error
	// TakesRows gives none.
	TakesRows(ctx context.Context) error
	Delete(ctx context.Context, filter string) error
}

// Durable is what makes rows outlast a crash, and counts those that were thrown away.
type Durable interface {
	// Barrier is called while nobody inserts.
	Barrier(ctx context.Context) error
	Metrics(ctx context.Context) (map[string]float64, error)
}

// Days are what retention removes, and what damage has set aside.
type Days interface {
	Days() ([]keeper.Day, error)
	Remove(ctx context.Context, day string) error
	Rebuilt(folder string) error
}

// kept is an engine of one process.
type kept struct{ *keeper.Keeper }

// Kept is the engine that package keeper runs.
func Kept(k *keeper.Keeper) Engine { return kept{k} }

// Rows implements Engine.
func (k kept) Rows() Rows { return k.Client() }

// errOptions says what New needs.
var errOptions = errors.New("feed the store: engine, source and path are required")
