package answers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// defaultRows is how many rows an answer of Rows has at most, unless it is asked for
// others.
const defaultRows = 10_000

// messageBytes is about how large one message of a stream is.
const messageBytes = 256 << 10

// Rows runs a query with pipes. Its rows come after the engine has given all of them:
// a client that takes them slowly keeps nothing of the engine.
func (s *Service) Rows(req *pb.RowsRequest, stream grpc.ServerStreamingServer[pb.RowsResponse]) error {
	began := time.Now()
	ctx, end, err := s.begin(stream.Context(), heavy)
	if err != nil {
		return err
	}
	defer end()
	parsed, err := logsql.Parse(req.GetQuery())
	if err != nil {
		return badQuery(err)
	}
	asked := rangeOf(req.GetSince(), req.GetUntil())
	if err := asked.turned(); err != nil {
		return err
	}
	q, err := s.inWords(ctx, "", asked)
	if err != nil {
		return s.closing(err)
	}
	if err := s.afford(ctx, q, costs{parsed.Costly(), parsed.Sieve()}); err != nil {
		return s.closing(err)
	}
	q.readings = mayFindReadings(nil, parsed.MayFind)
	limit := limitOf(req.GetLimit(), defaultRows, int(s.o.Limits.Rows))
	t, lacks, err := s.table(ctx, q, parsed, limit)
	if err != nil {
		return s.closing(err)
	}
	t.arrange(req.GetQuery())
	more, err := s.lacks(ctx, q)
	if err != nil {
		return s.closing(err)
	}
	return t.send(stream, &pb.RowsResponse{
		Lacks: append(lacks, more...), Took: durationpb.New(time.Since(began)), CompleteToOffset: q.next, Thinned: s.thinned(q),
	})
}

// mostColumns is how many columns a table has at most: each is sent with every row, and
// labels that are unpacked to columns may have any number of names.
const mostColumns = 1000

// errColumns ends a query whose rows have more columns.
var errColumns = status.Errorf(codes.ResourceExhausted,
	"the rows have more than %d columns: name those you need (| fields …), or unpack fewer fields", mostColumns)

// table is the answer to a query with pipes.
type table struct {
	fields []string
	column map[string]int // of a field
	rows   [][]cell
}

// cell is a value that is set. The rows of a table may have few fields in common.
type cell struct {
	column int
	value  string
}

// table asks for all rows, at most limit.
func (s *Service) table(ctx context.Context, q *question, parsed *logsql.Query, limit int) (*table, []*pb.Lack, error) {
	t, whole := &table{}, q.whole()
	if whole.empty() {
		return t, nil, nil
	}
	text := parsed.Engine()
	if !parsed.Pipes() || !fieldsPipe().MatchString(parsed.String()) {
		text += withoutStreams // which would take the order of listed fields away
	}
	err := s.ask(ctx, vlogs.Query{
		Text: text, Start: time.Unix(0, whole.since), End: time.Unix(0, whole.until), Limit: limit, Filter: q.stored(),
	}, t.add)
	switch {
	case errors.Is(err, vlogs.ErrLimit):
		return t, []*pb.Lack{{Place: placeLimit, Reason: fmt.Sprintf("there are more rows than the %d that are shown: sort them, or ask for more", limit)}}, nil
	case errors.Is(err, errTooLarge):
		return nil, nil, status.Errorf(codes.ResourceExhausted, "the rows take more than %d MiB: name fewer fields, or ask for fewer rows", s.o.Limits.Bytes>>20)
	}
	return t, nil, err
}

// add adds a row, whose fields may be others than those of the rows before.
func (t *table) add(fields []vlogs.Field) error {
	row := make([]cell, 0, len(fields))
	for i, f := range fields {
		if f.Name == "_stream" || f.Name == "_stream_id" {
			continue
		}
		at, known := i, i < len(t.fields) && t.fields[i] == f.Name
		if !known {
			at, known = t.column[f.Name]
		}
		if !known {
			at = len(t.fields)
			if at == mostColumns {
				return errColumns
			}
			if t.column == nil {
				t.column = map[string]int{}
			}
			name := strings.Clone(f.Name)
			t.fields, t.column[name] = append(t.fields, name), at
		}
		row = append(row, cell{at, strings.Clone(f.Value)})
	}
	t.rows = append(t.rows, row)
	return nil
}

// send sends the table, and last with its last rows.
func (t *table) send(stream grpc.ServerStreamingServer[pb.RowsResponse], last *pb.RowsResponse) error {
	part := &pb.RowsResponse{Fields: t.fields}
	bytes := 0
	for _, row := range t.rows {
		values := make([]string, len(t.fields))
		for _, c := range row {
			values[c.column] = c.value
			bytes += len(c.value)
		}
		bytes += 4 * len(values)
		if part.Rows = append(part.Rows, &pb.Row{Values: values}); bytes >= messageBytes {
			if err := stream.Send(part); err != nil {
				return err //nolint:wrapcheck // gRPC's own, to gRPC
			}
			part, bytes = &pb.RowsResponse{}, 0
		}
	}
	last.Fields, last.Rows = part.GetFields(), part.GetRows()
	return stream.Send(last) //nolint:wrapcheck // gRPC's own, to gRPC
}
