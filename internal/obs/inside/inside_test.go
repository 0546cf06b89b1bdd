package inside

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/obs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process is one that an operator looks into.
type process struct {
	*Client
	log   *bytes.Buffer
	level *obs.Level
	out   *slog.Logger
}

func startProcess(t *testing.T, acts *Acts) process {
	t.Helper()
	p := process{log: &bytes.Buffer{}, level: obs.NewLevel(slog.LevelInfo)}
	p.out = slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: p.level}))
	// Longer than the address of a socket may be.
	socket := Socket(filepath.Join(t.TempDir(), strings.Repeat("long", 12), strings.Repeat("path", 12)), "hub")
	stop, err := Start(Options{Socket: socket, Level: p.level, Logger: p.out, Acts: acts})
	if err != nil {
		t.Skipf("a socket with a long path cannot be made here: %v", err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	for file, want := range map[string]os.FileMode{socket: 0o600, filepath.Dir(socket): 0o700} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	p.Client = NewClient(socket)
	return p
}

func TestLevel(t *testing.T) {
	p := startProcess(t, nil)
	p.out.Debug("before")
	l, err := p.SetLevel(t.Context(), "debug")
	if err != nil || l != (Levels{Level: "DEBUG", Was: "INFO", Configured: "INFO"}) {
		t.Errorf("set: %+v, %v", l, err)
	}
	p.out.Debug("meanwhile")
	if _, err := p.SetLevel(t.Context(), "LOUD"); err == nil || !strings.Contains(err.Error(), "CRITICAL") {
		t.Errorf("a level that there is not: %v", err)
	}
	if l, err := p.SetLevel(t.Context(), ""); err != nil || l.Level != "INFO" {
		t.Errorf("back: %+v, %v", l, err)
	}
	if l, err := p.Level(t.Context()); err != nil || l.Level != "INFO" {
		t.Errorf("now: %+v, %v", l, err)
	}
	p.out.Debug("afterwards")
	text := p.log.String()
	if strings.Contains(text, "before") || !strings.Contains(text, "meanwhile") || strings.Contains(text, "afterwards") {
		t.Error(text)
	}
	if strings.Count(text, "the operator has set the level") != 2 || !strings.Contains(text, "of this machine") {
		t.Errorf("who did it is not in the log: %s", text)
	}
}

func TestProfiles(t *testing.T) {
	p := startProcess(t, nil)
	for _, name := range ProfileNames() {
		if testing.Short() && (name == "cpu" || name == "trace") {
			continue
		}
		var out bytes.Buffer
		if err := p.Profile(t.Context(), name, 1, &out); err != nil || out.Len() < 32 {
			t.Errorf("%s: %d bytes, %v", name, out.Len(), err)
		}
	}
	for name, seconds := range map[string]int{"../level": 1, "secrets": 1, "cpu": 0, "trace": 1000} {
		if err := p.Profile(t.Context(), name, seconds, &bytes.Buffer{}); err == nil {
			t.Errorf("%s for %d s was taken", name, seconds)
		}
	}
	// Who leaves ends it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Profile(ctx, "cpu", 100, &bytes.Buffer{}); err == nil {
		t.Error("taken for nobody")
	}
}

func TestActs(t *testing.T) {
	acts := &Acts{}
	p := startProcess(t, acts)
	act := Act{Actor: "somebody else", Operation: LevelChanged, Target: "store", Detail: "INFO to DEBUG"}
	if err := p.Tell(t.Context(), act); err == nil {
		t.Error("an act was taken by nobody")
	}
	told := make(chan Act, 1)
	acts.To(func(_ context.Context, a Act) { told <- a })
	if err := p.Tell(t.Context(), act); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got.Actor == act.Actor || got.Target != "store" || !strings.HasPrefix(got.Actor, "user ") {
		t.Errorf("told %+v", got)
	}
	act.Operation = "user.add"
	if err := p.Tell(t.Context(), act); err == nil {
		t.Error("any operation can be told")
	}
}

func TestNobodyListens(t *testing.T) {
	if _, err := NewClient(Socket(t.TempDir(), "hub")).Level(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
}

// TestLargeProfile: one that is larger than it may be is said to be so, and does not pass for
// a whole one.
func TestLargeProfile(t *testing.T) {
	server := &server{o: Options{Logger: obs.Discard()}, mostProfile: 64}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /profile/{name}", server.profile)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Skipf("no socket can be made here: %v", err)
	}
	web := httptest.NewUnstartedServer(mux)
	web.Listener = l
	web.Start()
	defer web.Close()
	var out bytes.Buffer
	if err := NewClient(socket).Profile(t.Context(), "allocs", 0, &out); err == nil || !strings.Contains(err.Error(), "larger than 64 MB") {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
	b := bounded{w: &out, left: 8}
	out.Reset()
	for _, part := range []string{"1234", "123456789", "12"} {
		_, _ = b.Write([]byte(part))
	}
	if out.String() != "1234" || !b.full {
		t.Errorf("behind what had no room: %q", out.String())
	}
}

// TestHungProcess: who waits for one that does not answer is told so.
func TestHungProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		c := NewClient("hung")
		c.http.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ours, nil }, DisableKeepAlives: true}
		if _, err := c.Level(t.Context()); !errors.Is(err, errSilent) {
			t.Errorf("after %s: %v", answerTime, err)
		}
	})
}
