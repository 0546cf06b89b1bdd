package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// prometheusPrefix is what the address of Prometheus' HTTP API begins with, for Grafana
// and promtool: they are given the address of the dashboard with /prometheus.
const prometheusPrefix = "/prometheus/api/v1/"

// maxQuestion bounds the body of a question about metrics, in bytes.
const maxQuestion = 100 << 10

// prometheus passes a question on to the store, and its answer back as it comes. Who asks
// is a session, or a name and a password with each request, as Grafana sends them.
func (s *Server) prometheus(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		prometheusError(w, problem(http.StatusMethodNotAllowed, "ask by GET or POST"))
		return
	}
	found, refusal := s.askerOf(r)
	if refusal != nil {
		prometheusError(w, refusal)
		return
	}
	noteUser(r.Context(), found.user)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
	if err != nil {
		prometheusError(w, problem(http.StatusBadRequest, fmt.Sprintf("read the question: %v", err)))
		return
	}
	ctx := forUser(context.WithValue(r.Context(), sessionKey{}, found))
	stream, err := s.hub.store.metrics.Prometheus(ctx, &pb.PrometheusRequest{
		Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, prometheusPrefix), Query: r.URL.RawQuery, Body: body,
	})
	var first *pb.PrometheusResponse
	if err == nil {
		first, err = stream.Recv() // so that what is wrong has a status
	}
	if err != nil {
		prometheusError(w, s.storeProblem(err))
		return
	}
	relayAnswer(w, first, stream)
}

// relayAnswer writes an answer while it comes. One that breaks off must not pass for
// whole: it cuts the connection.
func relayAnswer(w http.ResponseWriter, part *pb.PrometheusResponse, stream grpc.ServerStreamingClient[pb.PrometheusResponse]) {
	w.Header().Set("Content-Type", cmp.Or(part.GetContentType(), "application/json"))
	if part.GetStatus() == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(max(int(part.GetStatus()), http.StatusOK))
	var flush func() error
	for {
		if _, err := w.Write(part.GetChunk()); err != nil {
			return // the caller has left
		}
		next, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			panic(http.ErrAbortHandler)
		}
		if flush == nil { // a short answer goes out at once, with its length
			flush = unhurried(w)
		}
		if flush() != nil {
			return // the caller has left
		}
		part = next
	}
}

// askerOf is the session of whoever asks, by their cookie or by name and password. A
// page elsewhere cannot have a browser send the latter, since nobody is asked for them, so
// that a POST with them needs no token against forged requests.
func (s *Server) askerOf(r *http.Request) (session, *Problem) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return s.authorise(r.Context(), r, access{role: pb.Role_ROLE_VIEWER})
	}
	found, err := s.basicSession(r, name, password)
	switch {
	case status.Code(err) == codes.Unauthenticated:
		return session{}, problem(http.StatusUnauthorized, "wrong name or password")
	case err != nil:
		return session{}, s.hubProblem(err)
	case found.stale:
		return session{}, s.hubProblem(status.Error(codes.Unavailable, "no connection"))
	}
	s.vouch(r, found.user)
	return found, nil
}

// prometheusError answers with an error as Prometheus' API has them.
func prometheusError(w http.ResponseWriter, p *Problem) {
	kind := "internal"
	switch p.Status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed:
		kind = "bad_data"
	case http.StatusUnauthorized:
		kind = "unauthorized"
	case http.StatusForbidden:
		kind = "forbidden"
	case http.StatusTooManyRequests:
		kind = "too_many_requests"
	case http.StatusGatewayTimeout:
		kind = "timeout"
	case http.StatusServiceUnavailable:
		kind = "unavailable"
	}
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	// A client that has gone needs no answer.
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": kind, "error": p.Detail})
}
