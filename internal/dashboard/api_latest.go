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
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// latestMost is how many readings an answer has at most.
	latestMost = 20_000
	// readingsMetadata asks the hub for the latest readings of agents beside its own.
	readingsMetadata = "amoskys-readings"
	// latestPatience is how long the store may take for them: the hub has them too.
	latestPatience = 3 * time.Second
	// maxNumbers bounds an answer of the store's metrics, in bytes; the store's own bound
	// is as high.
	maxNumbers = 32 << 20
)

// metrics answers with what the hub has of its own, and the readings of agents: from the
// store, and from the hub while the store is away.
func (s *Server) metrics(ctx context.Context, in *metricsInput) (*MetricsAnswer, error) {
	a := &MetricsAnswer{Time: s.o.Now().UTC(), Source: "store", Metrics: []Metric{}, Warnings: []string{}}
	readings, err := s.latestReadings(ctx, in.Prefix, a)
	asked, cancel := s.hub.call(ctx)
	defer cancel()
	if err != nil {
		a.Source, a.Reason = "hub", s.storeProblem(err).Detail
		asked = metadata.AppendToOutgoingContext(asked, readingsMetadata, "latest")
	}
	found, err := s.hub.query.Metrics(asked, &pb.MetricsRequest{Prefix: in.Prefix})
	if err != nil {
		return nil, err
	}
	for _, m := range found.GetSamples() {
		a.Metrics = append(a.Metrics, Metric{m.GetName(), m.GetType(), m.GetHelp(), labels(m.GetLabels()), value(m.GetValue())})
	}
	a.Metrics = append(a.Metrics, readings...)
	slices.SortStableFunc(a.Metrics, func(x, y Metric) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(labelsText(x.Labels), labelsText(y.Labels)))
	})
	return a, nil
}

// labelsText is a text by which labels are put in order: PromQL promises none.
func labelsText(labels map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(name + "\x00" + labels[name] + "\x00")
	}
	return b.String()
}

// latestReadings asks the store for the newest value of each series whose name begins
// with a prefix.
func (s *Server) latestReadings(ctx context.Context, prefix string, a *MetricsAnswer) ([]Metric, error) {
	ctx, cancel := context.WithTimeout(ctx, latestPatience)
	defer cancel()
	end := ".*"
	if prefix == "" {
		end = ".+" // a selector has to leave something out
	}
	selector := "{__name__=~" + strconv.Quote(regexp.QuoteMeta(prefix)+end) + "}"
	var vector struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"`
		} `json:"result"`
	}
	warnings, err := s.askNumbers(ctx, "query", url.Values{"query": {selector}, "limit": {strconv.Itoa(latestMost)}}, &vector)
	if err != nil {
		return nil, err
	}
	a.Warnings = append(a.Warnings, warnings...)
	var meant map[string][]struct{ Type, Help string }
	if _, err := s.askNumbers(ctx, "metadata", nil, &meant); err != nil {
		return nil, err
	}
	out := make([]Metric, 0, len(vector.Result))
	for _, one := range vector.Result {
		text, _ := one.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue // a native histogram, which has no one value
		}
		m := Metric{Name: one.Metric["__name__"], Type: "unknown", Labels: maps.Clone(one.Metric), Value: value(v)}
		delete(m.Labels, "__name__")
		if known := meant[familyName(meant, m.Name)]; len(known) > 0 {
			m.Type, m.Help = known[0].Type, known[0].Help
		}
		out = append(out, m)
	}
	return out, nil
}

// familyName is the name under which a sample is described: that of its histogram, if it
// is a part of one.
func familyName[T any](meant map[string]T, name string) string {
	if _, ok := meant[name]; ok {
		return name
	}
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if before, found := strings.CutSuffix(name, part); found {
			return before
		}
	}
	return name
}

// askNumbers asks the store's metrics, and decodes what stands at "data".
func (s *Server) askNumbers(ctx context.Context, path string, form url.Values, data any) (warnings []string, err error) {
	stream, err := s.hub.store.metrics.Prometheus(forUser(ctx), &pb.PrometheusRequest{Method: http.MethodGet, Path: path, Query: form.Encode()})
	if err != nil {
		return nil, err //nolint:wrapcheck // a status, for storeProblem
	}
	var body []byte
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // a status, for storeProblem
		}
		if body = append(body, part.GetChunk()...); len(body) > maxNumbers {
			return nil, fmt.Errorf("the store's answer is longer than %d MiB", maxNumbers>>20)
		}
	}
	answer := struct {
		Status, Error string
		Warnings      []string
		Data          any
	}{Data: data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("read the store's answer: %w", err)
	}
	if answer.Status != "success" {
		return nil, problem(http.StatusServiceUnavailable, "the store cannot tell the readings of agents: "+answer.Error)
	}
	return answer.Warnings, nil
}
