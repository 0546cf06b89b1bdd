package answers

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	q, err := s.inWords(ctx, "", rangeOf(req.GetSince(), req.GetUntil()))
	if err != nil {
		return s.closing(err)
	}
	if err := s.afford(ctx, q, parsed.Costly()); err != nil {
		return s.closing(err)
	}
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
		Lacks: append(lacks, more...), Took: durationpb.New(time.Since(began)), CompleteToOffset: q.next,
	})
}

// table is the answer to a query with pipes.
type table struct {
	fields []string
	rows   [][]string
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
	}, func(fields []vlogs.Field) error {
		t.add(fields)
		return nil
	})
	switch {
	case errors.Is(err, vlogs.ErrLimit):
		return t, []*pb.Lack{{Place: placeLimit, Reason: fmt.Sprintf("there are more rows than the %d that are shown: sort them, or ask for more", limit)}}, nil
	case errors.Is(err, errTooLarge):
		return nil, nil, status.Errorf(codes.ResourceExhausted, "the rows take more than %d MiB: name fewer fields, or ask for fewer rows", s.o.Limits.Bytes>>20)
	}
	return t, nil, err
}

// add adds a row, whose fields may be others than those of the rows before.
func (t *table) add(fields []vlogs.Field) {
	row := make([]string, len(t.fields), len(t.fields)+len(fields))
	for i, f := range fields {
		at := i
		if at >= len(t.fields) || t.fields[at] != f.Name {
			at = slices.Index(t.fields, f.Name)
		}
		if f.Name == "_stream" || f.Name == "_stream_id" {
			continue
		}
		if at < 0 {
			at = len(t.fields)
			t.fields = append(t.fields, strings.Clone(f.Name))
			row = append(row, "")
		}
		row[at] = strings.Clone(f.Value)
	}
	t.rows = append(t.rows, row)
}

// send sends the table, and last with its last rows.
func (t *table) send(stream grpc.ServerStreamingServer[pb.RowsResponse], last *pb.RowsResponse) error {
	part := &pb.RowsResponse{Fields: t.fields}
	bytes := 0
	for _, values := range t.rows {
		for len(values) < len(t.fields) {
			values = append(values, "")
		}
		for _, v := range values {
			bytes += len(v) + 4
		}
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
