package enginetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/app/vlinsert"
	"github.com/VictoriaMetrics/VictoriaLogs/app/vlinsert/insertutil"
	"github.com/VictoriaMetrics/VictoriaLogs/app/vlselect"
	"github.com/VictoriaMetrics/VictoriaLogs/app/vlstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/httpserver"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/procutil"

	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// serverVariable makes a test binary VictoriaLogs' own server: its flags, its ports, its
// pages. With -storageNode it is vlinsert and vlselect, as its makers' program is.
const serverVariable = "AMOSKYS_STORE_SERVER_TEST"

// versionVariable is the version that such a server says it is of; empty for its own.
const versionVariable = "AMOSKYS_STORE_SERVER_VERSION"

// runServer does what app/victoria-logs does. It ends with who started it.
func runServer(args []string) {
	if err := flag.CommandLine.Parse(args); err != nil {
		panic(err)
	}
	if v := os.Getenv(versionVariable); v != "" {
		buildinfo.Version = "victoria-logs-20990101-000000-tags-" + v + "-0-g0123456789"
	}
	logger.Init()
	address := flag.Lookup("httpListenAddr.test").Value.String()
	vlstorage.Init()
	vlselect.Init()
	insertutil.SetLogRowsStorage(&vlstorage.Storage{})
	vlinsert.Init()
	go httpserver.Serve([]string{address}, func(w http.ResponseWriter, r *http.Request) bool {
		return vlinsert.RequestHandler(w, r) || vlselect.RequestHandler(w, r) || vlstorage.RequestHandler(w, r)
	}, httpserver.ServeOptions{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) //nolint:forbidigo // it stands for main
	}()
	procutil.WaitForSigterm()
	if err := httpserver.Stop([]string{address}); err != nil {
		panic(err)
	}
	vlinsert.Stop()
	vlselect.Stop()
	vlstorage.Stop()
}

// Server is a server of VictoriaLogs, a process of its own.
type Server struct {
	URL   string
	Path  string // of its data; "" where it has none
	flags []string

	version string // that it says it is of

	tb     testing.TB
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr bytes.Buffer
}

// StorageNode starts a storage node, whose data are in a folder of the test.
func StorageNode(tb testing.TB, flags ...string) *Server {
	tb.Helper()
	path := tb.TempDir()
	return start(tb, path, append([]string{"-storageDataPath=" + path, "-retentionPeriod=100y", "-futureRetention=100y", "-delete.enable", "-storage.minFreeDiskSpaceBytes=1"}, flags...))
}

// Versioned is StorageNode of a server that says it is of another version; "" for our own.
// It may have TLS: that it serves is not waited for, but that it listens.
func Versioned(tb testing.TB, version string, flags ...string) *Server {
	tb.Helper()
	path := tb.TempDir()
	return startAs(tb, path, version, append([]string{"-storageDataPath=" + path, "-retentionPeriod=100y", "-futureRetention=100y", "-delete.enable", "-storage.minFreeDiskSpaceBytes=1"}, flags...))
}

// Select starts a vlselect of nodes.
func Select(tb testing.TB, nodes []*Server, flags ...string) *Server {
	tb.Helper()
	for _, n := range nodes {
		flags = append(flags, "-storageNode="+strings.TrimPrefix(n.URL, "http://"))
	}
	return start(tb, "", flags)
}

func start(tb testing.TB, path string, flags []string) *Server {
	tb.Helper()
	return startAs(tb, path, "", flags)
}

func startAs(tb testing.TB, path, version string, flags []string) *Server {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	s := &Server{URL: "http://" + address, Path: path, flags: append(flags, "-httpListenAddr.test="+address, "-loggerLevel=ERROR"), version: version, tb: tb}
	s.Start()
	tb.Cleanup(s.Kill)
	return s
}

// Start starts it again, where it was before, and returns once it serves.
func (s *Server) Start() {
	s.tb.Helper()
	s.cmd = exec.Command("/proc/self/exe", s.flags...) //nolint:noctx,gosec // Kill ends it; it is this program with flags of the test
	s.cmd.Env = append(os.Environ(), serverVariable+"=1", versionVariable+"="+s.version, "GOMAXPROCS=1")
	s.stderr.Reset()
	s.cmd.Stderr = &s.stderr
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		s.tb.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	client := vlogs.New(s.URL)
	defer client.Close()
	serves := func() bool {
		err := client.Health(context.Background())
		refused := &vlogs.RefusedError{}
		return err == nil || errors.As(err, &refused) // it wants TLS, or a password
	}
	until := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !serves() {
		if <-tick.C; time.Now().After(until) {
			s.Kill()
			s.tb.Fatalf("a server of VictoriaLogs does not start: %s", s.said())
		}
	}
}

func (s *Server) said() string {
	lines := bufio.NewScanner(&s.stderr)
	var b strings.Builder
	for lines.Scan() && b.Len() < 2000 {
		fmt.Fprintln(&b, lines.Text())
	}
	return b.String()
}

// Kill ends it as a crash does.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = s.stdin.Close()
	s.cmd = nil
}
