package dashboard_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestExportParquet: a whole export is a file that opens, with columns for what events
// of the range have; one that is broken off is none.
func TestExportParquet(t *testing.T) {
	whole := true
	st := &scriptedStore{names: &pb.FieldNamesResponse{Fields: []*pb.FacetValue{{Value: "process.name", Count: 2}, {Value: "time", Count: 2}}}}
	st.export = func(_ *pb.ExportRequest, stream grpc.ServerStreamingServer[pb.ExportResponse]) error {
		if err := stream.Send(&pb.ExportResponse{Events: storedEvents(t, "nginx", "bash"), Expected: 2}); err != nil {
			return err
		}
		if !whole {
			return status.Error(codes.Unavailable, "the engine ended")
		}
		return stream.Send(&pb.ExportResponse{Done: true})
	}
	s, _ := newStoreSite(t, st)
	c := s.signedIn(t, "viewer")
	resp := c.send("GET", "/api/events/export?format=parquet&since=1h", nil)
	file, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || resp.Trailer.Get("Export-State") != "complete" || resp.Header.Get("Content-Type") != "application/vnd.apache.parquet" {
		t.Fatalf("%s, %v, %v", resp.Status, err, resp.Trailer)
	}
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil || f.NumRows() != 2 {
		t.Fatalf("%v", err)
	}
	if _, ok := f.Schema().Lookup("process.name"); !ok || len(f.Schema().Fields()) != 7 {
		t.Errorf("columns %s", f.Schema())
	}
	whole = false
	resp = c.send("GET", "/api/events/export?format=parquet&since=1h", nil)
	file, err = io.ReadAll(resp.Body)
	resp.Body.Close()
	if !errors.Is(err, io.ErrUnexpectedEOF) && err == nil {
		t.Errorf("broken off: read to its end, %v", err)
	}
	if _, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file))); err == nil {
		t.Error("an export that was broken off opens")
	}
}
