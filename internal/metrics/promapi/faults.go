package promapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/prometheus/promql"
)

// kind is a kind of error: the word that Prometheus' API has for it, and the HTTP status.
type kind struct {
	word   string
	status int
}

// statusClientClosed is what nginx, and Prometheus after it, answer when the client has
// gone: nobody reads it but access logs.
const statusClientClosed = 499

// The kinds of errors. Words are those of Prometheus' API, but for too_many_requests,
// which it does not have, and which Mimir's has.
//
//nolint:gochecknoglobals // constants
var (
	kindBadData     = kind{"bad_data", http.StatusBadRequest}
	kindExecution   = kind{"execution", http.StatusUnprocessableEntity}
	kindCost        = kind{"cost_limit", http.StatusUnprocessableEntity}
	kindTimeout     = kind{"timeout", http.StatusServiceUnavailable}
	kindCanceled    = kind{"canceled", statusClientClosed}
	kindUnavailable = kind{"unavailable", http.StatusServiceUnavailable}
	kindInternal    = kind{"internal", http.StatusInternalServerError}
	kindNotFound    = kind{"not_found", http.StatusNotFound}
	kindMethod      = kind{"bad_data", http.StatusMethodNotAllowed}
	kindTooMany     = kind{"too_many_requests", http.StatusTooManyRequests}
)

// fault is an error that a caller is told.
type fault struct {
	kind kind
	err  error
}

func (f *fault) Error() string { return f.err.Error() }

// Unwrap gives the cause.
func (f *fault) Unwrap() error { return f.err }

// faultf makes a fault, with the verbs of fmt.Errorf.
func faultf(k kind, format string, args ...any) error {
	return &fault{k, fmt.Errorf(format, args...)}
}

// badParameter is a parameter that cannot be read, in Prometheus' words.
func badParameter(name string, err error) error {
	return faultf(kindBadData, "invalid parameter %q: %w", name, err)
}

// faultOf is an error of the engine or the database; doing says where there is nothing
// else to say.
func (a *API) faultOf(err error, doing string) error {
	if a.o.IsAway(err) {
		return &fault{kindUnavailable, err}
	}
	return faultOf(err, doing)
}

// faultOf is an error of the engine, or the end of a question.
func faultOf(err error, doing string) error {
	var (
		known    *fault
		canceled promql.ErrQueryCanceled
		timeout  promql.ErrQueryTimeout
		stored   promql.ErrStorage
	)
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &canceled):
		return &fault{kindCanceled, err}
	case errors.As(err, &timeout):
		return &fault{kindTimeout, err}
	case errors.Is(err, context.Canceled):
		return faultf(kindCanceled, "the question was given up while %s: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded):
		return faultf(kindTimeout, "the time for the question ran out while %s: %w", doing, err)
	case errors.As(err, &stored):
		return &fault{kindInternal, err}
	}
	return &fault{kindExecution, err}
}

// refused is the body of an error.
type refused struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
}

// refuse answers with an error.
func (a *API) refuse(w http.ResponseWriter, err error) {
	var f *fault
	if !errors.As(err, &f) {
		f = &fault{kindInternal, err}
	}
	a.asked.WithLabelValues(f.kind.word).Inc()
	if f.kind == kindInternal {
		a.o.Logger.Warn("a question about metrics failed", "error", err)
	}
	if f.kind == kindTooMany {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.kind.status)
	// Who has gone needs no answer.
	_ = json.NewEncoder(w).Encode(refused{Status: "error", ErrorType: f.kind.word, Error: f.Error()})
}
