package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/amoskys/amoskys/internal/devices/tell"
	"github.com/amoskys/amoskys/internal/limit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// deviceExportDescription is what callers must know of an export that ends early.
const deviceExportDescription = "For role viewer and up. Every device that matches, as a file that comes as it is read: CSV with what people say of each, " +
	"JSON with one object of GET /api/devices a line, or nmap's XML. One that breaks off has its connection cut, so that browsers and curl report a failed download."

type exportDevicesInput struct {
	Format string `query:"format" default:"csv" enum:"csv,json,nmap-xml"`
	Filter string `query:"filter" maxLength:"1024" doc:"As of GET /api/devices."`
	MarkChoice
}

// deviceFile writes one form of export.
type deviceFile interface {
	Begin() error
	Device(*pb.KnownDevice, *pb.DeviceMark) error
	Flush() error
	End() error
}

// jsonDevices writes one object a line.
type jsonDevices struct {
	enc   *json.Encoder
	marks tell.Marks
}

// Begin implements deviceFile.
func (jsonDevices) Begin() error { return nil }

// Device implements deviceFile.
func (j jsonDevices) Device(k *pb.KnownDevice, _ *pb.DeviceMark) error {
	return j.enc.Encode(newDevice(k, j.marks))
}

// Flush implements deviceFile.
func (jsonDevices) Flush() error { return nil }

// End implements deviceFile.
func (jsonDevices) End() error { return nil }

// devicesAtOnce is how many devices an export asks for at once.
const devicesAtOnce = 1000

// exportDevices answers GET /api/devices/export.
func (s *Server) exportDevices(ctx context.Context, in *exportDevicesInput) (*huma.StreamResponse, error) {
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
	marks, lack := s.readMarks(ctx)
	filter, by, err := in.split(in.Filter)
	req := &pb.ListDevicesRequest{Filter: filter, Limit: devicesAtOnce}
	var first *pb.ListDevicesResponse
	switch {
	case err != nil:
	case lack != "" && by.chooses():
		err = problem(http.StatusServiceUnavailable, lack)
	default:
		if first, err = s.pageOfDevices(ctx, req); err != nil { // so that what is wrong has a status
			err = s.storeProblem(err)
		}
	}
	if err != nil {
		slot.Release()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer slot.Release()
		ending, kind := "csv", "text/csv; charset=utf-8; header=present"
		switch in.Format {
		case "json":
			ending, kind = "jsonl", "application/jsonl"
		case "nmap-xml":
			ending, kind = "xml", "application/xml"
		}
		hc.SetHeader("Content-Type", kind)
		hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=%q",
			"amoskys-devices-"+s.o.Now().UTC().Format("2006-01-02T150405")+"."+ending))
		_, w := humago.Unwrap(hc)
		s.relayDevices(ctx, w, s.deviceFile(in.Format, w, marks), first, req, by, marks)
	}}, nil
}

func (s *Server) deviceFile(format string, w io.Writer, marks tell.Marks) deviceFile {
	switch format {
	case "json":
		return jsonDevices{json.NewEncoder(w), marks}
	case "nmap-xml":
		return tell.NewNmapXML(w, s.o.Now())
	}
	return tell.NewCSV(w)
}

func (s *Server) pageOfDevices(ctx context.Context, req *pb.ListDevicesRequest) (*pb.ListDevicesResponse, error) {
	ctx, cancel := askStored(ctx)
	defer cancel()
	return s.hub.store.devices.ListDevices(ctx, req)
}

// relayDevices writes page after page. It panics with http.ErrAbortHandler where the
// store breaks off, which cuts the connection.
func (s *Server) relayDevices(
	ctx context.Context, w http.ResponseWriter, out deviceFile, page *pb.ListDevicesResponse, req *pb.ListDevicesRequest,
	by choice, marks tell.Marks,
) {
	flush := unhurried(w)
	seen := map[string]bool{} // a device that is seen anew between two pages comes once
	err := out.Begin()
	for err == nil {
		for _, k := range page.GetDevices() {
			mark := marks.Of(k.GetDevice())
			if seen[k.GetDevice().GetUid()] || !by.takes(mark) {
				continue
			}
			seen[k.GetDevice().GetUid()] = true
			if err = out.Device(k, mark); err != nil {
				return // the caller has left
			}
		}
		if errors.Join(out.Flush(), flush()) != nil {
			return // the caller has left
		}
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			// Whoever has left misses nothing.
			_ = errors.Join(out.End(), out.Flush(), flush())
			return
		}
		if page, err = s.pageOfDevices(ctx, req); err != nil && ctx.Err() == nil {
			panic(http.ErrAbortHandler)
		}
	}
}
