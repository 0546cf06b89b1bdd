package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/obs"
)

func TestMain(m *testing.M) {
	// A server that closes a connection waits half a second for the client's last
	// bytes, longer than goleak looks.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// declared are the tasks of the agent under test.
func declared() []Task {
	return []Task{
		{Name: "count", Summary: "counts", ResultType: "text/plain", ResultBytes: 100, Duration: time.Minute, Parameters: []Parameter{
			{Name: "to", Summary: "how far", Type: Integer, Default: "3", Min: 0, Max: 1000},
		}},
		{Name: "wait", Summary: "waits until it is cancelled", Duration: time.Minute},
		{Name: "deaf", Summary: "does not hear its cancellation", Duration: time.Minute},
		{Name: "panics", Summary: "breaks down"},
		{Name: "fails", Summary: "fails", ResultType: "text/plain"},
		{Name: "absent", Summary: "cannot be done"},
		{Name: "swells", Summary: "writes without end", ResultType: "text/plain", ResultBytes: 1000},
	}
}

// fake carries out the declared tasks. hear ends the deaf one.
type fake struct{ hear chan struct{} }

func (f *fake) run(ctx context.Context, c *Call) error {
	switch c.Task {
	case "count":
		n := c.Values.Int("to")
		for i := range n {
			c.Progress(uint64(i+1), uint64(n), fmt.Sprintf("at %d", i+1))
			if _, err := fmt.Fprintln(c, i+1); err != nil {
				return err
			}
		}
		return nil
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	case "deaf":
		<-f.hear
		return nil
	case "panics":
		panic("broken")
	case "swells":
		for {
			if _, err := c.Write(make([]byte, 64)); err != nil {
				return err
			}
		}
	}
	_, _ = c.Write([]byte("half"))
	return errors.New("the device says no \xff")
}

func newServer(t *testing.T, now func() time.Time) (*Server, *fake) {
	t.Helper()
	f := &fake{hear: make(chan struct{})}
	unavailable := func(task string) string {
		if task == "absent" {
			return "set the switch"
		}
		return ""
	}
	s, err := NewServer(Options{AgentID: "test_agent", Tasks: declared(), Run: f.run, Unavailable: unavailable, DataDir: t.TempDir(), Logger: obs.Discard(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

// serve runs a server over its socket until the test ends.
func serve(t *testing.T) (*Client, *Server) {
	t.Helper()
	s, _ := newServer(t, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(ctx, s.o.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return NewClient(s.o.DataDir), s
}

const (
	runA = "aaaaaaaaaaaaaaaa"
	runB = "bbbbbbbbbbbbbbbb"
	runC = "cccccccccccccccc"
)

// toEnd runs a task and returns its last progress.
func toEnd(t *testing.T, c *Client, id, task string, parameters map[string]string) (Progress, error) {
	t.Helper()
	wait, err := c.Run(t.Context(), id, task, parameters)
	if err != nil {
		return Progress{}, err
	}
	var last Progress
	if err := wait(func(p Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	return last, nil
}

// TestUnavailable: what an agent cannot do is said before and when it is asked for.
func TestUnavailable(t *testing.T) {
	c, _ := serve(t)
	lacks, err := c.Unavailable(t.Context())
	if err != nil || len(lacks) != 1 || lacks["absent"] != "set the switch" {
		t.Errorf("%v, %v", lacks, err)
	}
	if _, err := toEnd(t, c, "00000001", "absent", nil); err == nil || err.Error() != "set the switch" {
		t.Errorf("%v", err)
	}
}

func TestRunsEnd(t *testing.T) {
	c, s := serve(t)
	tests := []struct {
		id, task   string
		parameters map[string]string
		want       State
		text       string
		result     string // "" for none kept
	}{
		{"00000001", "count", nil, Succeeded, "", "1\n2\n3\n"},
		{"00000002", "count", map[string]string{"to": "+5"}, Succeeded, "", "1\n2\n3\n4\n5\n"},
		{"00000003", "count", map[string]string{"to": "1000"}, Failed, "larger than the 100 bytes", ""},
		{"00000004", "panics", nil, Failed, "broke down", ""},
		{"00000005", "fails", nil, Failed, "the device says no ·", ""},
		{"00000006", "swells", nil, Failed, "larger than the 1000 bytes", ""},
	}
	for _, tt := range tests {
		t.Run(tt.id, func(t *testing.T) {
			p, err := toEnd(t, c, tt.id, tt.task, tt.parameters)
			if err != nil || p.State != tt.want || !strings.Contains(p.Text, tt.text) {
				t.Fatalf("ended as %+v, %v", p, err)
			}
			info, body, err := c.Result(t.Context(), tt.id)
			if tt.result == "" {
				if err == nil || err.Error() != ErrNotKept.Error() {
					t.Errorf("result: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			text, err := io.ReadAll(body)
			if err != nil || string(text) != tt.result || info.GetBytes() != uint64(len(text)) || info.GetResultType() != "text/plain" || info.GetTask() != "count" {
				t.Errorf("result %q, info %v, error %v", text, info, err)
			}
			if p.ResultBytes != int64(len(text)) {
				t.Errorf("%d bytes announced, %d came", p.ResultBytes, len(text))
			}
		})
	}
	left, _ := filepath.Glob(filepath.Join(s.o.DataDir, "results", "*"))
	if len(left) != 2 {
		t.Errorf("kept %v", left)
	}
}

func TestRefusals(t *testing.T) {
	c, _ := serve(t)
	many := map[string]string{}
	for i := range 20 {
		many[fmt.Sprint("p", i)] = "x"
	}
	for name, tt := range map[string]struct {
		id, task   string
		parameters map[string]string
		want       string
	}{
		"unknown task":      {runA, "scan", nil, `has no task "scan"; it has count, wait`},
		"a path as id":      {"../../etc/passwd", "count", nil, "hexadecimal"},
		"unknown parameter": {runA, "count", map[string]string{"too": "1"}, `did you mean "to"?`},
		"none known":        {runA, "wait", map[string]string{"x": "1"}, "has no parameters"},
		"not a number":      {runA, "count", map[string]string{"to": "many"}, `"many" is not a whole number`},
		"out of bounds":     {runA, "count", map[string]string{"to": "-1"}, "must be from 0 to 1000"},
		"too many":          {runA, "count", many, "at most 16"},
		"too large":         {runA, "count", map[string]string{"to": strings.Repeat("1", 5000)}, "at most 4096"},
		"far too large":     {runA, "count", map[string]string{"to": strings.Repeat("1", 1<<20)}, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := toEnd(t, c, tt.id, tt.task, tt.parameters); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if err := c.Cancel(t.Context(), runA); err == nil {
		t.Error("cancelled what does not run")
	}
}

// begin starts a run over the socket and returns how to wait for its end.
func begin(t *testing.T, ctx context.Context, c *Client, id, task string) func() (Progress, error) { //nolint:revive // t comes first in tests
	t.Helper()
	wait, err := c.Run(ctx, id, task, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() (Progress, error) {
		var last Progress
		err := wait(func(p Progress) { last = p })
		return last, err
	}
}

func TestCancelAndBounds(t *testing.T) {
	c, s := serve(t)
	a := begin(t, t.Context(), c, runA, "wait")
	leaving, leave := context.WithCancel(t.Context())
	b := begin(t, leaving, c, runB, "wait")
	if _, err := c.Run(t.Context(), runC, "count", nil); err == nil || !strings.Contains(err.Error(), "runs 2 tasks, its most, already: wait, wait") {
		t.Errorf("a third run: %v", err)
	}
	if err := c.Cancel(t.Context(), runA); err != nil {
		t.Fatal(err)
	}
	if p, err := a(); err != nil || p.State != Cancelled {
		t.Errorf("cancelled: %+v, %v", p, err)
	}
	leave()
	if _, err := b(); err == nil {
		t.Error("the caller that left saw an end")
	}
	deadline := time.After(10 * time.Second)
	for { // the server notices soon that its caller has left
		s.mu.Lock()
		n := len(s.runs)
		s.mu.Unlock()
		if n == 0 {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatal("the run of a caller that left goes on")
		}
	}
}

// TestTimes: what takes too long times out, what ignores that is reported as
// stuck and keeps its place, progress is sent a few times a second.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newServer(t, time.Now)
		start := time.Now()
		follow := func(id, task string) (last Progress) {
			r, _, err := s.begin(t.Context(), request{RunID: id, Task: task})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.follow(t.Context(), func(p Progress) error { last = p; return nil }); err != nil {
				t.Fatal(err)
			}
			return last
		}
		if p := follow(runA, "wait"); p.State != TimedOut || time.Since(start) != time.Minute {
			t.Errorf("%+v after %v", p, time.Since(start))
		}
		if p := follow(runB, "deaf"); p.State != Stuck || !strings.Contains(p.Text, "until agent test_agent is restarted") || time.Since(start) != 2*time.Minute+cancelGrace {
			t.Errorf("%+v after %v", p, time.Since(start))
		}
		s.mu.Lock()
		left := len(s.runs)
		s.mu.Unlock()
		if left != 1 {
			t.Errorf("%d runs, the stuck one keeps its place", left)
		}
		close(f.hear)
		synctest.Wait()
		s.mu.Lock()
		left, stuck := len(s.runs), s.counts["deaf"]
		s.mu.Unlock()
		if left != 0 || stuck[Stuck] != 1 || stuck[Succeeded] != 0 {
			t.Errorf("%d runs, counted %v", left, stuck)
		}
		fast, _, err := s.begin(t.Context(), request{RunID: runC, Task: "wait"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var sent int
		var work sync.WaitGroup
		work.Go(func() {
			for i := range uint64(10_000) {
				fast.report(Progress{State: Running, Done: i, Text: strings.Repeat("x", 5000)})
				select {
				case <-time.After(time.Millisecond):
				case <-ctx.Done():
					return
				}
			}
		})
		err = fast.follow(ctx, func(p Progress) error {
			if len(p.Text) > MaxTextBytes {
				t.Errorf("a text of %d bytes", len(p.Text))
			}
			sent++
			return nil
		})
		work.Wait()
		if !errors.Is(err, context.DeadlineExceeded) || sent < 40 || sent > 52 {
			t.Errorf("%d lines in 10 s, %v", sent, err)
		}
		<-fast.over
	})
}

func TestServerEndsItsRuns(t *testing.T) {
	s, _ := newServer(t, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(ctx, s.o.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	wait := begin(t, t.Context(), NewClient(s.o.DataDir), runA, "wait")
	cancel()
	_, _ = wait() // the end is told, or the connection cut: either way it is over
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := NewClient(s.o.DataDir).Run(t.Context(), runB, "wait", nil); err == nil || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("after its end: %v", err)
	}
}

func TestResultsAreKeptForAnHourAndBounded(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, runA+".count"+partSuffix), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := newResults(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxResults + 4 {
		w, err := r.create(fmt.Sprintf("%08x", i), "count", 10)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, i)
		if err := w.close(true); err != nil {
			t.Fatal(err)
		}
		at := now.Add(time.Duration(i-100) * time.Second)
		if err := os.Chtimes(w.final, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := r.open("00000003"); !errors.Is(err, ErrNotKept) {
		t.Errorf("the oldest above the bound: %v", err)
	}
	f, k, err := r.open("00000004")
	if err != nil || k.task != "count" || k.size != 1 {
		t.Errorf("%+v, %v", k, err)
	} else {
		f.Close()
	}
	if n := len(r.list()); n != maxResults {
		t.Errorf("%d kept", n)
	}
	now = now.Add(KeepResult)
	if _, _, err := r.open(fmt.Sprintf("%08x", maxResults+3)); !errors.Is(err, ErrNotKept) {
		t.Errorf("after an hour: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestSocketIsForItsUserAlone, however the folder was made, whatever lies there,
// and however long its path is.
func TestSocketIsForItsUserAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "agent")
	if runtime.GOOS == "linux" {
		dir = filepath.Join(t.TempDir(), strings.Repeat("long/", 40), "agent")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Socket(dir), []byte("stale"), 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, want := range map[string]os.FileMode{dir: 0o700, Socket(dir): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v, error %v", path, info.Mode(), want, err)
		}
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			accepted <- conn
		}
	}()
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_ = NewClient(dir).Cancel(ctx, runA) // it connects, which is enough
	}()
	select {
	case conn := <-accepted:
		conn.Close()
	case <-time.After(5 * time.Second):
		t.Error("the client does not reach the socket")
	}
}
