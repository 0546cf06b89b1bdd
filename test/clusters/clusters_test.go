// Package clusters_test kills what keeps and shows the events of a system whose events lie
// in two clusters of VictoriaLogs: all of it are processes, and the clusters' are servers as
// their makers have them.
package clusters_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/password"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// allVariable has the test run, as it does that of package cluster.
const allVariable = "AMOSKYS_TEST_CLUSTERS"

func TestMain(m *testing.M) { enginetest.Main(m) }

// process is a role in a home.
type process struct {
	t       *testing.T
	program string
	args    []string
	cmd     *exec.Cmd
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.program, p.args...)
	if os.Getenv("AMOSKYS_STORE_ENGINE_LOG") != "" {
		p.cmd.Stdout, p.cmd.Stderr = os.Stderr, os.Stderr
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends it as a crash does.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// ports are free ones of the loopback.
func ports(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		all = append(all, port)
	}
	return all
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// until waits for something that other processes do.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if <-tick.C; time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// system is a hub, two stores on two clusters, and two dashboards, of which each asks one
// store first.
type system struct {
	t                  *testing.T
	hub                string // port
	home               config.Home
	password           string
	stores, dashboards []*process
	pages              []*page
	clusters           [][]*enginetest.Server
	asked              []*enginetest.Server // that answer questions, of each cluster
	host               string
	acked              atomic.Uint64
}

// page is somebody who is signed in at a dashboard.
type page struct {
	base   string
	client http.Client
	cookie string
}

func newSystem(t *testing.T, program string) *system {
	t.Helper()
	s := &system{t: t, home: config.Home(filepath.Join(t.TempDir(), "hub"))}
	if err := s.home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(s.home.Certs(), identity.LayoutOptions{Hosts: []string{"127.0.0.1"}, Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	holder, err := identity.ReadHolder(identity.FilesFor(s.home.Certs(), "agent").Cert)
	if err != nil {
		t.Fatal(err)
	}
	s.host = holder.ID.Host()
	db, err := state.Open(t.Context(), state.Options{File: s.home.State()})
	if err != nil {
		t.Fatal(err)
	}
	if s.password, _, err = db.EnsureAdmin(t.Context(), password.New(password.Recommended(), 1)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		nodes := []*enginetest.Server{enginetest.StorageNode(t), enginetest.StorageNode(t)}
		s.clusters, s.asked = append(s.clusters, nodes), append(s.asked, enginetest.Select(t, nodes))
	}
	p := ports(t, 8)
	s.hub = p[0]
	write(t, s.home.HubConfig(), "server: {host: 127.0.0.1, port: "+p[0]+"}\nmetrics: {host: 127.0.0.1, port: "+p[1]+"}\n")
	toHub := "hub: {host: 127.0.0.1, port: " + p[0] + "}\n"
	clusters := "store: {engine: victorialogs-cluster, clusters: ["
	for i, name := range []string{"a", "b"} {
		clusters += fmt.Sprintf("{name: %s, select: %q, nodes: [%q, %q]}, ", name, s.asked[i].URL, s.clusters[i][0].URL, s.clusters[i][1].URL)
	}
	clusters += "]}\n"
	role := func(name string, home config.Home) *process {
		one := &process{t: t, program: program, args: []string{name, "--home", string(home)}}
		t.Cleanup(one.kill)
		return one
	}
	hub := role("hub", s.home)
	hub.start()
	until(t, "the hub listens", func() bool { return listens(p[0]) })
	for i := range 2 {
		home := config.Home(filepath.Join(t.TempDir(), "store"))
		if err := os.CopyFS(home.Certs(), os.DirFS(s.home.Certs())); err != nil {
			t.Fatal(err)
		}
		private(t, home.Certs())
		write(t, home.StoreConfig(), "server: {host: 127.0.0.1, port: "+p[2+i]+"}\n"+toHub+"metrics: {host: 127.0.0.1, port: "+p[4+i]+"}\n"+clusters)
		write(t, home.DashboardConfig(), "server: {host: 127.0.0.1, port: "+p[6+i]+"}\n"+toHub+
			"store: {host: 127.0.0.1, port: "+p[2+i]+", others: [\"127.0.0.1:"+p[3-i]+"\"]}\n")
		s.stores, s.dashboards = append(s.stores, role("store", home)), append(s.dashboards, role("dashboard", home))
		s.stores[i].start()
		s.dashboards[i].start()
		s.pages = append(s.pages, &page{base: "http://127.0.0.1:" + p[6+i]})
	}
	return s
}

// private has keys be their owner's alone, and folders too.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(at string, e os.DirEntry, err error) error {
		mode := os.FileMode(0o600)
		if err == nil && e.IsDir() {
			mode = 0o700
		}
		if err != nil || e.Type()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chmod(at, mode)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func listens(port string) bool {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// signIn signs in, once the dashboard serves.
func (s *system) signIn(p *page) {
	s.t.Helper()
	login, err := json.Marshal(map[string]string{"username": state.AdminName, "password": s.password})
	if err != nil {
		s.t.Fatal(err)
	}
	until(s.t, "somebody signs in", func() bool {
		answer, err := p.client.Post(p.base+"/api/login", "application/json", bytes.NewReader(login))
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		p.cookie = ""
		for _, c := range answer.Cookies() {
			p.cookie += c.Name + "=" + c.Value + "; "
		}
		return answer.StatusCode == http.StatusOK
	})
}

// get asks a dashboard.
func (p *page) get(path string, args url.Values) (int, []byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.base+path+"?"+args.Encode(), nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Cookie", p.cookie)
	answer, err := p.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return answer.StatusCode, b, err
}

// answers asks a dashboard the questions about what came before a time. An answer that is
// not there yet, as who gives it is found out to be away, is asked for again.
func (s *system) answers(p *page, before time.Time, when string) string {
	s.t.Helper()
	var out strings.Builder
	for _, query := range []string{"", "type:process.start", "message:seven", "severity:>=low", "host:" + s.host} {
		args := url.Values{"query": {query}, "since": {before.Add(-time.Hour).Format(time.RFC3339Nano)}, "until": {before.Format(time.RFC3339Nano)}, "limit": {"100"}}
		var body []byte
		until(s.t, when+": "+query, func() bool {
			code, b, err := p.get("/api/events", args)
			body = b
			return err == nil && code == http.StatusOK
		})
		var answer struct {
			Total  json.RawMessage `json:"total"`
			Events []struct {
				Offset json.RawMessage `json:"offset"`
				ID     json.RawMessage `json:"id"`
			} `json:"events"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			s.t.Fatalf("%s: %v: %.300s", when, err, body)
		}
		fmt.Fprintf(&out, "%s: %s %s\n", query, answer.Total, answer.Events)
	}
	return out.String()
}

// publish sends events, one after the other, until ctx ends.
func (s *system) publish(ctx context.Context) {
	files := identity.FilesFor(s.home.Certs(), "agent")
	cfg, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: "127.0.0.1", ServerRole: identity.RoleHub})
	if err != nil {
		s.t.Error(err)
		return
	}
	conn, err := dial.NewClient("127.0.0.1:"+s.hub, func(ctx context.Context, address string) (net.Conn, error) {
		return dial.Direct(ctx, "tcp", address)
	}, credentials.NewTLS(cfg))
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	bus := pb.NewEventBusClient(conn)
	for n := 0; ctx.Err() == nil; n++ {
		id := make([]byte, 16)
		_, _ = rand.Read(id)
		ev := &pb.Event{
			Id: id, Time: timestamppb.Now(), Type: []string{"process.start", "a.b"}[n%2], Severity: pb.Severity(1 + n%4),
			Host: &pb.Host{Name: s.host}, Agent: &pb.Agent{Id: "proc_agent"}, Message: []string{"seven", "eight", "nine"}[n%3],
		}
		if _, err := bus.PublishEvent(ctx, ev, grpc.WaitForReady(true)); err != nil {
			if ctx.Err() == nil {
				s.t.Errorf("publish: %v", err)
			}
			return
		}
		s.acked.Add(1)
	}
}

// stored are how many rows a cluster has of our events, and how many different ones; -1
// while nobody answers.
func (s *system) stored(i int) (rows, different int) {
	client := vlogs.New(s.asked[i].URL)
	defer client.Close()
	rows = -1
	q := vlogs.Query{Text: `_msg:in("seven","eight","nine") | stats count() n, count_uniq(id) m`}
	_ = client.Query(context.Background(), q, func(row []vlogs.Field) error {
		for _, f := range row {
			into := &rows
			if f.Name == "m" {
				into = &different
			}
			if _, err := fmt.Sscan(f.Value, into); err != nil {
				return err
			}
		}
		return nil
	})
	return rows, different
}

// TestOneAfterTheOtherIsKilled: a storage node, the store that writes and a dashboard are
// killed in turn under load. The same questions have the same answers at the dashboards that
// are there, and at the end each event that was acknowledged is in each cluster once.
func TestOneAfterTheOtherIsKilled(t *testing.T) {
	if os.Getenv(allVariable) != "all" {
		t.Skip("eleven processes for most of a minute: set " + allVariable + "=all for it")
	}
	program := filepath.Join(t.TempDir(), "amoskys")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/amoskys")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	s := newSystem(t, program)
	for _, p := range s.pages {
		s.signIn(p)
	}
	load, endLoad := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	loading.Go(func() { s.publish(load) })
	defer loading.Wait()
	defer endLoad()
	settled := func(what string, least uint64) {
		t.Helper()
		for i := range s.clusters {
			until(t, what, func() bool { n, _ := s.stored(i); return n >= int(least) })
		}
	}
	until(t, "events come", func() bool { return s.acked.Load() > 300 })
	before := time.Now()
	settled("both clusters have them", s.acked.Load())
	want := s.answers(s.pages[0], before, "at first")
	if strings.Contains(want, `: 0 []`) {
		t.Fatalf("nothing is found:\n%s", want)
	}
	same := func(when string, pages ...*page) {
		t.Helper()
		for i, p := range pages {
			if got := s.answers(p, before, when); got != want {
				t.Errorf("%s: dashboard %d answers otherwise:\n%s\nwant\n%s", when, i, got, want)
			}
		}
	}
	same("at first", s.pages...)

	for i, node := range []*enginetest.Server{s.clusters[0][1], s.clusters[1][0]} {
		node.Kill()
		same(fmt.Sprintf("a storage node of cluster %d killed", i), s.pages...)
		node.Start()
		settled("the cluster goes on", s.acked.Load())
		same("the node is back", s.pages...)
	}
	for i := range s.stores {
		s.stores[i].kill()
		same(fmt.Sprintf("store %d killed", i), s.pages...)
		s.stores[i].start()
	}
	settled("a store writes", s.acked.Load())
	same("the stores are back", s.pages...)
	for i := range s.dashboards {
		s.dashboards[i].kill()
		same(fmt.Sprintf("dashboard %d killed", i), s.pages[1-i])
		s.dashboards[i].start()
		s.signIn(s.pages[i])
	}
	same("at the end", s.pages...)

	endLoad()
	loading.Wait()
	all := int(s.acked.Load())
	for i := range s.clusters {
		until(t, "the cluster has all", func() bool { _, m := s.stored(i); return m >= all })
		// One that was on its way when the load ended may be there too.
		if n, m := s.stored(i); n != m || m > all+1 {
			t.Errorf("cluster %d has %d rows of %d events, and %d were acknowledged", i, n, m, all)
		}
	}
	t.Logf("%d events", all)
}
