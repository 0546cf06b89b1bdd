package answers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// The engine's own fields, and those by which we find rows again.
const (
	fieldTime    = "_time"
	fieldMessage = "_msg"
	fieldOffset  = "offset"
)

// ask gives the engine one query and calls each with every row, in no order unless
// the query says one. It returns nil only if every row was given out. What the rows
// take together is bounded by Limits.Bytes, and noted in the question's account.
func (s *Service) ask(ctx context.Context, q vlogs.Query, each func(row []vlogs.Field) error) error {
	account, release := s.accountOf(ctx)
	defer release()
	done, err := s.gate.turn(ctx, account.who)
	if err != nil {
		return s.fault(ctx, err)
	}
	defer done()
	if until, ok := ctx.Deadline(); ok {
		q.Timeout = time.Until(until)
	}
	q.Buffer = s.o.Limits.Bytes
	bytes, noted := 0, 0
	err = s.o.Engine.Query(ctx, q, func(row []vlogs.Field) error {
		for i := range row {
			bytes += len(row[i].Name) + len(row[i].Value) + rowFieldBytes
		}
		if bytes > s.o.Limits.Bytes {
			return errTooLarge
		}
		if bytes >= noted+notedAtOnce { // what is less counts for nothing
			if err := account.add(bytes - noted); err != nil {
				return err
			}
			noted = bytes
		}
		return each(row)
	})
	if err == nil {
		err = ctx.Err() // the engine's answer to one who left may look whole
	}
	return s.fault(ctx, err)
}

// rowFieldBytes is what a field takes in memory beside its text.
const rowFieldBytes = 32

// errTooLarge ends a query whose answer does not fit into Limits.Bytes.
var errTooLarge = errors.New("the answer does not fit into memory")

// fault turns what went wrong with the engine into what the caller is told. Errors
// of ours that say what to do about them, such as errTooLarge, it leaves alone.
func (s *Service) fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return status.FromContextError(ctx.Err()).Err()
	case ctx.Err() != nil, errors.Is(err, vlogs.ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		if why := s.o.Away(); why != "" { // it was not the question's fault
			return status.Error(codes.Unavailable, why)
		}
		return status.Errorf(codes.DeadlineExceeded, "the answer took longer than %s: ask for a shorter time, name a field "+
			"instead of searching all of them, or narrow it by type, host or agent", s.o.Limits.Time)
	case errors.Is(err, vlogs.ErrBusy):
		return status.Error(codes.ResourceExhausted, "the store is busy with other queries: ask again in some seconds")
	case errors.Is(err, vlogs.ErrSlow):
		return errTooLarge
	case errors.Is(err, vlogs.ErrAway):
		why := ""
		if store := s.stateOf(); store.GetState() != "ok" && store.GetReason() != "" {
			why = " (" + store.GetReason() + ")"
		}
		return status.Error(codes.Unavailable, "the store's engine is starting again: ask again in some seconds"+why)
	case errors.Is(err, vlogs.ErrBroken):
		return status.Error(codes.Unavailable, "the store's engine ended while it answered, and is started again: ask again in some seconds, "+
			"and for less, a shorter time or fewer values, if the same question ends it again")
	}
	if refused, ok := errors.AsType[*vlogs.RefusedError](err); ok {
		return refusal(refused.Text)
	}
	return err
}

// refusal is what the caller is told of the engine's no.
func refusal(text string) error {
	if i := strings.Index(text, "cannot execute query ["); i >= 0 {
		if j := strings.LastIndex(text, "]: "); j > i {
			text = text[j+3:] // without our rewriting of the query
		}
	}
	if strings.Contains(text, "requires more than") || strings.Contains(text, "memory") {
		return status.Errorf(codes.ResourceExhausted,
			"the query needs more memory than one may have: ask for a shorter time, or group by a field with fewer values (%.300s)", text)
	}
	return status.Errorf(codes.InvalidArgument, "%.600s", text)
}

// closing makes what is left of an error of ask a gRPC status.
func (s *Service) closing(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge):
		return status.Errorf(codes.ResourceExhausted, "the answer is larger than %d MiB: ask for a shorter time or fewer rows", s.o.Limits.Bytes>>20)
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Errorf(codes.Internal, "answer: %v", err)
}

// value returns a field of a row.
func value(row []vlogs.Field, name string) string {
	for i := range row {
		if row[i].Name == name {
			return row[i].Value
		}
	}
	return ""
}

// number reads a field that must be a whole number.
func number(row []vlogs.Field, name string) (uint64, error) {
	n, err := strconv.ParseUint(value(row, name), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the store's engine gives %q as %s", value(row, name), name)
	}
	return n, nil
}

// instant reads a field that must be a time.
func instant(row []vlogs.Field, name string) (int64, error) {
	at, err := time.Parse(time.RFC3339Nano, value(row, name))
	if err != nil {
		return 0, fmt.Errorf("the store's engine gives %q as %s", value(row, name), name)
	}
	return at.UnixNano(), nil
}

// quoted writes text as a string of LogsQL.
func quoted(text string) string { return strconv.Quote(text) }

// stamp writes a time as LogsQL reads it.
func stamp(at int64) string { return time.Unix(0, at).UTC().Format("2006-01-02T15:04:05.000000000Z") }
