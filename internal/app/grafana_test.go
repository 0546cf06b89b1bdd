package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/reading"
	"github.com/amoskys/amoskys/internal/metrics"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
)

// grafanaFolder is where the dashboards for Grafana are.
var grafanaFolder = filepath.Join("..", "..", "deploy", "grafana")

// grafanaPanel is a panel of a dashboard, or a row of them.
type grafanaPanel struct {
	ID         uint32
	Type       string
	Title      string
	Datasource struct{ Type, UID string }
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct {
		Expr, RefID string
		Instant     bool
	}
}

// grafanaBoard is what a dashboard says that is tested.
type grafanaBoard struct {
	UID, Title string
	Panels     []grafanaPanel
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
}

// TestGrafanaDashboards: every question that the dashboards ask names only metrics that
// docs/metrics.md has, and is answered: by the store, filled with what agents publish, or
// by a Prometheus that scrapes hub and store.
func TestGrafanaDashboards(t *testing.T) {
	t.Parallel()
	known := documentedMetrics(t)
	end := time.Now().Truncate(time.Minute)
	apis := []*promapi.API{numbersOfAgents(t, end), numbersOfScrapes(t, known, end)}
	files, err := filepath.Glob(filepath.Join(grafanaFolder, "dashboards", "*.json"))
	if err != nil || len(files) < 7 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			board := readBoard(t, file)
			if board.UID != "amoskys-"+name {
				t.Errorf("its uid is %q", board.UID)
			}
			checkLayout(t, board)
			for _, p := range board.Panels {
				for _, q := range p.Targets {
					onlyKnown(t, known, p.Title, q.Expr)
					if !answered(t, apis, q.Expr, end, q.Instant) {
						t.Errorf("%s: nothing answers %s", p.Title, q.Expr)
					}
				}
			}
			for _, v := range board.Templating.List {
				if v.Type == "query" {
					checkVariable(t, known, apis[0], v.Query, end)
				}
			}
		})
	}
}

func readBoard(t *testing.T, file string) *grafanaBoard {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var board grafanaBoard
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	return &board
}

// checkLayout: panels have numbers and titles of their own and the chosen data source, and
// none lies on another.
func checkLayout(t *testing.T, board *grafanaBoard) {
	t.Helper()
	ids, places := map[uint32]bool{}, map[[2]int]string{}
	for _, p := range board.Panels {
		if p.ID == 0 || ids[p.ID] || p.Title == "" {
			t.Errorf("panel %q has the number %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}") {
			t.Errorf("%s asks %v for %d things", p.Title, p.Datasource, len(p.Targets))
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := places[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %q at %d, %d", p.Title, other, x, y)
				}
				places[[2]int{x, y}] = p.Title
			}
		}
	}
}

// plainQuery is a query as Grafana sends it, with its variables filled in.
func plainQuery(expr string) string {
	expr = strings.NewReplacer("$__rate_interval", "5m", "$__range", "30m").Replace(expr)
	return regexp.MustCompile(`\$\w+`).ReplaceAllString(expr, ".*")
}

// onlyKnown: a query parses, and names what is documented.
func onlyKnown(t *testing.T, known map[string]documented, title, expr string) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(plainQuery(expr))
	if err != nil {
		t.Errorf("%s: %s: %v", title, expr, err)
		return
	}
	for _, selectors := range parser.ExtractSelectors(parsed) {
		for _, m := range selectors {
			if m.Name != model.MetricNameLabel {
				continue
			}
			if _, ok := known[m.Value]; !ok || m.Type != labels.MatchEqual {
				t.Errorf("%s: docs/metrics.md has no %s", title, m.Value)
			}
		}
	}
}

