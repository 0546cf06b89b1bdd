package rules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql/parser"
	prom "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// testFile is a file with tests of rules, in the format of promtool
// (https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/).
type testFile struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	GroupEvalOrder     []string       `yaml:"group_eval_order"`
	FuzzyCompare       bool           `yaml:"fuzzy_compare"`
	Tests              []testCase     `yaml:"tests"`
}

type testCase struct {
	Name           string            `yaml:"name"`
	Interval       model.Duration    `yaml:"interval"`
	InputSeries    []inputSeries     `yaml:"input_series"`
	Alerts         []alertTest       `yaml:"alert_rule_test"`
	Queries        []queryTest       `yaml:"promql_expr_test"`
	ExternalLabels map[string]string `yaml:"external_labels"`
	ExternalURL    string            `yaml:"external_url"`
}

type inputSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type alertTest struct {
	EvalTime model.Duration `yaml:"eval_time"`
	Alert    string         `yaml:"alertname"`
	Expected []struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations map[string]string `yaml:"exp_annotations"`
	} `yaml:"exp_alerts"`
}

type queryTest struct {
	Query    string         `yaml:"expr"`
	EvalTime model.Duration `yaml:"eval_time"`
	Expected []struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	} `yaml:"exp_samples"`
}

// Bounds of a test: a file of tests is one's own, and may still be wrong.
const maxTestSteps = 200_000

// Test runs the tests of a file, of the rules that it names, and returns what did not come
// out as expected, a sentence each. The error is that of the file, or of the disk where the
// series of a test lie meanwhile.
func Test(ctx context.Context, file string) (failures []string, err error) {
	b, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("read tests: %w", err)
	}
	f := testFile{EvaluationInterval: model.Duration(time.Minute)}
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	loaded, names, err := f.load(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range f.Tests {
		wrong, err := f.run(ctx, &f.Tests[i], loaded, names)
		if err != nil {
			return failures, fmt.Errorf("%s: %s: %w", file, f.Tests[i].title(i), err)
		}
		for _, w := range wrong {
			failures = append(failures, f.Tests[i].title(i)+": "+w)
		}
	}
	return failures, nil
}

func (c *testCase) title(i int) string {
	if c.Name != "" {
		return c.Name
	}
	return fmt.Sprintf("test %d", i+1)
}

// load reads the files of rules that a file of tests names.
func (f *testFile) load(dir string) (*loader, []string, error) {
	l, names := newLoader(), []string{}
	for _, pattern := range f.RuleFiles {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(dir, pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, nil, fmt.Errorf("find %s: %w", pattern, err)
		}
		if len(files) == 0 {
			return nil, nil, fmt.Errorf("there is no file %s", pattern)
		}
		for _, file := range files {
			b, err := readFile(file)
			if err != nil {
				return nil, nil, fmt.Errorf("read rules: %w", err)
			}
			groups, faults := Parse(file, b)
			if len(faults) > 0 {
				return nil, nil, errors.New(faults[0].String())
			}
			l.files[file] = &parsed{good: groups}
			names = append(names, file)
		}
	}
	return l, names, nil
}

// testRun is a test while it runs.
type testRun struct {
	*testCase

	file      *testFile
	db        *tsdb.DB
	evaluator *promapi.Evaluator
	groups    []*prom.Group
	series    []testSeries
	wrong     []string
}

// testSeries is a series of which the samples before next are written.
type testSeries struct {
	labels labels.Labels
	values []parser.SequenceValue
	next   int
}

