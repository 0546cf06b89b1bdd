// Package query is the hub's Query service: what the dashboard and the command line
// read of the hub itself, its state, recent series and its metrics. It keeps nothing.
// Events are asked of a store, and whoever asks here is told so.
//
// Wiring, in internal/app:
//
//	service := query.New(query.Options{Status: h.Status, Series: recorder, Gatherer: registry})
//	pb.RegisterQueryServer(server, service)
//	go recorder.Run(ctx, query.Gauges(h.Status), fleet.Gauges)
package query

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/hub"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Series holds recent time series; *live.Recorder does.
type Series interface {
	Series(ctx context.Context, req *pb.SeriesRequest) (*pb.SeriesResponse, error)
}

// Options are what the service reads from.
type Options struct {
	// Status is the hub's own, such as (*hub.Hub).Status.
	Status   func() hub.Status
	Series   Series
	Gatherer prometheus.Gatherer
	// Readings are the latest ones of all agents whose names begin with a prefix, such as
	// (*latest.Values).Samples; nil: none are kept.
	Readings func(prefix string) []*pb.MetricSample
	// LastBackup is the last backup that is whole, nil where none is known; it may be nil.
	LastBackup func(context.Context) *pb.Backup
}

// Service implements the Query service.
type Service struct {
	pb.UnimplementedQueryServer
	o Options
}

// New returns the service.
func New(o Options) *Service { return &Service{o: o} }

// Status says how the hub is.
func (s *Service) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusResponse, error) {
	h := s.o.Status()
	response := &pb.StatusResponse{
		State: h.Status, Reasons: h.Reasons, Version: h.Version,
		Uptime: durationpb.New(time.Duration(h.UptimeSeconds * float64(time.Second))),
		Log: &pb.LogStatus{
			State: h.Log.State, Reason: h.Log.Reason, FirstOffset: h.Log.FirstOffset, NextOffset: h.Log.NextOffset,
			Bytes: uint64(max(h.Log.Bytes, 0)), Segments: uint32(h.Log.Segments), FreeBytes: uint64(max(h.Log.FreeBytes, 0)),
			Quarantined: uint32(h.Log.Quarantined), Recovery: h.Log.Recovery,
		},
		Connections: uint32(h.Connections), EventsPerSecond: h.EventsPerSecond, EventsTotal: h.EventsTotal,
		ErrorsTotal: h.ErrorsTotal, QueueDepth: float64(h.QueueDepth),
		Latency: &pb.LatencyQuantiles{P50Ms: h.Latency.P50, P99Ms: h.Latency.P99, P999Ms: h.Latency.P999},
	}
	if s.o.LastBackup != nil {
		response.LastBackup = s.o.LastBackup(ctx)
	}
	if h.Log.OldestTime != nil {
		response.Log.OldestTime = timestamppb.New(*h.Log.OldestTime)
	}
	for _, l := range h.Log.Losses {
		response.Log.Losses = append(response.Log.Losses, &pb.LogLoss{
			Id: l.ID, FromOffset: l.FromOffset, ToOffset: l.ToOffset, NoticedTime: timestamppb.New(l.NoticedAt), Reason: l.Reason,
		})
	}
	for _, sub := range h.Subscribers {
		one := &pb.SubscriberStatus{
			Name: sub.Name, Offset: sub.Offset, LagEvents: sub.LagEvents, Hold: sub.Hold,
			State: string(sub.State), Reason: sub.Reason,
		}
		if sub.SeenAt != nil {
			one.SeenTime = timestamppb.New(*sub.SeenAt)
		}
		response.Subscribers = append(response.Subscribers, one)
	}
	return response, nil
}

// errAskStore tells those who ask a hub for events where these are.
func errAskStore() error {
	return status.Error(codes.Unimplemented, "the hub keeps no events to search: the store answers this (amoskys store, port 5002; STORE_HOST and STORE_PORT name it)")
}

// SearchEvents is the store's to answer.
func (*Service) SearchEvents(context.Context, *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	return nil, errAskStore()
}

// Event is the store's to answer.
func (*Service) Event(context.Context, *pb.EventRequest) (*pb.EventResponse, error) {
	return nil, errAskStore()
}

// Rows is the store's to answer.
func (*Service) Rows(*pb.RowsRequest, grpc.ServerStreamingServer[pb.RowsResponse]) error {
	return errAskStore()
}

// Export is the store's to answer.
func (*Service) Export(*pb.ExportRequest, grpc.ServerStreamingServer[pb.ExportResponse]) error {
	return errAskStore()
}

// FieldNames is the store's to answer.
func (*Service) FieldNames(context.Context, *pb.FieldNamesRequest) (*pb.FieldNamesResponse, error) {
	return nil, errAskStore()
}

// FieldValues is the store's to answer.
func (*Service) FieldValues(context.Context, *pb.FieldValuesRequest) (*pb.FieldValuesResponse, error) {
	return nil, errAskStore()
}

// Series returns recent series.
func (s *Service) Series(ctx context.Context, req *pb.SeriesRequest) (*pb.SeriesResponse, error) {
	return s.o.Series.Series(ctx, req)
}

// readingsMetadata is set by who asks for the latest readings of agents beside the hub's
// own metrics, as a dashboard does while the store is away.
const readingsMetadata = "amoskys-readings"

