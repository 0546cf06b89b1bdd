package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// TestPrometheusReceives: the real Prometheus takes what is sent, and gets all of it though
// it was away.
func TestPrometheusReceives(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts Prometheus")
	}
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed (Debian: apt-get install prometheus)")
	}
	l := newLab(t)
	addr := "127.0.0.1:" + freePort(t)
	e, _ := l.start(nil, Target{Name: "p", URL: "http://" + addr + "/api/v1/write", Protocol: RemoteWrite1, Labels: labels.FromStrings("site", "x")})
	write := func() {
		l.write(1, labels.FromStrings("__name__", "a", "host", "h"), labels.FromStrings("__name__", "a", "host", "i"))
	}
	write() // before it is there
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte("scrape_configs: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said lockedBuffer
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--web.enable-remote-write-receiver", "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", said.String())
		}
	}()
	count := func(query string) string {
		resp, err := http.Get("http://" + addr + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			return ""
		}
		defer func() { _ = resp.Body.Close() }()
		var answer struct {
			Data struct {
				Result []struct {
					Value [2]any `json:"value"`
				} `json:"result"`
			} `json:"data"`
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || json.Unmarshal(b, &answer) != nil || len(answer.Data.Result) != 1 {
			return ""
		}
		return fmt.Sprint(answer.Data.Result[0].Value[1])
	}
	const query = `sum(count_over_time(a{site="x"}[1h]))`
	until(t, "it has what was written before it was there", func() bool { return count(query) == "2" })
	write()
	until(t, "it has what came then", func() bool { return count(query) == "4" })
	// It takes nothing out of order: what is late costs itself alone.
	now := time.Now().UnixMilli()
	h, i := labels.FromStrings("__name__", "a", "host", "h"), labels.FromStrings("__name__", "a", "host", "i")
	l.writeAt(1, []int64{now - 30_000}, h)
	l.writeAt(1, []int64{now}, h, i)
	until(t, "it has what is not late", func() bool { return count(query) == "6" })
	until(t, "it refuses what is late", func() bool { return e.senders[0].droppedFor(dropLate) == 1 })
	http.DefaultClient.CloseIdleConnections()
}

func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, port, err := net.SplitHostPort(c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// lockedBuffer is a buffer that a process writes to.
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
