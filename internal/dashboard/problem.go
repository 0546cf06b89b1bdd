package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Problem is an error as RFC 9457 writes it.
type Problem struct { //nolint:errname // what RFC 9457 calls it
	Title  string `json:"title" doc:"The kind of problem, in words."`
	Status int    `json:"status" doc:"The HTTP status."`
	Detail string `json:"detail,omitempty" doc:"What went wrong, and what to do."`
	// QueryPosition is where a query has its fault.
	QueryPosition *int `json:"query_position,omitempty" doc:"Where the query has its fault, in UTF-16 units from 0."`

	// Mend is what was probably meant.
	Mend *Mend `json:"query_mend,omitempty" doc:"What was probably meant in the place of a part of the query."`

	// Away is set where a part of the system is, without which the rest goes on.
	Away string `json:"away,omitempty" enum:"store" doc:"What does not answer, where that is not the hub."`

	retryAfter time.Duration
}

// Mend replaces a part of a query.
type Mend struct {
	From int    `json:"from" doc:"Where the part begins, in UTF-16 units from 0."`
	To   int    `json:"to" doc:"Where it ends."`
	Text string `json:"text" doc:"What to write there."`
}

// Error makes a Problem an error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is what huma asks an error for.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is what huma asks a body for.
func (*Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders is what huma asks an error for.
func (p *Problem) GetHeaders() http.Header {
	if p.retryAfter <= 0 {
		return nil
	}
	seconds := int(math.Ceil(p.retryAfter.Seconds()))
	return http.Header{"Retry-After": {strconv.Itoa(seconds)}}
}

func problem(code int, detail string) *Problem {
	return &Problem{Title: http.StatusText(code), Status: code, Detail: detail}
}

// withoutValues takes what a client sent out of the faults of its request: it may
// be a password, and its place is named anyway.
func withoutValues(_ huma.Context, _ string, body any) (any, error) {
	if faults, ok := body.(*huma.ErrorModel); ok {
		for _, fault := range faults.Errors {
			fault.Value = nil
		}
	}
	return body, nil
}

// write answers a request that huma does not see.
func (p *Problem) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	// A client that has gone needs no answer.
	_ = json.NewEncoder(w).Encode(p)
}

// hubRetry is when to try again after the hub was not there.
const hubRetry = 2 * time.Second

// isUnreachable says that an error means no answer from the hub.
func isUnreachable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// hubProblem turns an error of the hub into what a person is told.
func (s *Server) hubProblem(err error) *Problem {
	if own, ok := errors.AsType[*Problem](err); ok {
		return own
	}
	st := status.Convert(err)
	code := http.StatusBadGateway
	switch st.Code() {
	case codes.InvalidArgument, codes.OutOfRange:
		code = http.StatusBadRequest
	case codes.NotFound:
		code = http.StatusNotFound
	case codes.FailedPrecondition, codes.AlreadyExists:
		code = http.StatusConflict
	case codes.Unauthenticated:
		code = http.StatusUnauthorized
	case codes.PermissionDenied:
		code = http.StatusForbidden
	case codes.ResourceExhausted:
		p := problem(http.StatusTooManyRequests, st.Message())
		p.retryAfter = retryDelay(st)
		return p
	case codes.Canceled:
		return problem(http.StatusServiceUnavailable, "the request was given up")
	case codes.DeadlineExceeded:
		return problem(http.StatusGatewayTimeout, "the hub took too long: "+st.Message())
	case codes.Unavailable:
		p := problem(http.StatusServiceUnavailable, st.Message())
		if connected, _, _ := s.hub.state(); !connected {
			p.Detail = s.hub.reason()
		}
		p.retryAfter = hubRetry
		return p
	case codes.Internal, codes.Unknown:
		s.o.Logger.Warn("hub request failed", "error", err)
	}
	return problem(code, st.Message())
}

func retryDelay(st *status.Status) time.Duration {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return time.Second
}
