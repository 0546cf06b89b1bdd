package ingest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// wholeVariable makes the test binary a whole store with its log, in the folder that it
// names; wholeSeed seeds it.
const (
	wholeVariable = "AMOSKYS_TEST_WHOLE"
	wholeSeed     = "AMOSKYS_TEST_WHOLE_SEED"
)

// compareEvery is after how many kills the store is held against the log, beside the end.
const compareEvery = 10

// TestKillsOfTheWhole kills log, reader, ingest and engine, all at once or the store's
// process or its engine alone, at random moments: afterwards each event that the log has
// is in the store once. As often as AMOSKYS_TEST_WHOLE_KILLS says.
func TestKillsOfTheWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: it waits for engines that begin anew")
	}
	t.Parallel()
	kills := many(t, "AMOSKYS_TEST_WHOLE_KILLS", 3)
	dir, random := t.TempDir(), rand.New(rand.NewPCG(7, 7))
	for i := range kills {
		killWhole(t, dir, i, time.Duration(random.IntN(1500))*time.Millisecond, random.IntN(3))
		if i+1 < kills && (i+1)%compareEvery == 0 {
			compareWhole(t, dir, i+1)
		}
	}
	compareWhole(t, dir, kills)
}

// compareWhole holds a store that was killed against its log, which nobody writes.
func compareWhole(t *testing.T, dir string, kills int) {
	t.Helper()
	began := time.Now()
	l := newLogged(8)
	l.log = openLog(t, dir)
	l.readAll(t)
	r := startFeed(t, l, filepath.Join(dir, "store"))
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "*"))
	r.stop()
	t.Logf("%d kills, %d events, each once: compared in %v", kills, len(l.events), time.Since(began).Round(time.Millisecond))
	if err := l.log.Close(); err != nil {
		t.Error(err)
	}
}

// Who is killed first, and the rest a moment later.
const (
	killAll = iota
	killStoreFirst
	killEngineFirst
)

// killWhole runs a whole store for a while once it serves, and kills it.
func killWhole(t *testing.T, dir string, seed int, after time.Duration, who int) {
	t.Helper()
	socket, err := os.MkdirTemp("", "w") //nolint:usetesting // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(socket)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), wholeVariable+"="+dir, wholeSeed+"="+strconv.Itoa(seed), "AMOSKYS_TEST_SOCKET="+filepath.Join(socket, "s"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	engine := 0
	for lines := bufio.NewScanner(out); engine == 0 && lines.Scan(); {
		engine, _ = strconv.Atoi(lines.Text())
	}
	_ = wait(t.Context(), after)
	pids := []int{engine, cmd.Process.Pid}
	if who == killStoreFirst {
		slices.Reverse(pids)
	}
	for i, pid := range pids {
		if i > 0 && who != killAll {
			_ = wait(t.Context(), after/4)
		}
		if p, err := os.FindProcess(pid); err == nil && pid > 0 {
			_ = p.Kill()
		}
	}
	_ = cmd.Wait()
	until(t, "the engine is gone", func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", engine))
		return err != nil || strings.Contains(string(state), ") Z ")
	})
}

// openLog opens a log on disk.
func openLog(t testing.TB, dir string) stream.Log {
	l, err := openWAL(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openWAL(dir string) (stream.Log, error) {
	return wal.Opener(vfs.OS{})(context.Background(), stream.Options{Dir: filepath.Join(dir, "wal"), SegmentBytes: 8 << 20, QueueBytes: 16 << 20, Logger: obs.Discard()})
}

// readAll learns what the log has.
func (l *logged) readAll(t testing.TB) {
	t.Helper()
	r, err := l.log.NewReader(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		e, ok, err := r.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		for off, encoded := range e.Events() {
			l.events[off] = append([]byte(nil), encoded...)
		}
	}
}

// runWhole is the process that is killed: a log that grows, and a store of it.
func runWhole() {
	dir := os.Getenv(wholeVariable)
	seed, _ := strconv.ParseUint(os.Getenv(wholeSeed), 10, 64)
	log, err := openWAL(dir)
	if err != nil {
		panic(err)
	}
	path := filepath.Join(dir, "store")
	k := keeper.New(keeper.Options{
		Path: path, Socket: os.Getenv("AMOSKYS_TEST_SOCKET"), Program: []string{"/proc/self/exe"},
		Env:   append(os.Environ(), "AMOSKYS_STORE_ENGINE_TEST=1"),
		Flags: keeper.Flags{MinFreeBytes: 1, FlushInterval: time.Second},
	})
	ctx := context.Background()
	go func() { panic(k.Run(ctx)) }()
	s, err := k.Wait(ctx, 0)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stdout, s.PID)
	o := options(k, &reader.Local{Log: log}, path)
	o.BarrierEvery = 200 * time.Millisecond
	in, err := New(o)
	if err != nil {
		panic(err)
	}
	go func() { panic(in.Run(ctx)) }()
	l := newLogged(seed + 100)
	l.log = log
	for {
		l.appendMany(&panics{}, 200)
	}
}

// panics is a testing.TB of a process that is no test.
type panics struct{ testing.TB }

func (*panics) Helper()           {}
func (*panics) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
