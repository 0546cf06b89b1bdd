package obs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestLevels(t *testing.T) {
	for _, name := range LevelNames() {
		level, err := ParseLevel(strings.ToLower(name))
		if err != nil {
			t.Fatal(err)
		}
		if got := LevelName(level); got != name {
			t.Errorf("%s became %s", name, got)
		}
	}
	if _, err := ParseLevel("LOUD"); err == nil || !strings.Contains(err.Error(), "WARNING") {
		t.Errorf("the error does not list what is valid: %v", err)
	}
}

func TestLoggerWritesToEverySink(t *testing.T) {
	dir := t.TempDir()
	var stderr bytes.Buffer
	own, shared := filepath.Join(dir, "logs", "agents", "a.log"), filepath.Join(dir, "logs", "errors.log")
	log, closer, err := NewLogger(LogOptions{File: own, ErrorsFile: shared, Stderr: &stderr, Component: "test"})
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("unseen")
	log.Warn("odd", slog.Duration(KeyDuration, 1500*time.Microsecond))
	log.Error("bad", slog.String(KeyReason, "two\nlines"))
	log.Log(t.Context(), LevelCritical, "worst")
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"level=WARNING msg=odd component=test duration=1.5ms",
		`level=ERROR msg=bad component=test reason="two\nlines"`,
		"level=CRITICAL msg=worst component=test",
	}
	if diff := cmp.Diff(want, withoutTime(t, own)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[1:], withoutTime(t, shared)); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(stderr.String(), "\n"); n != 3 {
		t.Errorf("stderr has %d lines", n)
	}
	info, err := os.Stat(own)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("log has mode %v", info.Mode())
	}
}

func withoutTime(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		stamp, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, err := time.Parse("time=2006-01-02T15:04:05.000Z07:00", stamp); err != nil {
			t.Error(err)
		}
		lines = append(lines, rest)
	}
	return lines
}

// TestLogFileRotates has several writers, as several processes would be, fill
// the file many times over: every line stays whole, and none is lost while the
// copies suffice.
func TestLogFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "errors.log")
	const writers, lines, size = 4, 50, 40
	var wg sync.WaitGroup
	for w := range writers {
		f, err := OpenLog(path, Keep{Bytes: writers * lines * size / 3, Copies: 4})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := range lines {
				if _, err := fmt.Fprintf(f, "%-39s\n", fmt.Sprintf("writer %d line %d", w, i)); err != nil {
					t.Error(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if _, err := f.Write([]byte("x")); err == nil {
				t.Error("wrote after Close")
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		scanner := bufio.NewScanner(f)
		for scanner.Scan() {
			if len(scanner.Text()) != size-1 {
				t.Errorf("line %q is torn", scanner.Text())
			}
			seen[scanner.Text()] = true
		}
		f.Close()
	}
	if len(seen) != writers*lines {
		t.Errorf("%d lines in %d files, want %d", len(seen), len(files), writers*lines)
	}
	if len(files) < 3 {
		t.Errorf("was not rotated: %v", files)
	}
}

func TestEndpoint(t *testing.T) {
	registry := NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "process_things_total", Help: "Things."})
	registry.MustRegister(counter)
	counter.Add(3)
	ok := true
	e := Endpoint{
		Health: func(context.Context) Health {
			if ok {
				return Health{OK: true, State: "running"}
			}
			return Health{State: "degraded", Reasons: []string{"the hub is away"}}
		},
		Status:   func(context.Context) any { return map[string]int{"events": 7} },
		Gatherer: registry,
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, e.Handler(), Discard()) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request := func(method, path string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	check := func(method, path string, wantStatus int, want string) {
		t.Helper()
		status, body := request(method, path)
		if status != wantStatus || !strings.Contains(body, want) {
			t.Errorf("%s %s gave %d %s, want %d with %s", method, path, status, body, wantStatus, want)
		}
	}
	check("GET", "/healthz", 200, `{"ok":true,"state":"running"}`)
	check("GET", "/status", 200, `{"events":7}`)
	check("GET", "/metrics", 200, "process_things_total 3")
	check("GET", "/metrics", 200, "amoskys_build_info")
	check("POST", "/status", 405, "")
	check("GET", "/else", 404, "")
	ok = false
	check("GET", "/healthz", 503, `"reasons":["the hub is away"]`)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWriteJSONRefusesWhatCannotBeWritten(t *testing.T) {
	w := &recorder{header: http.Header{}}
	WriteJSON(w, 200, math.NaN())
	if w.status != 500 || !json.Valid(w.body.Bytes()) {
		t.Errorf("got %d %s", w.status, w.body.String())
	}
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