// run runs one test in a database of its own.
func (f *testFile) run(ctx context.Context, c *testCase, l *loader, names []string) (wrong []string, err error) {
	dir, err := os.MkdirTemp("", "amoskys-rules-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the series of a test: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := tsdb.DefaultOptions()
	o.MinBlockDuration = (100 * 365 * 24 * time.Hour).Milliseconds() // all of it stays in memory
	o.MaxBlockDuration, o.WALSegmentSize, o.NoLockfile, o.IsolationDisabled, o.StripeSize = o.MinBlockDuration, -1, true, true, 256
	db, err := tsdb.Open(dir, slog.New(slog.DiscardHandler), nil, o, nil)
	if err != nil {
		return nil, fmt.Errorf("open a database for a test: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	r := &testRun{testCase: c, file: f, db: db, evaluator: promapi.NewEvaluator(db, promapi.Limits{}, slog.New(slog.DiscardHandler))}
	if err = r.prepare(ctx, l, names); err == nil {
		err = r.play(ctx)
	}
	return r.wrong, err
}

// prepare reads the series and makes the groups.
func (r *testRun) prepare(ctx context.Context, l *loader, names []string) error {
	p := promapi.NewBoundedParser()
	for _, s := range r.InputSeries {
		l, values, err := p.ParseSeriesDesc(s.Series + " " + s.Values)
		if err != nil {
			return fmt.Errorf("read the series %s: %w", s.Series, err)
		}
		r.series = append(r.series, testSeries{labels: l, values: values})
	}
	external, err := url.Parse(r.ExternalURL)
	if err != nil {
		return fmt.Errorf("read external_url: %w", err)
	}
	m := prom.NewManager(&prom.ManagerOptions{
		NameValidationScheme: model.LegacyValidation, Context: ctx, QueryFunc: r.evaluator.Evaluate, AppendableV2: r.db, Queryable: r.db, ExternalURL: external,
		NotifyFunc: func(context.Context, string, ...*prom.Alert) {}, GroupLoader: l, Parser: p,
	})
	groups, errs := m.LoadGroups(time.Duration(r.file.EvaluationInterval), labels.FromMap(r.ExternalLabels), r.ExternalURL, nil, false, names...)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("load rules: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		r.groups = append(r.groups, groups[key])
		for _, rule := range groups[key].Rules() {
			if a, alerts := rule.(*prom.AlertingRule); alerts {
				a.SetRestored(true) // so that ALERTS is written
			}
		}
	}
	slices.SortStableFunc(r.groups, func(x, y *prom.Group) int { return r.file.place(x.Name()) - r.file.place(y.Name()) })
	return nil
}

// place is where a group stands in the order in which groups are evaluated.
func (f *testFile) place(group string) int {
	if i := slices.Index(f.GroupEvalOrder, group); i >= 0 {
		return i
	}
	return len(f.GroupEvalOrder)
}

// play evaluates step by step, from the time 0 on, and compares.
func (r *testRun) play(ctx context.Context) error {
	step := time.Duration(r.file.EvaluationInterval)
	if step <= 0 {
		return errors.New("evaluation_interval has to be above 0")
	}
	last := time.Duration(0)
	for i := range r.Alerts {
		last = max(last, time.Duration(r.Alerts[i].EvalTime))
	}
	for i := range r.Queries {
		last = max(last, time.Duration(r.Queries[i].EvalTime))
	}
	if last/step > maxTestSteps {
		return fmt.Errorf("%s in steps of %s are too many", last, step)
	}
	for at := time.Duration(0); at <= last; at += step {
		if err := ctx.Err(); err != nil {
			return err //nolint:wrapcheck // it says all
		}
		if err := r.append(ctx, at); err != nil {
			return err
		}
		for _, g := range r.groups {
			if g.Interval() <= step || at%g.Interval() == 0 {
				g.Eval(ctx, time.Unix(0, 0).UTC().Add(at))
			}
			r.noteFailing(g, at)
		}
		for i := range r.Alerts {
			if t := time.Duration(r.Alerts[i].EvalTime); at <= t && t < at+step {
				r.compareAlerts(&r.Alerts[i])
			}
		}
	}
	if err := r.append(ctx, last); err != nil {
		return err
	}
	for i := range r.Queries {
		if err := r.compareQuery(ctx, &r.Queries[i]); err != nil {
			return err
		}
	}
	return nil
}

// append writes the samples up to a time.
func (r *testRun) append(ctx context.Context, until time.Duration) error {
	interval := time.Duration(r.Interval)
	if interval <= 0 {
		interval = time.Duration(r.file.EvaluationInterval)
	}
	app := r.db.AppenderV2(ctx)
	for i := range r.series {
		s := &r.series[i]
		for ; s.next < len(s.values) && time.Duration(s.next)*interval <= until; s.next++ {
			v := s.values[s.next]
			if v.Omitted {
				continue
			}
			at := (time.Duration(s.next) * interval).Milliseconds()
			if _, err := app.Append(0, s.labels, 0, at, v.Value, nil, v.Histogram, storage.AOptions{}); err != nil {
				return errors.Join(fmt.Errorf("write the series %s: %w", s.labels, err), app.Rollback())
			}
		}
	}
	return app.Commit() //nolint:wrapcheck // it says all
}

// noteFailing notes rules that could not be evaluated.
func (r *testRun) noteFailing(g *prom.Group, at time.Duration) {
	for _, rule := range g.Rules() {
		if err := rule.LastError(); err != nil && len(r.wrong) < maxFaults {
			r.wrong = append(r.wrong, fmt.Sprintf("the rule %s fails at %s: %v", rule.Name(), at, err))
		}
	}
}

// compareAlerts compares the alerts of a name that fire.
func (r *testRun) compareAlerts(t *alertTest) {
	var have []string
	want := make([]string, 0, len(t.Expected))
	for _, e := range t.Expected {
		all := maps.Clone(e.Labels)
		if all == nil {
			all = map[string]string{}
		}
		all[labels.AlertName] = t.Alert
		want = append(want, labels.FromMap(all).String()+" "+labels.FromMap(e.Annotations).String())
	}
	for _, g := range r.groups {
		for _, a := range g.AlertingRules() {
			if a.Name() != t.Alert {
				continue
			}
			for _, alert := range a.ActiveAlerts() {
				if alert.State == prom.StateFiring {
					have = append(have, alert.Labels.String()+" "+alert.Annotations.String())
				}
			}
		}
	}
	r.compare(fmt.Sprintf("the alert %s at %s", t.Alert, t.EvalTime), want, have)
}

// compareQuery compares what a query gives.
func (r *testRun) compareQuery(ctx context.Context, t *queryTest) error {
	at := time.Unix(0, 0).UTC().Add(time.Duration(t.EvalTime))
	found, err := r.evaluator.Evaluate(ctx, t.Query, at)
	if err != nil {
		return fmt.Errorf("%s at %s: %w", t.Query, t.EvalTime, err)
	}
	var have []string
	want := make([]string, 0, len(t.Expected))
	for _, e := range t.Expected {
		l := labels.EmptyLabels()
		if e.Labels != "" && e.Labels != "{}" {
			if l, err = promapi.NewBoundedParser().ParseMetric(e.Labels); err != nil {
				return fmt.Errorf("read the labels %s: %w", e.Labels, err)
			}
		}
		want = append(want, l.String()+" "+r.value(e.Value))
	}
	for _, s := range found {
		if s.H != nil {
			return fmt.Errorf("%s at %s gives histograms, which are not compared here: use promtool", t.Query, timestamp.Time(s.T))
		}
		have = append(have, s.Metric.String()+" "+r.value(s.F))
	}
	r.compare(fmt.Sprintf("%s at %s", t.Query, t.EvalTime), want, have)
	return nil
}

// value is a number as it is compared: with fuzzy_compare to ten digits.
func (r *testRun) value(v float64) string {
	digits := 17
	if r.file.FuzzyCompare {
		digits = 10
	}
	return strconv.FormatFloat(v+0, 'g', digits, 64) // minus nothing is nothing
}

// compare notes how what is expected and what there is differ.
func (r *testRun) compare(what string, want, have []string) {
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		r.wrong = append(r.wrong, fmt.Sprintf("%s:\n    expected: %s\n    found:    %s", what, shownList(want), shownList(have)))
	}
}

func shownList(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, "\n              ")
}
