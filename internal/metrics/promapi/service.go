package promapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Service is an API over gRPC: the call of a dashboard or a command that stands for an
// HTTP request.
type Service struct {
	pb.UnimplementedMetricsServer

	api http.Handler
}

var _ pb.MetricsServer = (*Service)(nil)

// NewService returns the service of an API.
func NewService(api http.Handler) *Service { return &Service{api: api} }

// Prometheus implements pb.MetricsServer.
func (s *Service) Prometheus(req *pb.PrometheusRequest, stream grpc.ServerStreamingServer[pb.PrometheusResponse]) (err error) {
	ctx := stream.Context()
	asked := &http.Request{
		Method: req.GetMethod(), URL: &url.URL{Path: Prefix + req.GetPath(), RawQuery: req.GetQuery()}, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(req.GetBody())), ContentLength: int64(len(req.GetBody())),
	}
	if len(req.GetBody()) > 0 {
		asked.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := &streamWriter{stream: stream, header: http.Header{}, status: http.StatusOK}
	defer func() {
		cause := recover()
		if failed, ok := cause.(error); ok && errors.Is(failed, http.ErrAbortHandler) {
			err = status.Error(codes.Aborted, "the answer was broken off")
			if ctx.Err() != nil {
				err = status.FromContextError(ctx.Err()).Err()
			}
			return
		}
		if cause != nil {
			panic(cause) // which whoever serves turns into an error, and logs
		}
	}()
	s.api.ServeHTTP(w, asked.WithContext(ctx))
	if !w.begun {
		_, err = w.Write(nil)
	}
	return err
}

// streamWriter sends an answer in parts.
type streamWriter struct {
	stream grpc.ServerStreamingServer[pb.PrometheusResponse]
	header http.Header
	status int
	begun  bool
}

var _ http.ResponseWriter = (*streamWriter)(nil)

// Header implements http.ResponseWriter.
func (w *streamWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *streamWriter) WriteHeader(code int) {
	if !w.begun {
		w.status = code
	}
}

// maxChunk bounds a part, in bytes.
const maxChunk = 64 << 10

// Write implements http.ResponseWriter.
func (w *streamWriter) Write(data []byte) (int, error) {
	written := 0
	for len(data) > 0 || !w.begun {
		n := min(len(data), maxChunk)
		part := &pb.PrometheusResponse{Chunk: data[:n]}
		if !w.begun {
			part.Status, part.ContentType, w.begun = uint32(w.status), w.header.Get("Content-Type"), true
		}
		if err := w.stream.Send(part); err != nil {
			return written, fmt.Errorf("send a part of an answer: %w", err)
		}
		data, written = data[n:], written+n
	}
	return written, nil
}
