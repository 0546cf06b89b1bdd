package vlogs_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// noon is a time for rows.
func noon() time.Time { return time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour) }

// fill inserts n rows a second apart, and makes them durable, so that queries see them.
func fill(t *testing.T, c *vlogs.Client, n int) {
	t.Helper()
	var rows vlogs.Rows
	for i := range n {
		tags := []vlogs.Field{{Name: "agent", Value: "proc"}, {Name: "host", Value: "h" + strconv.Itoa(i%4)}, {Name: "type", Value: "t"}}
		rows.Begin(tags, noon().Add(time.Duration(i)*time.Second).UnixNano())
		for _, f := range tags {
			rows.Text(f.Name, f.Value)
		}
		rows.Text("_msg", "line \"1\"\n\\ tab\t \u00e9\u20ac\U0001f600 "+strconv.Itoa(i))
		rows.Field("offset", strconv.AppendInt(nil, int64(i), 10))
		rows.Text("empty", "")
	}
	if err := c.Insert(t.Context(), &rows); err != nil {
		t.Fatal(err)
	}
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// ask returns the values of one field.
func ask(t *testing.T, c *vlogs.Client, q vlogs.Query, field string) ([]string, error) {
	t.Helper()
	var out []string
	err := c.Query(t.Context(), q, func(row []vlogs.Field) error {
		for _, f := range row {
			if f.Name == field {
				out = append(out, f.Value)
			}
		}
		return nil
	})
	return out, err
}

func TestRowsComeBack(t *testing.T) {
	c := enginetest.Start(t).Client()
	fill(t, c, 10)
	var got []vlogs.Field
	err := c.Query(t.Context(), vlogs.Query{Text: "offset:=7 | delete _stream, _stream_id"}, func(row []vlogs.Field) error {
		got = append(got, row...)
		return nil
	})
	want := []vlogs.Field{
		{Name: "_msg", Value: "line \"1\"\n\\ tab\t \u00e9\u20ac\U0001f600 7"},
		{Name: "_time", Value: noon().Add(7 * time.Second).Format(time.RFC3339)},
		{Name: "agent", Value: "proc"},
		{Name: "host", Value: "h3"},
		{Name: "offset", Value: "7"},
		{Name: "type", Value: "t"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if days, err := c.Days(t.Context()); err != nil || !cmp.Equal(days, []string{noon().Format(vlogs.DayFormat)}) {
		t.Errorf("days %v, %v", days, err)
	}
}

// TestAnswersSayWhetherTheyAreWhole is a table of questions and how they end.
func TestAnswersSayWhetherTheyAreWhole(t *testing.T) {
	c := enginetest.Start(t).Client()
	fill(t, c, 100)
	stop := errors.New("enough")
	for name, test := range map[string]struct {
		q     vlogs.Query
		each  func([]vlogs.Field) error
		rows  int
		err   error
		typed bool // a *vlogs.RefusedError
	}{
		"all":            {q: vlogs.Query{Text: "*"}, rows: 100},
		"exactly":        {q: vlogs.Query{Text: "*", Limit: 100}, rows: 100},
		"limit":          {q: vlogs.Query{Text: "*", Limit: 99}, rows: 99, err: vlogs.ErrLimit},
		"range":          {q: vlogs.Query{Text: "*", Start: noon().Add(10 * time.Second), End: noon().Add(20 * time.Second)}, rows: 10},
		"no query":       {q: vlogs.Query{Text: "host:in("}, typed: true},
		"caller's error": {q: vlogs.Query{Text: "*"}, each: func([]vlogs.Field) error { return stop }, err: stop},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			err := c.Query(t.Context(), test.q, func(row []vlogs.Field) error {
				if test.each != nil {
					return test.each(row)
				}
				n++
				return nil
			})
			refused := &vlogs.RefusedError{}
			if n != test.rows || !test.typed && !errors.Is(err, test.err) || errors.As(err, &refused) != test.typed {
				t.Errorf("%d rows, error %v", n, err)
			}
		})
	}
}

// TestNewestFirst with a limit.
func TestNewestFirst(t *testing.T) {
	c := enginetest.Start(t).Client()
	fill(t, c, 100)
	got, err := ask(t, c, vlogs.Query{Text: "*", Limit: 3}, "offset")
	if diff := cmp.Diff([]string{"99", "98", "97"}, got); diff != "" || !errors.Is(err, vlogs.ErrLimit) {
		t.Error(err, diff)
	}
}

func TestDelete(t *testing.T) {
	c := enginetest.Start(t).Client()
	fill(t, c, 100)
	if err := c.Delete(t.Context(), "offset:>=60"); err != nil {
		t.Fatal(err)
	}
	got, err := ask(t, c, vlogs.Query{Text: "* | stats count() n, max(offset) m"}, "n")
	if fmt.Sprint(got) != "[60]" || err != nil {
		t.Error(got, err)
	}
}

// TestNobodyThere says so.
func TestNobodyThere(t *testing.T) {
	c := vlogs.New("unix:" + t.TempDir() + "/none")
	if err := c.Health(t.Context()); !errors.Is(err, vlogs.ErrAway) {
		t.Error(err)
	}
}

func TestStatistics(t *testing.T) {
	c := enginetest.Start(t).Client()
	fill(t, c, 100)
	q := vlogs.Query{Text: "*", Start: noon(), End: noon().Add(time.Hour)}
	hits, err := c.Hits(t.Context(), q, time.Minute, []string{"agent"}, 0)
	want := []vlogs.Series{{
		Fields: map[string]string{"agent": "proc"}, Total: 100, Times: []time.Time{noon(), noon().Add(time.Minute)}, Counts: []uint64{60, 40},
	}}
	if len(hits) == 1 && len(hits[0].Times) > 2 { // the engine fills with zeros
		hits[0].Times, hits[0].Counts = hits[0].Times[:2], hits[0].Counts[:2]
	}
	if diff := cmp.Diff(want, hits); diff != "" || err != nil {
		t.Error(err, diff)
	}
	facets, err := c.Facets(t.Context(), q, vlogs.FacetBounds{Values: 2})
	hosts := only(facets, "host") // which two of four that are equal is the engine's affair
	if err != nil || len(hosts) != 1 || len(hosts[0].Values) != 2 || hosts[0].Values[0].Hits != 25 || hosts[0].Values[1].Hits != 25 {
		t.Error(err, hosts)
	}
	names, err := c.FieldNames(t.Context(), q, "off")
	if diff := cmp.Diff([]vlogs.Value{{Text: "offset", Hits: 100}}, names); diff != "" || err != nil {
		t.Error(err, diff)
	}
	values, err := c.FieldValues(t.Context(), q, "host", "h")
	if len(values) != 4 || err != nil {
		t.Error(err, values)
	}
	q.Limit = 3
	if values, err := c.FieldValues(t.Context(), q, "host", ""); len(values) != 3 || !errors.Is(err, vlogs.ErrLimit) {
		t.Error(err, values)
	}
	q.Text, q.Limit = "* | stats by (host) count() n, max(offset) most", 0
	series, err := c.StatsRange(t.Context(), q, time.Hour)
	if len(series) != 8 || err != nil {
		t.Fatal(err, series)
	}
	got := map[string]string{}
	for _, s := range series {
		got[s.Name+s.Fields["host"]] = s.Points[0].Value
	}
	if got["nh3"] != "25" || got["mosth3"] != "99" {
		t.Error(got)
	}
	if _, err := c.Hits(t.Context(), vlogs.Query{Text: "in("}, time.Minute, nil, 0); err == nil {
		t.Error("a query that is none was answered")
	}
}

func only(facets []vlogs.Facet, field string) []vlogs.Facet {
	for _, f := range facets {
		if f.Field == field {
			return []vlogs.Facet{f}
		}
	}
	return nil
}

// TestAStalledReaderStopsNobody: while the reader of a large answer does nothing, other
// queries are answered, and its own says in the end that it was given up.
func TestAStalledReaderStopsNobody(t *testing.T) {
	c := enginetest.Start(t).Client()
	var rows vlogs.Rows
	for i := range 40_000 {
		rows.Begin([]vlogs.Field{{Name: "host", Value: "h" + strconv.Itoa(i%8)}}, noon().Add(time.Duration(i%3*24)*-time.Hour+time.Duration(i)*time.Millisecond).UnixNano())
		rows.Text("host", "h"+strconv.Itoa(i%8))
		rows.Text("long", strings.Repeat(strconv.Itoa(i), 100))
	}
	if err := c.Insert(t.Context(), &rows); err != nil {
		t.Fatal(err)
	}
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	began, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once
	go func() {
		ended <- c.Query(t.Context(), vlogs.Query{Text: "*", Buffer: 1 << 20, Patience: 100 * time.Millisecond}, func([]vlogs.Field) error {
			once.Do(func() { close(began) })
			<-release
			return nil
		})
	}()
	<-began
	for range 3 {
		got, err := ask(t, c, vlogs.Query{Text: "* | stats count() n"}, "n")
		if fmt.Sprint(got) != "[40000]" || err != nil {
			t.Error(got, err)
		}
	}
	for running := 1.0; running > 0; { // until it is given up
		m, err := c.Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		running = m["vl_concurrent_select_current"]
	}
	close(release)
	if err := <-ended; !errors.Is(err, vlogs.ErrSlow) {
		t.Errorf("the stalled query ended with %v", err)
	}
}

// TestACallerWhoLeaves is given no more rows, though more wait for it.
func TestACallerWhoLeaves(t *testing.T) {
	c := enginetest.Start(t).Client()
	fill(t, c, 100)
	ctx, leave := context.WithCancel(t.Context())
	n := 0
	err := c.Query(ctx, vlogs.Query{Text: "*"}, func([]vlogs.Field) error {
		n++
		leave()
		return nil
	})
	if n != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d rows, error %v", n, err)
	}
}

