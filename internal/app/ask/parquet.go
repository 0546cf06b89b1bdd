package ask

import (
	"context"
	"io"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/parquet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// parquetPrinter writes a Parquet file.
type parquetPrinter struct {
	w    io.Writer
	file *parquet.Writer // nil before the columns are known
}

func newParquetPrinter(e *cli.Env) (*parquetPrinter, error) {
	if _, _, terminal := cli.Terminal(e.Stdout); terminal {
		return nil, cli.Usagef("Parquet is for programs to read: write it to a file, as in --format parquet > events.parquet")
	}
	return &parquetPrinter{w: e.Stdout}, nil
}

// begin chooses columns: those that were asked for, else all that events which match
// have, else all there are. What an event has beside them is written as well.
func (p *parquetPrinter) begin(ctx context.Context, a *asker) {
	names := a.o.Fields
	if len(names) == 0 {
		found, err := patient(ctx, a, func(ctx context.Context) (*pb.FieldNamesResponse, error) {
			return a.store.Query.FieldNames(ctx, &pb.FieldNamesRequest{Filter: &pb.Filter{Query: a.o.Query}, Since: a.since, Until: a.until})
		})
		if err == nil {
			for _, f := range found.GetFields() {
				names = append(names, f.GetValue())
			}
		}
	}
	p.file = parquet.NewWriter(p.w, parquet.Fields(names))
}

func (p *parquetPrinter) event(e *pb.StoredEvent) error { return p.file.Write(e) }

func (*parquetPrinter) rows([]string, []*pb.Row) error {
	return cli.Usagef("--format parquet is of events: for the rows of a query with pipes use csv or json")
}

func (*parquetPrinter) flush() error { return nil }

// end writes the footer of a whole file: without it nothing opens it.
func (p *parquetPrinter) end(whole bool) error {
	if !whole || p.file == nil {
		return nil
	}
	return p.file.Close()
}