// exemplarsMetadata is set by who asks for exemplars, too, as a store does. An exemplar is
// then a sample of type "exemplar" behind the bucket that it is of, with its own value: the
// labels are those of the bucket, beside exemplarTime, and those of the exemplar with
// exemplarLabel before their names.
const (
	exemplarsMetadata = "amoskys-exemplars"
	exemplarType      = "exemplar"
	exemplarLabel     = "exemplar."
	exemplarTime      = "exemplar_time" // RFC 3339
)

// Metrics returns the hub's own metrics, a histogram as its buckets, sum and
// count in the names that Prometheus gives them.
func (s *Service) Metrics(ctx context.Context, req *pb.MetricsRequest) (*pb.MetricsResponse, error) {
	families, err := s.o.Gatherer.Gather()
	if err != nil && len(families) == 0 {
		return nil, status.Errorf(codes.Internal, "gather metrics: %v", err)
	}
	response := &pb.MetricsResponse{}
	exemplars := len(metadata.ValueFromIncomingContext(ctx, exemplarsMetadata)) > 0
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), req.GetPrefix()) {
			continue
		}
		kind := strings.ToLower(family.GetType().String())
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			out := samples{response: response, name: family.GetName(), kind: kind, help: family.GetHelp(), labels: labels}
			switch {
			case m.GetCounter() != nil:
				out.add("", m.GetCounter().GetValue(), "", "")
			case m.GetGauge() != nil:
				out.add("", m.GetGauge().GetValue(), "", "")
			case m.GetUntyped() != nil:
				out.add("", m.GetUntyped().GetValue(), "", "")
			case m.GetHistogram() != nil:
				h := m.GetHistogram()
				for _, b := range h.GetBucket() {
					out.add("_bucket", float64(b.GetCumulativeCount()), "le", number(b.GetUpperBound()))
					if exemplars {
						out.addExemplar(b)
					}
				}
				out.add("_bucket", float64(h.GetSampleCount()), "le", "+Inf")
				out.add("_sum", h.GetSampleSum(), "", "")
				out.add("_count", float64(h.GetSampleCount()), "", "")
			case m.GetSummary() != nil:
				for _, q := range m.GetSummary().GetQuantile() {
					out.add("", q.GetValue(), "quantile", number(q.GetQuantile()))
				}
				out.add("_sum", m.GetSummary().GetSampleSum(), "", "")
				out.add("_count", float64(m.GetSummary().GetSampleCount()), "", "")
			}
		}
	}
	if len(metadata.ValueFromIncomingContext(ctx, readingsMetadata)) > 0 && s.o.Readings != nil {
		response.Samples = append(response.Samples, s.o.Readings(req.GetPrefix())...)
	}
	slices.SortStableFunc(response.Samples, func(a, b *pb.MetricSample) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return response, nil
}

func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// samples adds the values of one metric to a response.
type samples struct {
	response         *pb.MetricsResponse
	name, kind, help string
	labels           map[string]string
}

func (s samples) add(suffix string, value float64, label, labelValue string) {
	if label == "le" && labelValue == "+Inf" && s.hasInf() {
		return
	}
	labels := make(map[string]string, len(s.labels)+1)
	maps.Copy(labels, s.labels)
	if label != "" {
		labels[label] = labelValue
	}
	s.response.Samples = append(s.response.Samples, &pb.MetricSample{
		Name: s.name + suffix, Labels: labels, Value: value, Type: s.kind, Help: s.help,
	})
}

// addExemplar adds that of a bucket, if it has one.
func (s samples) addExemplar(b *dto.Bucket) {
	x := b.GetExemplar()
	if x == nil {
		return
	}
	labels := maps.Clone(s.labels)
	labels["le"], labels[exemplarTime] = number(b.GetUpperBound()), x.GetTimestamp().AsTime().Format(time.RFC3339Nano)
	for _, l := range x.GetLabel() {
		labels[exemplarLabel+l.GetName()] = l.GetValue()
	}
	s.response.Samples = append(s.response.Samples, &pb.MetricSample{Name: s.name + "_bucket", Labels: labels, Value: x.GetValue(), Type: exemplarType})
}

// hasInf says that the bucket added last is the infinite one already.
func (s samples) hasInf() bool {
	n := len(s.response.Samples)
	if n > 0 && s.response.Samples[n-1].GetType() == exemplarType { // behind that bucket
		n--
	}
	return n > 0 && s.response.Samples[n-1].GetName() == s.name+"_bucket" && s.response.Samples[n-1].GetLabels()["le"] == "+Inf"
}

// Gauges reads the hub's state for live.Recorder. A latency is NaN while
// nothing was acknowledged.
func Gauges(read func() hub.Status) func(emit func(name, unit string, labels map[string]string, value float64)) {
	quantiles := []map[string]string{{"quantile": "0.5"}, {"quantile": "0.99"}, {"quantile": "0.999"}}
	return func(emit func(name, unit string, labels map[string]string, value float64)) {
		h := read()
		for i, ms := range []float64{h.Latency.P50, h.Latency.P99, h.Latency.P999} {
			if ms == 0 {
				ms = math.NaN()
			}
			emit("latency_ms", "ms", quantiles[i], ms)
		}
		emit("queue_depth", "{event}", nil, float64(h.QueueDepth))
		emit("connections", "{connection}", nil, float64(h.Connections))
	}
}
