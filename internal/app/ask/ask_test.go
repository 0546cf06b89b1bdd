package ask_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/app/ask"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/logsql/row"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

func now() time.Time { return time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC) }

// site is a home with a store that has events.
type site struct {
	home config.Home
	addr string
	days []*pb.StoreDay
}

func newSite(t *testing.T, events int) *site {
	t.Helper()
	s := &site{home: config.Home(t.TempDir())}
	if err := s.home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(s.home.Certs(), identity.LayoutOptions{Host: "web-1", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	k := enginetest.Start(t)
	fill(t, k.Client(), events)
	cfg := store.DefaultConfig()
	cfg.Server.Host, cfg.Server.Port, cfg.Metrics.Enabled = "127.0.0.1", 0, false
	service := answers.New(answers.Options{
		Engine: k.Client(), Now: now, Limits: answers.Limits{StatusAge: 1}, Caller: func(ctx context.Context) string { return store.CallerOf(ctx).Key() },
		Status: func() *pb.StoreStatus { return &pb.StoreStatus{State: "ok", NextOffset: uint64(events), Days: s.days} },
	})
	server, err := store.New(store.Options{
		Config: cfg, Home: s.home, Logger: obs.Discard(), Registry: obs.NewRegistry(), Query: service, Memory: service.Memory(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.addr = strings.Replace(server.Addr().String(), "127.0.0.1", "localhost", 1)
	return s
}

// fill stores events, one a minute, of which each third is of bash.
func fill(t *testing.T, engine *vlogs.Client, n int) {
	t.Helper()
	writer := row.NewWriter(row.Bounds{Past: time.Hour, Future: time.Hour})
	var rows vlogs.Rows
	for i := range n {
		ev := &pb.Event{
			Id: fmt.Appendf(nil, "%016d", i), Type: "process.execution", Time: timestamppb.New(now().Add(-time.Duration(i) * time.Minute)),
			Host: &pb.Host{Name: "web-1"}, Agent: &pb.Agent{Id: "proc_agent"}, Message: "=started\x1b[31m",
			Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: &pb.Process{Name: []string{"bash", "curl", "sshd"}[i%3]}}},
		}
		encoded, err := event.Encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		r, err := writer.Row(encoded, "spiffe://amoskys.local/agent/web-1", uint64(i), event.Time(ev))
		if err != nil {
			t.Fatal(err)
		}
		rows.Begin(nil, r.Time)
		for _, f := range r.Fields {
			rows.Field(f.Name, f.Value)
		}
	}
	if err := errors.Join(engine.Insert(t.Context(), &rows), engine.Barrier(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// run runs one question.
func (s *site) run(ctx context.Context, o ask.Options) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	if o.Format == "" {
		o.Format = "text"
	}
	if o.Store == "" {
		o.Store = s.addr
	}
	e := &cli.Env{Stdout: &out, Stderr: &errs, Home: s.home, Now: now, Logger: obs.Discard(), Lookup: func(string) (string, bool) { return "", false }}
	err = ask.Run(ctx, e, o)
	return out.String(), errs.String(), err
}

func TestQuery(t *testing.T) {
	s := newSite(t, 3_000)
	local := func(minutes int) string {
		return now().Add(-time.Duration(minutes) * time.Minute).Local().Format("2006-01-02 15:04:05.000")
	}
	for name, tc := range map[string]struct {
		o    ask.Options
		want string
	}{
		"a table": {
			ask.Options{Query: "process.name:bash", Limit: 2, Since: "24h"},
			"TIME                     HOST   AGENT       TYPE               MESSAGE\n" +
				local(0) + "  web-1  proc_agent  process.execution  =started⟨U+001B⟩[31m\n" +
				local(3) + "  web-1  proc_agent  process.execution  =started⟨U+001B⟩[31m\n",
		},
		"fields":         {ask.Options{Limit: 3, Fields: []string{"offset", "process.name"}, Since: "1h"}, "OFFSET  PROCESS.NAME\n0       bash\n1       curl\n2       sshd\n"},
		"oldest":         {ask.Options{Limit: 2, Fields: []string{"offset"}, Oldest: true, Since: "10m"}, "OFFSET\n10\n9\n"},
		"a time":         {ask.Options{Fields: []string{"offset"}, Since: "2026-05-10T11:50:00Z", Until: "9m"}, "OFFSET\n9\n10\n"},
		"a count":        {ask.Options{Count: true, Since: "all"}, "3000\n"},
		"of a day":       {ask.Options{Query: "process.name:curl", Count: true, Since: "1d"}, "480\n"},
		"nothing":        {ask.Options{Query: "process.name:zsh", Since: "24h"}, ""},
		"a csv":          {ask.Options{Limit: 1, Format: "csv", Fields: []string{"offset", "message"}}, "offset,message\n0,'=started\x1b[31m\n"},
		"lines":          {ask.Options{Limit: 1, Format: "jsonl", Fields: []string{"offset", "process.name", "host.ip"}}, "{\"offset\":\"0\",\"process.name\":\"bash\"}\n"},
		"columns":        {ask.Options{Query: "* | stats by (process.name) count() n | sort by (process.name)", Since: "1h"}, "PROCESS.NAME   N\nbash          21\ncurl          20\nsshd          20\n"},
		"columns, JSON":  {ask.Options{Query: "* | stats count() n", Since: "1h", Format: "json"}, "{\"n\":\"61\"}\n"},
		"columns, CSV":   {ask.Options{Query: "* | stats count() n", Since: "1h", Format: "csv"}, "n\n61\n"},
		"of more than 1": {ask.Options{Query: "* | stats by (process.name) count() n | fields process.name | sort by (process.name)", Limit: 1, Since: "1h"}, "PROCESS.NAME\nbash\n"},
	} {
		out, errs, err := s.run(t.Context(), tc.o)
		if err != nil || out != tc.want || strings.Contains(errs, "not complete") && name != "of more than 1" {
			t.Errorf("%s: %v\n%s%s\nwant\n%s", name, err, out, errs, tc.want)
		}
	}
	for name, o := range map[string]ask.Options{
		"pages":    {Format: "ecs", Since: "all"},
		"exported": {Format: "json", Since: "all", Oldest: true},
	} {
		out, errs, err := s.run(t.Context(), o)
		if n := strings.Count(out, "\n"); err != nil || n != 3_000 || errs != "" {
			t.Errorf("%s: %d lines, %v %s", name, n, err, errs)
		}
	}
	s.days = []*pb.StoreDay{{Day: "2026-05-10", State: "set_aside", Reason: "damaged"}}
	if _, errs, err := s.run(t.Context(), ask.Options{Since: "1h", Count: true}); err != nil || !strings.HasPrefix(errs, "not complete: store: 2026-05-10 is set aside") {
		t.Errorf("lacks %q, %v", errs, err)
	}
}

// TestWhereAnAnswerEnds: people are told that there is more, or in what time there is
// nothing; programs get lines alone.
func TestWhereAnAnswerEnds(t *testing.T) {
	s := newSite(t, 100)
	at := func(ago time.Duration) string { return now().Add(-ago).Local().Format(time.DateTime) }
	for name, tc := range map[string]struct {
		o    ask.Options
		want string
	}{
		"more":           {ask.Options{Since: "1d", Limit: 7}, "these are the newest 7: --limit 0 for all\n"},
		"more, oldest":   {ask.Options{Since: "1d", Limit: 7, Oldest: true}, "these are the oldest 7: --limit 0 for all\n"},
		"all":            {ask.Options{Since: "1d", Limit: 100}, ""},
		"none":           {ask.Options{Query: "process.name:zsh", Since: "1h"}, "no event matches from " + at(time.Hour) + " until now (--since all for everything that is stored)\n"},
		"none of all":    {ask.Options{Query: "process.name:zsh", Since: "all"}, "no event matches until now\n"},
		"none until":     {ask.Options{Since: "all", Until: "9d"}, "no event matches until " + at(9*24*time.Hour) + "\n"},
		"no rows":        {ask.Options{Query: "zsh | uniq by (host)", Since: "all"}, "there are no rows until now\n"},
		"none, a count":  {ask.Options{Query: "process.name:zsh", Since: "1h", Count: true}, ""},
		"none, lines":    {ask.Options{Query: "process.name:zsh", Since: "1h", Format: "jsonl"}, ""},
		"an odd address": {ask.Options{Store: "store.example", Since: "1h"}, "write it as host:port"},
	} {
		_, errs, err := s.run(t.Context(), tc.o)
		if err != nil && strings.Contains(err.Error(), tc.want) {
			continue
		}
		if err != nil || errs != tc.want {
			t.Errorf("%s: %v, %q, not %q", name, err, errs, tc.want)
		}
	}
}

func TestQueryFaults(t *testing.T) {
	s := newSite(t, 10)
	for name, tc := range map[string]struct {
		o     ask.Options
		says  string
		usage bool
	}{
		"a query":       {ask.Options{Query: `type:( `}, "^", true},
		"a field":       {ask.Options{Query: "proces.name:bash"}, "process.name", true},
		"since":         {ask.Options{Since: "yesterday"}, "7d", true},
		"since, until":  {ask.Options{Since: "1h", Until: "2h"}, "--until", true},
		"a format":      {ask.Options{Format: "xml"}, "ocsf", true},
		"fields":        {ask.Options{Fields: []string{"proces.name"}}, "process.name", true},
		"both":          {ask.Options{Fields: []string{"host"}, Format: "ecs"}, "exclude", true},
		"count":         {ask.Options{Query: "* | stats count()", Count: true}, "--count", true},
		"fields, pipes": {ask.Options{Query: "* | stats count()", Fields: []string{"host"}}, "--fields", true},
		"nobody there":  {ask.Options{Store: "localhost:1"}, "not running", false},
	} {
		_, _, err := s.run(t.Context(), tc.o)
		_, usage := errors.AsType[*cli.UsageError](err)
		if err == nil || !strings.Contains(err.Error(), tc.says) || usage != tc.usage {
			t.Errorf("%s: %v, a wrong call: %v", name, err, usage)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.run(ctx, ask.Options{}); err == nil {
		t.Error("a question that was interrupted has an answer")
	}
}

// TestQueryParquet: the file opens and has each event; one that was broken off is none.
func TestQueryParquet(t *testing.T) {
	s := newSite(t, 1_500)
	for name, o := range map[string]ask.Options{
		"pages":    {Format: "parquet", Since: "all"},
		"exported": {Format: "parquet", Since: "all", Oldest: true},
	} {
		out, errs, err := s.run(t.Context(), o)
		f, fault := parquet.OpenFile(strings.NewReader(out), int64(len(out)))
		if err != nil || errs != "" || fault != nil || f.NumRows() != 1_500 {
			t.Fatalf("%s: %v %s %v", name, err, errs, fault)
		}
		if _, ok := f.Schema().Lookup("process.name"); !ok {
			t.Errorf("%s: %s", name, f.Schema())
		}
	}
	for name, o := range map[string]ask.Options{
		"pipes":   {Format: "parquet", Query: "* | stats count()"},
		"a count": {Format: "parquet", Count: true},
	} {
		if out, _, err := s.run(t.Context(), o); err == nil || out != "" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}
