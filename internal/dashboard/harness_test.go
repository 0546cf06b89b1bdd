package dashboard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/hub/accounts"
	"github.com/amoskys/amoskys/internal/hub/audit"
	"github.com/amoskys/amoskys/internal/hub/fleet"
	"github.com/amoskys/amoskys/internal/hub/marks"
	"github.com/amoskys/amoskys/internal/hub/query"
	"github.com/amoskys/amoskys/internal/hub/saved"
	"github.com/amoskys/amoskys/internal/hub/tasks"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/rights"
	"github.com/amoskys/amoskys/internal/live"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/password"
)

// What runs already is the engine's parser, whose packages start goroutines as they load.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

const testPassword = "correct horse battery"

// fakeHub is the real services of a hub over a log in memory, with the limits and
// the rights of the real one.
type fakeHub struct {
	t        testing.TB
	db       *state.DB
	feed     *live.Feed
	recorder *live.Recorder
	registry *prometheus.Registry
	bus      *memoryBus
	services func(grpc.ServiceRegistrar)

	// numbers are the metrics of the store; without, it has none.
	numbers atomic.Pointer[promapi.API]
	// devices are what the store knows of devices.
	devices listedDevices

	// addr is where a dashboard connects, nodes where a node does.
	addr, nodes string
	stop        func()
	// asked, when not nil, is called before a question to the store is answered.
	asked atomic.Pointer[func(context.Context, proto.Message)]
	// hung, when not nil, keeps every question waiting until it is closed.
	hung atomic.Pointer[chan struct{}]
	// streams are the streaming calls under way, all those that there were.
	streams, begun atomic.Int64
}

func newHub(t testing.TB) *fakeHub {
	t.Helper()
	h := &fakeHub{t: t, registry: prometheus.NewRegistry(), recorder: live.NewRecorder(live.RecorderOptions{})}
	var err error
	if h.db, err = state.Open(context.Background(), state.Options{File: filepath.Join(t.TempDir(), "state.db")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	hasher := password.New(password.Params{MemoryKiB: 64, Passes: 1, Lanes: 1}, 2)
	hash, err := hasher.Hash(context.Background(), testPassword)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []state.Role{state.RoleViewer, state.RoleAnalyst, state.RoleAdmin} {
		if err := h.db.CreateUser(context.Background(), state.User{Name: string(role), Role: role, PasswordHash: hash}); err != nil {
			t.Fatal(err)
		}
	}
	h.feed = live.NewFeed(h.recorder)
	h.bus = &memoryBus{feed: h.feed, changed: make(chan struct{})}
	trail := audit.New(audit.Options{Store: h.db})
	var jobs *tasks.Service
	fl, err := fleet.New(context.Background(), fleet.Options{
		Store: h.db, Auditor: trail, CommandTimeout: 5 * time.Second,
		Progress: func(id string, p *pb.TaskProgress) { jobs.Progress(id, p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	jobs = tasks.New(tasks.Options{Nodes: fl, Auditor: trail})
	prometheus.WrapRegistererWith(nil, h.registry).MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "eventbus_queue_depth", Help: "Events in the queue."}, func() float64 { return 3 }))
	status := func() hub.Status {
		return hub.Status{Status: "ok", Version: "test", UptimeSeconds: 5, Log: hub.LogStatus{State: "ok", NextOffset: h.bus.tail()}}
	}
	h.recorder.Sample(query.Gauges(status), fl.Gauges)
	h.services = func(s grpc.ServiceRegistrar) {
		pb.RegisterEventBusServer(s, h.bus)
		people := accounts.New(accounts.Options{Store: h.db, Auditor: trail, Hasher: hasher})
		pb.RegisterAccountsServer(s, people)
		pb.RegisterSavedQueriesServer(s, saved.New(saved.Options{
			Store: h.db, Sessions: people, Auditor: trail, Operator: func(context.Context) string { return "" },
		}))
		pb.RegisterDevicesServer(s, &h.devices)
		pb.RegisterMetricsServer(s, promapi.NewService(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if api := h.numbers.Load(); api != nil {
				api.ServeHTTP(w, r)
				return
			}
			fmt.Fprint(w, `{"status":"success","data":[]}`)
		})))
		pb.RegisterDeviceMarksServer(s, marks.New(marks.Options{
			Store: h.db, Sessions: people, Auditor: trail, Operator: func(context.Context) string { return "" },
		}))
		pb.RegisterFleetServer(s, fl)
		pb.RegisterTasksServer(s, jobs)
		pb.RegisterEnrollmentServer(s, enroller{})
		pb.RegisterQueryServer(s, memoryStore{query.New(query.Options{Status: status, Series: h.recorder, Gatherer: h.registry, Readings: latestReadings}), h})
	}
	h.start()
	t.Cleanup(func() { h.stop() })
	return h
}

// hang keeps the hub from answering, with its connections up, until goOn is called.
func (h *fakeHub) hang() (goOn func()) {
	hung := make(chan struct{})
	h.hung.Store(&hung)
	return sync.OnceFunc(func() { h.hung.Store(nil); close(hung) })
}

// start serves, on the same ports as before if there were any.
func (h *fakeHub) start() {
	h.t.Helper()
	var stopDashboard, stopNodes func()
	h.addr, stopDashboard = h.serve(h.addr, identity.RoleDashboard)
	h.nodes, stopNodes = h.serve(h.nodes, identity.RoleNode)
	h.stop = func() { stopDashboard(); stopNodes() }
}

// serve serves callers of one role.
func (h *fakeHub) serve(addr string, role identity.Role) (at string, stop func()) {
	h.t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	authorise := func(method string) error {
		if !rights.Hub().Allows(role, method) && !rights.Store().Allows(role, method) {
			return status.Errorf(codes.PermissionDenied, "%s is not for %s", method, role)
		}
		return nil
	}
	server := grpc.NewServer(
		grpc.MaxConcurrentStreams(uint32(hub.DefaultConfig().Server.MaxStreams)),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := authorise(info.FullMethod); err != nil {
				return nil, err
			}
			if hung := h.hung.Load(); hung != nil {
				select {
				case <-*hung:
				case <-ctx.Done():
				}
			}
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := authorise(info.FullMethod); err != nil {
				return err
			}
			h.begun.Add(1)
			h.streams.Add(1)
			defer h.streams.Add(-1)
			return next(srv, ss)
		}),
	)
	h.services(server)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	return l.Addr().String(), sync.OnceFunc(func() { server.Stop(); <-done })
}

