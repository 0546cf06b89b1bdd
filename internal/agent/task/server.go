package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/obs"
)

// Options are what a Server needs.
type Options struct {
	AgentID string
	Tasks   []Task
	// Run is the agent's own work. It returns soon after ctx has ended.
	Run func(ctx context.Context, c *Call) error
	// Unavailable says why the agent cannot do a task as it is set up, and what helps;
	// empty where it can. Nil can do all.
	Unavailable func(task string) string
	DataDir     string // of the agent; results are kept below it
	Logger      *slog.Logger
	Now         func() time.Time
}

// Server runs an agent's tasks for its node. Over the agent's socket it answers:
//
//	POST   /runs        {"run_id","task","parameters"}: lines of Progress, until a
//	                    final one; the run is cancelled when the caller leaves
//	DELETE /runs/ID     cancels a run
//	GET    /results/ID  the result of a run, as a file
//	GET    /tasks       {"unavailable": {NAME: why}}: tasks that cannot be done
//
// Errors are {"error"}, for people. It is also the collector of its metrics.
type Server struct {
	o       Options
	results *results
	ended   *prometheus.Desc
	running *prometheus.Desc

	mu     sync.Mutex // guards what follows
	runs   map[string]*run
	counts map[string]map[State]uint64 // by task
	closed bool
	work   sync.WaitGroup
}

var _ prometheus.Collector = (*Server)(nil)

// NewServer checks the declarations of tasks and makes the folder of results.
func NewServer(o Options) (*Server, error) {
	if err := Check(o.Tasks); err != nil {
		return nil, err
	}
	r, err := newResults(o.DataDir+"/results", o.Now)
	if err != nil {
		return nil, err
	}
	labels := prometheus.Labels{"agent_id": o.AgentID}
	return &Server{
		o: o, results: r, runs: map[string]*run{}, counts: map[string]map[State]uint64{},
		ended:   prometheus.NewDesc("amoskys_agent_tasks_total", "Tasks that ended, or are stuck.", []string{"task", "state"}, labels),
		running: prometheus.NewDesc("amoskys_agent_tasks_running", "Tasks that run now.", nil, labels),
	}, nil
}

// sweepEvery is how often old results are looked for.
const sweepEvery = 5 * time.Minute

// Serve answers on l until ctx ends. Then it cancels what runs and waits for it,
// for as long as a task may take to return. It owns l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	server := &http.Server{
		Handler: s.handler(ctx), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	for {
		select {
		case err := <-done:
			s.end()
			return fmt.Errorf("serve tasks: %w", err)
		case <-sweep.C:
			s.results.sweep()
			continue
		case <-ctx.Done():
		}
		s.end()
		err := server.Close()
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}
}

// end cancels every run and waits for those that return.
func (s *Server) end() {
	s.mu.Lock()
	s.closed = true
	runs := slices.Collect(maps.Values(s.runs))
	s.mu.Unlock()
	limit := time.NewTimer(cancelGrace)
	defer limit.Stop()
	for _, r := range runs {
		r.cancel(errCancelled)
	}
	for _, r := range runs {
		select {
		case <-r.over:
		case <-limit.C:
			s.o.Logger.Error("task still runs while its agent ends", obs.KeyCommand, r.task.Name)
			return
		}
	}
	s.work.Wait()
}

func (s *Server) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /runs", func(w http.ResponseWriter, r *http.Request) {
		s.serveRun(ctx, w, r)
	})
	mux.HandleFunc("DELETE /runs/{id}", s.serveCancel)
	mux.HandleFunc("GET /results/{id}", s.serveResult)
	mux.HandleFunc("GET /tasks", s.serveTasks)
	return mux
}

// lacks is the body of GET /tasks.
type lacks struct {
	Unavailable map[string]string `json:"unavailable"`
}

func (s *Server) serveTasks(w http.ResponseWriter, _ *http.Request) {
	out := lacks{Unavailable: map[string]string{}}
	for _, t := range s.o.Tasks {
		if why := s.unavailable(t.Name); why != "" {
			out.Unavailable[t.Name] = plain(why)
		}
	}
	obs.WriteJSON(w, http.StatusOK, out)
}

func (s *Server) unavailable(task string) string {
	if s.o.Unavailable == nil {
		return ""
	}
	return s.o.Unavailable(task)
}

// maxRequest bounds POST /runs: the parameters, each byte of which may be escaped.
const maxRequest = 8 * MaxParameterBytes

// request is the body of POST /runs.
type request struct {
	RunID      string            `json:"run_id"`
	Task       string            `json:"task"`
	Parameters map[string]string `json:"parameters"`
}

// problem is the body of every error.
type problem struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, code int, err error) {
	obs.WriteJSON(w, code, problem{Error: plain(err.Error())})
}