// answered reports whether one of several says something.
func answered(t *testing.T, apis []*promapi.API, expr string, end time.Time, instant bool) bool {
	t.Helper()
	for _, api := range apis {
		form := url.Values{"query": {plainQuery(expr)}, "time": {fmt.Sprint(end.Unix())}}
		path := "query"
		if !instant {
			path = "query_range"
			form.Set("start", fmt.Sprint(end.Add(-10*time.Minute).Unix()))
			form.Set("end", fmt.Sprint(end.Unix()))
			form.Set("step", "60")
		}
		var data struct{ Result []json.RawMessage }
		askNumbers(t, api, path, form, &data)
		if len(data.Result) > 0 {
			return true
		}
	}
	return false
}

// askNumbers asks as Grafana's data source does.
func askNumbers(t *testing.T, api http.Handler, path string, form url.Values, data any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	answer := struct{ Data any }{data}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Errorf("%s %s: %d %s, %v", path, form, w.Code, w.Body, err)
	}
}

// checkVariable: what one may choose from is a label of a known metric, and has values.
func checkVariable(t *testing.T, known map[string]documented, api *promapi.API, query any, end time.Time) {
	t.Helper()
	text, _ := query.(string)
	parts := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(text)
	if parts == nil {
		t.Errorf("a variable asks %v", query)
		return
	}
	onlyKnown(t, known, text, parts[1])
	var values []string
	askNumbers(t, api, "label/"+parts[2]+"/values", url.Values{"match[]": {parts[1]}, "start": {fmt.Sprint(end.Add(-time.Hour).Unix())}}, &values)
	if len(values) == 0 {
		t.Errorf("%s has no values", text)
	}
}

// documented is a row of docs/metrics.md.
type documented struct {
	family, kind string
	labels       []string
	// reading says that agents tell it.
	reading bool
}

// documentedMetrics are the names of all series that docs/metrics.md has.
func documentedMetrics(t *testing.T) map[string]documented {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]documented{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		d := documented{family: strings.Trim(cells[1], " `"), kind: strings.TrimSpace(cells[2])}
		of := cells[3]
		if len(cells) == 7 { // readings of agents have a column for the unit
			of, d.reading = cells[4], true
		}
		for _, label := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(of, -1) {
			d.labels = append(d.labels, label[1])
		}
		if known[d.family].kind == "" {
			known[d.family] = d
		}
		if d.kind == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[d.family+part] = d
			}
		}
	}
	if len(known) < 100 {
		t.Fatalf("docs/metrics.md has %d metrics", len(known))
	}
	return known
}

