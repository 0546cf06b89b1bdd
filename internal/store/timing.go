package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// timing measures how long questions take. Exemplars of the histogram name one of each
// bucket, and those that took long are in the log under the same name, with who asked what.
type timing struct {
	of     map[string]*obs.Traced // by method
	logger *slog.Logger
	now    func() time.Time
}

// slowQuestion is from which time on a question is logged, and maxAsked how many bytes of
// what was asked.
const (
	slowQuestion = time.Second
	maxAsked     = 500
)

func newTiming(r prometheus.Registerer, logger *slog.Logger, now func() time.Time) (*timing, error) {
	t := &timing{of: map[string]*obs.Traced{}, logger: logger, now: now}
	var err error
	for _, service := range []grpc.ServiceDesc{pb.Query_ServiceDesc, pb.Metrics_ServiceDesc, pb.Devices_ServiceDesc} {
		names := make([]string, 0, len(service.Methods)+len(service.Streams))
		for _, m := range service.Methods {
			names = append(names, m.MethodName)
		}
		for _, s := range service.Streams {
			names = append(names, s.StreamName)
		}
		for _, name := range names {
			h := obs.NewTraced(prometheus.HistogramOpts{
				Name: "amoskys_store_question_seconds", Help: "Time to answer a question, until its client had taken the answer, by call.",
				ConstLabels: prometheus.Labels{"call": name},
				Buckets:     []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
			})
			t.of["/"+service.ServiceName+"/"+name] = h
			err = errors.Join(err, r.Register(h))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return t, nil
}

// begin is told of a question, and returns what is to be called at its end with what was
// asked.
func (t *timing) begin(ctx context.Context, method string) (end func(asked any)) {
	h := t.of[method]
	if h == nil {
		return func(any) {}
	}
	began := t.now()
	return func(asked any) {
		now := t.now()
		took := now.Sub(began)
		h.ObserveAs(took.Seconds(), now, func() prometheus.Labels {
			var b [8]byte
			_, _ = rand.Read(b[:]) // never fails
			id := hex.EncodeToString(b[:])
			if took >= slowQuestion {
				t.logger.InfoContext(ctx, "a question took long", "question", id, obs.KeyMethod, path.Base(method), obs.KeyDuration, took.Round(time.Millisecond),
					obs.KeyIdentity, CallerOf(ctx).Key(), "asked", askedText(asked))
			}
			return prometheus.Labels{"question": id}
		})
	}
}

// askedText is what a request asks, cut, for the log.
func askedText(request any) string {
	text := ""
	switch r := request.(type) {
	case *pb.PrometheusRequest:
		text = strings.Join([]string{r.GetPath(), r.GetQuery(), string(r.GetBody())}, " ")
	case interface{ GetQuery() string }:
		text = r.GetQuery()
	case interface{ GetFilter() *pb.Filter }:
		text = r.GetFilter().GetQuery()
	}
	return strings.TrimSpace(strings.ToValidUTF8(text[:min(len(text), maxAsked)], ""))
}

// timedStream keeps what was asked by a stream.
type timedStream struct {
	grpc.ServerStream

	asked any
}

// RecvMsg implements grpc.ServerStream.
func (s *timedStream) RecvMsg(m any) error {
	s.asked = m
	return s.ServerStream.RecvMsg(m) //nolint:wrapcheck // gRPC's own, to gRPC
}