func (s *Server) serveRun(life context.Context, w http.ResponseWriter, hr *http.Request) {
	var q request
	// Read to its end, or the server does not notice that the caller leaves.
	body, err := io.ReadAll(http.MaxBytesReader(w, hr.Body, maxRequest))
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("read the request for a task: %w", err))
		return
	}
	r, code, err := s.begin(life, q)
	if err != nil {
		refuse(w, code, err)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	flush := http.NewResponseController(w)
	lines := json.NewEncoder(w)
	err = r.follow(hr.Context(), func(p Progress) error { //nolint:contextcheck // the caller's patience, not the run's life
		if err := lines.Encode(p); err != nil {
			return err
		}
		return flush.Flush()
	})
	if err != nil {
		s.o.Logger.Info("task is cancelled, its caller has left", obs.KeyCommand, q.Task)
	}
}

// runName is the form of a run's id; it becomes the name of a file.
var runName = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// begin starts a run, or says why not. life bounds all runs.
func (s *Server) begin(life context.Context, q request) (*run, int, error) {
	i := slices.IndexFunc(s.o.Tasks, func(t Task) bool { return t.Name == q.Task })
	switch {
	case !runName.MatchString(q.RunID):
		return nil, http.StatusBadRequest, errors.New("a run's id is of 8 to 64 hexadecimal digits")
	case i < 0:
		return nil, http.StatusNotFound, s.unknownTask(q.Task)
	}
	t := &s.o.Tasks[i]
	if why := s.unavailable(t.Name); why != "" {
		return nil, http.StatusConflict, errors.New(why)
	}
	values, err := t.Parse(q.Parameters)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	r := &run{id: q.RunID, task: t, over: make(chan struct{}), changed: make(chan struct{}), progress: Progress{State: Running}}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, http.StatusServiceUnavailable, fmt.Errorf("agent %s is stopping", s.o.AgentID)
	case s.runs[q.RunID] != nil:
		return nil, http.StatusConflict, errors.New("a run of this id is there already")
	case len(s.runs) >= MaxRunning:
		return nil, http.StatusTooManyRequests, fmt.Errorf("agent %s runs %d tasks, its most, already: %s", s.o.AgentID, len(s.runs), s.runningTasks())
	}
	cancellable, cancel := context.WithCancelCause(life)
	ctx, stop := context.WithTimeoutCause(cancellable, t.duration(), context.DeadlineExceeded)
	r.ctx, r.cancel = ctx, func(cause error) { cancel(cause); stop() }
	s.runs[r.id] = r
	s.o.Logger.Info("task begins", obs.KeyCommand, t.Name)
	s.work.Add(2)
	go func() { defer s.work.Done(); s.perform(r, values) }()
	go func() { defer s.work.Done(); s.watch(r) }()
	return r, http.StatusOK, nil
}

func (s *Server) unknownTask(name string) error {
	if len(s.o.Tasks) == 0 {
		return fmt.Errorf("agent %s has no tasks", s.o.AgentID)
	}
	names := make([]string, len(s.o.Tasks))
	for i, t := range s.o.Tasks {
		names[i] = t.Name
	}
	return fmt.Errorf("agent %s has no task %.64q; it has %s", s.o.AgentID, name, strings.Join(names, ", "))
}

// runningTasks names what runs. The caller holds mu.
func (s *Server) runningTasks() string {
	names := make([]string, 0, len(s.runs))
	for _, r := range s.runs {
		names = append(names, r.task.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (s *Server) forget(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, r.id)
}

func (s *Server) serveCancel(w http.ResponseWriter, hr *http.Request) {
	s.mu.Lock()
	r := s.runs[hr.PathValue("id")]
	s.mu.Unlock()
	if r == nil {
		refuse(w, http.StatusNotFound, errors.New("no such task runs any more"))
		return
	}
	r.cancel(errCancelled)
	w.WriteHeader(http.StatusNoContent)
}

// Headers of a result.
const (
	headerTask = "Amoskys-Task"
	headerMade = "Amoskys-Created"
)

func (s *Server) serveResult(w http.ResponseWriter, hr *http.Request) {
	f, k, err := s.results.open(hr.PathValue("id"))
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	defer func() { _ = f.Close() }() // only read
	mediaType := "application/octet-stream"
	for _, t := range s.o.Tasks {
		if t.Name == k.task {
			mediaType = t.ResultType
		}
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.FormatInt(k.size, 10))
	w.Header().Set(headerTask, k.task)
	w.Header().Set(headerMade, k.made.UTC().Format(time.RFC3339Nano))
	_, _ = io.Copy(w, f) // the caller counts what it gets
}

func (s *Server) count(task string, state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[task] == nil {
		s.counts[task] = map[State]uint64{}
	}
	s.counts[task][state]++
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) { ch <- s.ended; ch <- s.running }

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for task, states := range s.counts {
		for state, n := range states {
			ch <- prometheus.MustNewConstMetric(s.ended, prometheus.CounterValue, float64(n), task, string(state))
		}
	}
	ch <- prometheus.MustNewConstMetric(s.running, prometheus.GaugeValue, float64(len(s.runs)))
}