// site is a dashboard that serves, over a hub.
type site struct {
	hub    *fakeHub
	server *dashboard.Server
	url    string
	access *lockedBuffer
	stop   func() // returns when the server has stopped
}

func assets() fstest.MapFS {
	return fstest.MapFS{
		"index.html":            {Data: []byte(`<!doctype html><script>let theme</script><script type="module" src="/assets/app-1a2b.js"></script><div id="app"></div>`)},
		"assets/app-1a2b.js":    {Data: []byte("console.log('plain')")},
		"assets/app-1a2b.js.gz": {Data: []byte("zipped")},
		"favicon.svg":           {Data: []byte("<svg/>")},
		"docs/quickstart.html":  {Data: []byte("<h1>Quick start</h1>")},
		"docs/img/a.png":        {Data: []byte("png")},
		"docs/site.js":          {Data: []byte("plain")},
		"docs/site.js.gz":       {Data: []byte("zipped")},
		".gitkeep":              {Data: nil},
	}
}

func newSite(t testing.TB, change ...func(*dashboard.Options)) *site {
	t.Helper()
	return newSiteOver(t, newHub(t), change...)
}

func newSiteOver(t testing.TB, h *fakeHub, change ...func(*dashboard.Options)) *site {
	t.Helper()
	config := dashboard.DefaultConfig()
	config.Server.Port = 0
	host, port, _ := net.SplitHostPort(h.addr)
	config.Hub.Host = host
	fmt.Sscan(port, &config.Hub.Port)
	config.Hub.TimeoutSeconds = 5
	config.Store.Host, config.Store.Port = config.Hub.Host, config.Hub.Port
	s := &site{hub: h, access: &lockedBuffer{}}
	o := dashboard.Options{
		Config: config, Assets: assets(), HubCredentials: insecure.NewCredentials(), Version: "1.2.3",
		AccessLog: slog.New(slog.NewTextHandler(s.access, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	server, err := dashboard.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.server = server
	s.url = "http://" + server.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("dashboard: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// client is a browser.
type client struct {
	t    testing.TB
	url  string
	http *http.Client
	csrf string
}

func (s *site) client(t testing.TB) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, url: s.url, http: &http.Client{
		Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signedIn is a browser with a session.
func (s *site) signedIn(t testing.TB, user string) *client {
	t.Helper()
	c := s.client(t)
	var session dashboard.Session
	if code := c.do("POST", "/api/login", map[string]string{"username": user, "password": testPassword}, &session); code != 200 {
		t.Fatalf("login of %s: %d", user, code)
	}
	c.csrf = session.CSRFToken
	return c
}

// do sends a request and decodes its JSON answer into out.
func (c *client) do(method, path string, body, out any) int {
	c.t.Helper()
	response := c.send(method, path, body)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			c.t.Fatalf("%s %s: %d %s: %v", method, path, response.StatusCode, text, err)
		}
	}
	return response.StatusCode
}

func (c *client) send(method, path string, body any, change ...func(*http.Request)) *http.Response {
	c.t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, c.url+path, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.csrf != "" {
		request.Header.Set("X-CSRF-Token", c.csrf)
	}
	for _, ch := range change {
		ch(request)
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	return response
}

// eventually asks again until ok or ten seconds have passed.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not in ten seconds: %s", what)
		case <-tick.C:
		}
	}
}

var sequence struct {
	sync.Mutex
	n int
}

// sampleEvent is a reading of a process, each with an id of its own.
func sampleEvent(name string, pid uint32) *pb.Event {
	sequence.Lock()
	sequence.n++
	id := fmt.Sprintf("%016d", sequence.n)
	sequence.Unlock()
	return &pb.Event{
		Id: []byte(id), Time: timestamppb.Now(), Type: event.TypeProcessSample, Severity: pb.Severity_SEVERITY_INFORMATIONAL,
		Agent: &pb.Agent{Id: "proc_agent", Kind: "proc"}, Host: &pb.Host{Name: "h1"},
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Action:  pb.ProcessAction_PROCESS_ACTION_SAMPLE,
			Process: &pb.Process{Pid: pid, Uid: fmt.Sprintf("uid-%d", pid), Name: name, CmdLine: "/bin/" + name},
			Usage:   &pb.ProcessUsage{CpuPercent: float64(pid), RssBytes: 1 << 20},
		}},
	}
}

