// Package spanstest is a collector of traces for tests: OTLP over HTTP in this process,
// decoded by OpenTelemetry's own messages.
package spanstest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is what a collector was told of one.
type Span struct {
	Service, Name string
	Trace, ID     string // hexadecimal
	Parent        string // empty: the first of its trace
	Links         []string
	Attributes    map[string]string
	Failed        bool
	Took          time.Duration
}

// Collector takes traces.
type Collector struct {
	*httptest.Server

	// Spans are those that have come, in their order.
	Spans chan Span
	// Headers are those of each request.
	Headers chan http.Header
}

// Start runs a collector until the test ends. It has room for thousands of spans.
func Start(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{Spans: make(chan Span, 10_000), Headers: make(chan http.Header, 10_000)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		if err := c.take(r); err != nil {
			tb.Errorf("the collector does not understand a request: %v", err)
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	c.Server = httptest.NewServer(mux)
	tb.Cleanup(c.Close)
	return c
}

func (c *Collector) take(r *http.Request) error {
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	var all tracepb.TracesData // as ExportTraceServiceRequest is on the wire
	if err := proto.Unmarshal(body, &all); err != nil {
		return err
	}
	c.Headers <- r.Header
	for _, resource := range all.GetResourceSpans() {
		service := texts(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.Spans <- spanOf(service, s)
			}
		}
	}
	return nil
}

func spanOf(service string, s *tracepb.Span) Span {
	out := Span{
		Service: service, Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		Parent: hex.EncodeToString(s.GetParentSpanId()), Attributes: texts(s.GetAttributes()),
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR,
		Took:   time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()),
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, hex.EncodeToString(l.GetTraceId()))
	}
	return out
}

func texts(list []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			m[kv.GetKey()] = v.StringValue
		default:
			m[kv.GetKey()] = kv.GetValue().String()
		}
	}
	return m
}

// Wait returns so many spans, by their names.
func (c *Collector) Wait(tb testing.TB, n int) map[string]Span {
	tb.Helper()
	got := map[string]Span{}
	timeout := time.After(30 * time.Second)
	for range n {
		select {
		case s := <-c.Spans:
			got[s.Name] = s
		case <-timeout:
			tb.Fatalf("%d spans came of %d: %v", len(got), n, got)
		}
	}
	return got
}