// numbersOfAgents is the store's database of metrics, with what agents of two hosts
// published in the last forty minutes.
func numbersOfAgents(t *testing.T, end time.Time) *promapi.API {
	t.Helper()
	db, err := metrics.New(metrics.Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	next := uint64(0)
	for at := end.Add(-40 * time.Minute); !at.After(end); at = at.Add(30 * time.Second) {
		var batch []reader.Event
		n := uint64(at.Unix() - end.Add(-time.Hour).Unix())
		for _, ev := range publishedAt(n) {
			ev.Time, ev.Id = timestamppb.New(at), fmt.Appendf(nil, "%016d", next)
			encoded, err := event.Encode(ev)
			if err != nil {
				t.Fatal(err)
			}
			batch = append(batch, reader.Event{Logged: at, Publisher: "spiffe://amoskys.local/agent/" + ev.GetHost().GetName(), Encoded: encoded, Offset: next})
			next++
		}
		// It waits until the database is open.
		if err := db.Consume(t.Context(), &reader.Batch{Events: batch, Next: next, Tail: next}); err != nil {
			t.Fatal(err)
		}
	}
	return apiOver(t, db)
}

func apiOver(t *testing.T, q storage.Queryable) *promapi.API {
	t.Helper()
	api, err := promapi.New(promapi.Options{Queryable: q})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// publishedAt is what agents of two hosts tell when they run for n seconds.
func publishedAt(n uint64) (all []*pb.Event) {
	for _, host := range []string{"web-1", "db-1"} {
		say := func(kind, id, of string, ev *pb.Event) {
			ev.Type, ev.Host, ev.Agent = of, &pb.Host{Name: host}, &pb.Agent{Id: id, Kind: kind}
			all = append(all, ev)
		}
		for pid := range uint32(3) {
			descriptors := 10 + pid
			say("proc", "proc_agent", event.TypeProcessSample, &pb.Event{Body: &pb.Event_Process{Process: &pb.ProcessActivity{
				Process: &pb.Process{Pid: 100 + pid, Uid: fmt.Sprint(host, pid), Name: "nginx"},
				Usage: &pb.ProcessUsage{
					CpuPercent: float64(pid), RssBytes: 1 << 20, FileDescriptors: &descriptors, Threads: 4, State: pb.ProcessState_PROCESS_STATE_SLEEPING,
					ReadBytes: n * 100, WriteBytes: n * 200,
				},
			}}})
		}
		say("proc", "proc_agent", event.TypeAgentHealth, &pb.Event{Body: &pb.Event_AgentHealth{AgentHealth: &pb.AgentHealth{
			State: pb.AgentState_AGENT_STATE_DEGRADED, Uptime: durationpb.New(time.Duration(n) * time.Second), EventsTotal: n * 10, EventsDroppedTotal: n,
			SpoolBytes: 1, SpoolEvents: 2, CpuPercent: 1, RssBytes: 1 << 20, ErrorsTotal: n,
		}}})
		say("eventbus", "eventbus_agent", event.TypeHubHealth, &pb.Event{Body: &pb.Event_HubHealth{HubHealth: &pb.HubHealth{
			Reachable: true, Status: "ok", QueueDepth: 1, ProbeLatency: durationpb.New(time.Millisecond), Connections: 3, ErrorsTotal: n,
			ThroughputEps: 5, LogState: "ok", LogBytes: 6,
		}}})
		say("snmp", "snmp_agent", event.TypeSNMPReading, &pb.Event{Body: &pb.Event_Snmp{Snmp: polledAt(n)}})
		say("flow", "flow_agent", event.TypeMetricBatch, &pb.Event{Body: &pb.Event_Metrics{Metrics: toldAt("flow_", n)}})
		say("scanner", "device_scanner", event.TypeMetricBatch, &pb.Event{Body: &pb.Event_Metrics{Metrics: toldAt("device_", n)}})
	}
	return all
}

// polledAt is what a switch says.
func polledAt(n uint64) *pb.SnmpReading {
	port := func(index uint32, oper string) *pb.SnmpInterface {
		return &pb.SnmpInterface{
			Index: index, Name: fmt.Sprint("Gi0/", index), OperStatus: oper, BytesIn: n * 1000, BytesOut: n * 2000, PacketsIn: n, PacketsOut: n,
			ErrorsIn: n, ErrorsOut: n, DiscardsIn: n, DiscardsOut: n,
		}
	}
	return &pb.SnmpReading{
		Target: "192.0.2.1:161", SysName: "sw1", Uptime: durationpb.New(time.Duration(n) * time.Second), CpuPercent: []float64{10},
		ResponseTime: durationpb.New(time.Millisecond), Memory: []*pb.SnmpMemory{{Name: "ram", UsedBytes: 1, TotalBytes: 2}},
		Storage: []*pb.SnmpMemory{{Name: "/", UsedBytes: 1, TotalBytes: 2}}, Sensors: []*pb.SnmpSensor{{Name: "CPU", Kind: "temperature", Value: 41.5, Unit: "Cel"}},
		Interfaces: []*pb.SnmpInterface{port(1, "up"), port(2, "down")},
	}
}

// toldAt is a batch with each family of a beginning, of two of everything.
func toldAt(beginning string, n uint64) *pb.MetricBatch {
	batch := &pb.MetricBatch{}
	for _, f := range reading.Families() {
		if !strings.HasPrefix(f.Name, beginning) {
			continue
		}
		names := []string{f.Name}
		if f.Kind == reading.Histogram {
			names = []string{f.Name + "_bucket", f.Name + "_sum", f.Name + "_count"}
		}
		for _, name := range names {
			for one := range uint64(2) {
				m := &pb.Metric{Name: name, Type: pb.MetricType_METRIC_TYPE_GAUGE, Value: float64(n * (one + 1)), Labels: map[string]string{}}
				if strings.HasSuffix(name, "_up") {
					m.Value = float64(one)
				}
				for _, label := range f.Labels {
					m.Labels[label] = fmt.Sprint(label, one)
					if label == "le" {
						m.Labels[label] = []string{"1", "+Inf"}[one]
					}
				}
				batch.Metrics = append(batch.Metrics, m)
			}
		}
	}
	return batch
}

// numbersOfScrapes is what a Prometheus has of hub and store: of all that is documented as
// their own, a series for each.
func numbersOfScrapes(t *testing.T, known map[string]documented, end time.Time) *promapi.API {
	t.Helper()
	db := teststorage.New(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for at := end.Add(-40 * time.Minute); !at.After(end); at = at.Add(30 * time.Second) {
		app := db.Appender(t.Context())
		n := float64(at.Unix() - end.Add(-time.Hour).Unix())
		for _, name := range slices.Sorted(maps.Keys(known)) {
			d := known[name]
			if d.reading || d.kind == "histogram" && name == d.family {
				continue
			}
			for _, le := range []string{"1", "+Inf"} {
				l := labels.NewBuilder(labels.FromStrings(model.MetricNameLabel, name, "job", "amoskys", "instance", "hub:9090"))
				for _, label := range d.labels {
					l.Set(label, "some")
				}
				if strings.HasSuffix(name, "_bucket") && d.kind == "histogram" {
					l.Set("le", le)
				}
				if _, err := app.Append(0, l.Labels(), at.UnixMilli(), n); err != nil {
					t.Fatal(name, err)
				}
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	return apiOver(t, db)
}

// TestMetricsOfStoreAreDocumented: docs/metrics.md has what the store's databases of metrics
// tell of themselves.
func TestMetricsOfStoreAreDocumented(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	db, err := metrics.New(metrics.Options{Path: t.TempDir(), Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := promapi.New(promapi.Options{Queryable: db, Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := documentedMetrics(t)
	for _, f := range families {
		if _, ok := known[f.GetName()]; !ok {
			t.Errorf("docs/metrics.md lacks\n%s", row(f))
		}
	}
}

// TestGrafanaProvisioning: what Grafana is given to find the dashboards with names the data
// source as they do, and the dashboard's route.
func TestGrafanaProvisioning(t *testing.T) {
	t.Parallel()
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			BasicAuth                    bool              `yaml:"basicAuth"`
			BasicAuthUser                string            `yaml:"basicAuthUser"`
			JSONData                     map[string]any    `yaml:"jsonData"`
			SecureJSONData               map[string]string `yaml:"secureJsonData"`
		}
	}
	readYAML(t, filepath.Join(grafanaFolder, "provisioning", "datasources", "amoskys.yaml"), &sources)
	if len(sources.Datasources) != 1 || sources.APIVersion != 1 {
		t.Fatalf("%+v", sources)
	}
	if d := sources.Datasources[0]; d.UID != "amoskys" || d.Type != "prometheus" || !strings.HasSuffix(d.URL, ":5001/prometheus") ||
		!d.BasicAuth || !strings.HasPrefix(d.SecureJSONData["basicAuthPassword"], "$") {
		t.Errorf("%+v", d)
	}
	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type string
			FolderUID          string `yaml:"folderUid"`
			AllowUIUpdates     bool   `yaml:"allowUiUpdates"`
			Every              int    `yaml:"updateIntervalSeconds"`
			Options            struct{ Path string }
		}
	}
	readYAML(t, filepath.Join(grafanaFolder, "provisioning", "dashboards", "amoskys.yaml"), &boards)
	if p := boards.Providers; boards.APIVersion != 1 || len(p) != 1 || p[0].Type != "file" || !filepath.IsAbs(p[0].Options.Path) {
		t.Errorf("%+v", boards)
	}
}

// readYAML reads a file that has nothing which into has not.
func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.UnmarshalWithOptions(text, into, yaml.Strict())
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