// TestAnswersThatAreTooLate say so, whether rows came before or not.
func TestAnswersThatAreTooLate(t *testing.T) {
	c := enginetest.Start(t).Client()
	fill(t, c, 2000)
	for _, text := range []string{"*", "* | stats count_uniq(offset) n", "* | sort by (offset)"} {
		_, err := ask(t, c, vlogs.Query{Text: text, Timeout: time.Microsecond}, "n")
		if !errors.Is(err, vlogs.ErrDeadline) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := c.Hits(t.Context(), vlogs.Query{Text: "*", Timeout: time.Microsecond}, time.Hour, nil, 0); !errors.Is(err, vlogs.ErrDeadline) {
		t.Error(err)
	}
}

// TestInsertsAreRefusedWithoutSpace, as such.
func TestInsertsAreRefusedWithoutSpace(t *testing.T) {
	o := enginetest.Options(t, t.TempDir())
	o.Flags.MinFreeBytes = 1 << 60
	k, _ := enginetest.Run(t, o)
	var rows vlogs.Rows
	rows.Begin(nil, noon().UnixNano())
	rows.Text("a", "b")
	if err := k.Client().Insert(t.Context(), &rows); !errors.Is(err, vlogs.ErrReadOnly) {
		t.Error(err)
	}
	if full, err := k.Client().ReadOnly(t.Context()); !full || err != nil {
		t.Error(full, err)
	}
}

// TestMetricsAreOfNow: a barrier rests on it.
func TestMetricsAreOfNow(t *testing.T) {
	o := enginetest.Options(t, t.TempDir())
	o.Flags.FlushInterval = time.Hour // nothing goes to disk by itself
	k, _ := enginetest.Run(t, o)
	for range 5 {
		fill(t, k.Client(), 10) // with a barrier
		var rows vlogs.Rows
		rows.Begin(nil, noon().UnixNano())
		rows.Text("a", "b")
		if err := k.Client().Insert(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		m, err := k.Client().Metrics(t.Context())
		if err != nil || m[`vl_storage_parts{type="storage/inmemory"}`]+m[`vl_pending_rows{type="storage"}`] == 0 {
			t.Fatal("an inserted row is said to be on disk", err)
		}
	}
}
