package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// MetricsOptions are the arguments of `amoskys query --metrics`.
type MetricsOptions struct {
	Query string // PromQL
	// Since and Until are as in Options. Without Range it is asked at Until.
	Since, Until string
	// Range asks for a value each Step, "" for one that fits.
	Range bool
	Step  string
	Limit uint64 // of series; 0 for all
	JSON  bool
	Store string // host:port; empty: that of the configuration
}

// metricsAnswer is what the store answers, in the shape of Prometheus' HTTP API.
type metricsAnswer struct {
	Status, ErrorType, Error string
	Data                     struct {
		ResultType string
		Result     json.RawMessage
	}
	Warnings, Infos []string
}

// Metrics answers one question about metrics. Its error is a *cli.UsageError where the
// question is wrong.
func Metrics(ctx context.Context, e *cli.Env, o MetricsOptions) error {
	if strings.TrimSpace(o.Query) == "" {
		return &cli.UsageError{Err: errors.New("query: say what is asked, such as 'topk(5, process_cpu_percent)'")}
	}
	if err := promapi.Check(o.Query); err != nil {
		return &cli.UsageError{Err: fmt.Errorf("query: %w", pointedPromQL(o.Query, err))}
	}
	path, form, err := o.form(e.Now())
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	store, err := remote.DialStores(e, o.Store)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // of a connection that is done with
	a := &asker{e: e, store: store, progress: cli.NewProgress(e.Stderr, e.Now)}
	answer, err := patient(ctx, a, func(ctx context.Context) (*metricsAnswer, error) { return askMetrics(ctx, store, path, form) })
	a.progress.Done()
	switch {
	case err != nil:
		return a.explain(err)
	case answer.ErrorType == "bad_data":
		return &cli.UsageError{Err: errors.New(answer.Error)}
	case answer.Status != "success":
		return fmt.Errorf("the store could not answer: %s", answer.Error)
	}
	p := &metricsPrinter{e: e, o: o}
	if err := p.print(answer); err != nil {
		return err
	}
	for _, text := range answer.Warnings {
		fmt.Fprintf(e.Stderr, "warning: %s\n", cli.Clean(text))
	}
	for _, text := range answer.Infos {
		fmt.Fprintf(e.Stderr, "note: %s\n", cli.Clean(text))
	}
	return nil
}

// askMetrics makes the call and reads its answer to the end.
func askMetrics(ctx context.Context, store *remote.Store, path string, form url.Values) (*metricsAnswer, error) {
	stream, err := store.Metrics.Prometheus(ctx, &pb.PrometheusRequest{Method: "POST", Path: path, Body: []byte(form.Encode())})
	if err != nil {
		return nil, err //nolint:wrapcheck // explain words it
	}
	var text []byte
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // explain words it
		}
		text = append(text, part.GetChunk()...)
	}
	answer := &metricsAnswer{}
	if err := json.Unmarshal(text, answer); err != nil {
		return nil, fmt.Errorf("read the store's answer: %w", err)
	}
	return answer, nil
}

// form is the question as Prometheus' HTTP API takes it.
func (o *MetricsOptions) form(now time.Time) (path string, form url.Values, err error) {
	until := now
	if bound, err := parseTime("--until", o.Until, now); err != nil {
		return "", nil, err
	} else if bound != nil {
		until = bound.AsTime()
	}
	form = url.Values{"query": {o.Query}}
	if o.Limit > 0 {
		form.Set("limit", strconv.FormatUint(min(o.Limit, 1<<31), 10))
	}
	if !o.Range {
		form.Set("time", unixSeconds(until))
		return "query", form, nil
	}
	since, err := parseTime("--since", o.Since, now)
	switch {
	case err != nil:
		return "", nil, err
	case since == nil:
		return "", nil, errors.New("--since says from when on metrics are shown: all is too much")
	case !since.AsTime().Before(until):
		return "", nil, errors.New("--until must be after --since")
	}
	step := stepOf(until.Sub(since.AsTime()))
	if o.Step != "" {
		d, err := model.ParseDuration(o.Step)
		if err != nil || d <= 0 {
			return "", nil, fmt.Errorf("--step is a duration such as 15s, 5m or 1h, not %q", o.Step)
		}
		step = time.Duration(d)
	}
	if span := until.Sub(since.AsTime()); span/step > promapi.MaxPoints {
		return "", nil, fmt.Errorf("--step %s asks for %d values of each series, and %d are the most: make it %s or longer, or --since later",
			o.Step, span/step, promapi.MaxPoints, model.Duration((span/promapi.MaxPoints).Truncate(time.Second)+time.Second))
	}
	form.Set("start", unixSeconds(since.AsTime()))
	form.Set("end", unixSeconds(until))
	form.Set("step", strconv.FormatFloat(step.Seconds(), 'f', -1, 64))
	return "query_range", form, nil
}

func unixSeconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

// stepOf is a round step with which a range has at most 240 values.
func stepOf(span time.Duration) time.Duration {
	const most = 240
	for _, s := range []time.Duration{
		15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute,
		30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if span/s <= most {
			return s
		}
	}
	const day = 24 * time.Hour
	return max(1, span/(most*day)+1) * day
}

// pointedPromQL shows where a query is wrong.
func pointedPromQL(query string, err error) error {
	fault, ok := errors.AsType[*promapi.SyntaxError](err)
	if !ok || strings.ContainsAny(query, "\n\t") || len(query) > 200 {
		return err
	}
	return fmt.Errorf("%w\n  %s\n  %s^", err, query, strings.Repeat(" ", len([]rune(query[:fault.Position]))))
}