func samples(name string, n int) []*pb.Event {
	list := make([]*pb.Event, n)
	for i := range list {
		list[i] = sampleEvent(name, uint32(i+1))
	}
	return list
}

// node connects a node with one agent to the hub, and answers commands.
func (h *fakeHub) node(t testing.TB, host string) (disconnect func()) {
	t.Helper()
	conn, err := grpc.NewClient(h.nodes, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := pb.NewFleetClient(conn).Control(ctx)
	if err != nil {
		t.Fatal(err)
	}
	agent := &pb.AgentStatus{
		Id: "proc_agent", Kind: "proc", State: pb.AgentState_AGENT_STATE_RUNNING,
		Health: pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN, Pid: 42, Port: 50002, Enabled: true,
	}
	err = stream.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: &pb.NodeHello{
		NodeId: "node-" + host, Host: &pb.Host{Name: host}, Version: "1", Agents: []*pb.AgentStatus{agent},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			command, err := stream.Recv()
			if err != nil {
				return
			}
			result := &pb.CommandResult{Id: command.GetId(), Ok: true}
			switch command.GetCommand() {
			case pb.AgentCommand_AGENT_COMMAND_STOP:
				result.Agent = &pb.AgentStatus{Id: "proc_agent", Kind: "proc", State: pb.AgentState_AGENT_STATE_STOPPED}
			case pb.AgentCommand_AGENT_COMMAND_RESTART:
				result.Ok, result.Error = false, "its configuration has a fault"
			case pb.AgentCommand_AGENT_COMMAND_LOGS:
				result.Lines = strings.Split(strings.Repeat("line\n", int(command.GetLines())), "\n")[:command.GetLines()]
			case pb.AgentCommand_AGENT_COMMAND_START:
				result.Agent = agent
			default:
				answerTask(conn, func(m *pb.NodeMessage) { _ = stream.Send(m) }, command, result)
			}
			if stream.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Result{Result: result}}) != nil {
				return
			}
		}
	}()
	disconnect = sync.OnceFunc(func() { cancel(); <-done; conn.Close() })
	t.Cleanup(disconnect)
	return disconnect
}

// cookie is the session cookie as a header.
func (c *client) cookie() string {
	u, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	cookies := c.http.Jar.Cookies(u)
	return cookies[0].Name + "=" + cookies[0].Value
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

// latestReadings are those that the hub keeps of agents.
func latestReadings(prefix string) []*pb.MetricSample {
	one := &pb.MetricSample{Name: "flow_bytes_total", Type: "counter", Help: "Bytes.", Value: 7, Labels: map[string]string{"agent": "flow", "host": "a"}}
	if !strings.HasPrefix(one.GetName(), prefix) {
		return nil
	}
	return []*pb.MetricSample{one}
}
