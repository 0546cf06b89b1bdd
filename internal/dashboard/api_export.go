package dashboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/limit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const exportPath = "/api/events/export"

// exportDescription is what callers must know of an export that ends early.
const exportDescription = "For role viewer and up. Every event that matches, oldest first, as a file. " +
	"The answer streams for as long as it takes, and the search ends when the caller leaves. " +
	"An export is whole when its trailer Export-State says complete; Export-Events counts its events and Export-Lacks has, " +
	"as JSON, what the store knows to be missing. One that breaks off ends with a last line that says so " +
	"(in CSV \"# export broken off…\", in Parquet no footer, so that nothing opens it, else {\"export_error\":…}), and its connection is cut, so that browsers and curl report a failed download."

type exportInput struct {
	Format  string   `query:"format" default:"jsonl" enum:"csv,jsonl,ndjson-ecs,ocsf,parquet" doc:"jsonl has one flat object a line by the names of docs/events.md, ndjson-ecs and ocsf the same by theirs, parquet typed columns by the names of docs/events.md."`
	Query   string   `query:"query" maxLength:"16384" doc:"In the language of docs/query.md."`
	Without string   `query:"without" maxLength:"128" doc:"A type of event to leave out, such as process.sample."`
	Since   string   `query:"since" required:"true" maxLength:"64" doc:"RFC 3339, or how long ago: 15m, 24h, 7d."`
	Until   string   `query:"until" maxLength:"64" doc:"RFC 3339, or how long ago."`
	Limit   uint64   `query:"limit" doc:"At most so many events; 0 for all."`
	Columns []string `query:"columns" maxItems:"128" doc:"Of CSV: offset, logged_time, message and names of docs/events.md. Of Parquet: those that get a column of their own; without, all that events of the range have."`
}

// Bounds on exports under way: all together, and of one user. Each is a stream of
// the store that may take minutes.
const (
	maxExports      = 16
	maxExportsOfOne = 3
)

// exportEvents answers GET /api/events/export.
func (s *Server) exportEvents(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	asked, err := s.question(in.Query, in.Without, in.Since, in.Until)
	if err != nil {
		return nil, err
	}
	slot, err := s.exportSlots.Take(limit.Claim{Key: sessionOf(ctx).user, Known: true, Most: maxExportsOfOne})
	if err != nil {
		p := problem(http.StatusTooManyRequests, fmt.Sprintf(
			"%d exports run already, %d at most of one user: wait for one to end, or cancel it", maxExports, maxExportsOfOne))
		if errors.Is(err, limit.ErrShare) {
			p.Detail = fmt.Sprintf("you have %d exports under way, which is the most: wait for one to end, or cancel it", maxExportsOfOne)
		}
		p.retryAfter = storeRetry
		return nil, p
	}
	ctx, cancel := context.WithCancel(ctx)
	end := func() { cancel(); slot.Release() }
	if in.Format == "parquet" && len(in.Columns) == 0 {
		in.Columns = s.presentFields(ctx, asked)
	}
	stream, err := s.stored().Export(ctx, &pb.ExportRequest{Filter: asked.filter, Since: asked.since, Until: asked.until, Limit: in.Limit})
	var first *pb.ExportResponse
	if err == nil {
		first, err = stream.Recv() // so that what is wrong has a status
	}
	if err != nil && !errors.Is(err, io.EOF) {
		end()
		return nil, s.storeProblem(err)
	}
	name := "amoskys-events-" + s.o.Now().UTC().Format("2006-01-02T150405") + "." + exportEnding[in.Format]
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer end()
		hc.SetHeader("Content-Type", exportTypes[in.Format])
		hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
		hc.SetHeader("Trailer", "Export-State, Export-Events, Export-Lacks, Export-Thinned")
		if n := first.GetExpected(); n > 0 {
			hc.SetHeader("Export-Expected", strconv.FormatUint(n, 10))
		}
		_, w := humago.Unwrap(hc)
		s.relayExport(ctx, w, newExportWriter(in, w), first, stream)
	}}, nil
}

//nolint:gochecknoglobals // constant tables
var (
	exportEnding = map[string]string{"csv": "csv", "jsonl": "jsonl", "ndjson-ecs": "ecs.ndjson", "ocsf": "ocsf.jsonl", "parquet": "parquet"}
	exportTypes  = map[string]string{
		"csv": "text/csv; charset=utf-8; header=present", "jsonl": "application/jsonl", "ndjson-ecs": "application/x-ndjson", "ocsf": "application/jsonl",
		"parquet": "application/vnd.apache.parquet",
	}
)

// presentFields are the fields that events of an export have; none where nobody knows,
// which means all. What events have beside them is exported as well, in one column.
func (s *Server) presentFields(ctx context.Context, asked question) []string {
	ctx, cancel := askStored(ctx)
	defer cancel()
	counts, err := s.countNames(ctx, &pb.FieldNamesRequest{Filter: asked.filter, Since: asked.since, Until: asked.until})
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(counts))
}

// relayExport writes what comes until it is whole, the caller leaves or the store
// breaks off. It panics with http.ErrAbortHandler for the last, which cuts the
// connection.
func (s *Server) relayExport(
	ctx context.Context, w http.ResponseWriter, out exportWriter, part *pb.ExportResponse, stream grpc.ServerStreamingClient[pb.ExportResponse],
) {
	flush := unhurried(w)
	var events uint64
	lacks := []Lack{}
	err := out.begin()
	for err == nil && part != nil {
		for _, e := range part.GetEvents() {
			if err = out.event(e); err != nil {
				break
			}
			events++
		}
		lacks = append(lacks, newLacks(part.GetLacks())...)
		if err = errors.Join(err, out.flush(), flush()); err != nil {
			return // the caller has left
		}
		if part.GetDone() {
			if errors.Join(out.end(), flush()) == nil {
				endExport(w, events, lacks, part.GetThinned())
			}
			return
		}
		if part, err = stream.Recv(); errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // it has said nothing of being done
		}
	}
	if err == nil {
		err = io.ErrUnexpectedEOF // nothing came at all
	}
	if ctx.Err() != nil {
		return // the caller has left
	}
	why := fmt.Sprintf("export broken off after %d events at %s: %s", events, s.o.Now().UTC().Format(time.RFC3339), exportReason(err, s))
	// What cannot be written is missing anyway, and the cut says so.
	_ = errors.Join(out.brokenOff(why), out.flush(), flush())
	panic(http.ErrAbortHandler)
}

func exportReason(err error, s *Server) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "the store ended the answer early; export again, or a shorter time range"
	}
	return s.storeProblem(err).Detail
}
