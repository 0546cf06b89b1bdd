//go:build unix

package spool

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Variables of the process that TestKill kills.
const (
	killedDirVariable  = "AMOSKYS_TEST_SPOOL"
	killedFromVariable = "AMOSKYS_TEST_SPOOL_FROM"
	killsVariable      = "AMOSKYS_TEST_SPOOL_KILLS"
)

// TestKilledProcess is no test: it appends numbered events, hands out batches and
// acknowledges some, and writes down what is done, until it is killed.
func TestKilledProcess(t *testing.T) {
	dir := os.Getenv(killedDirVariable)
	if dir == "" {
		t.Skip("for TestKill")
	}
	from, err := strconv.Atoi(os.Getenv(killedFromVariable))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Dir: dir, Events: 20, BootID: "b", MaxBytes: 64 << 20})
	s.Flush()
	out := &lines{w: os.Stdout}
	go func() {
		for {
			b, err := s.Next(t.Context())
			if err != nil {
				return
			}
			events, err := b.Events()
			if err != nil {
				fmt.Fprintln(out, "fault", err)
				return
			}
			names := make([]string, len(events))
			for i, e := range events {
				names[i], _, _ = strings.Cut(string(e), " ")
			}
			fmt.Fprintf(out, "sent %x/%d %s\n", b.Producer, b.Sequence, strings.Join(names, ","))
			if b.Sequence%3 != 0 { // the answer of others is lost
				s.Ack(b.Sequence)
			}
		}
	}()
	for i := from; ; i++ {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("the same ", rand.IntN(200)))
		if err := s.Append([]byte(text)); err != nil {
			fmt.Fprintln(out, "fault", err)
			return
		}
		fmt.Fprintln(out, "added", i)
	}
}

// lines keeps those of two goroutines apart.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// TestKill kills a process that appends and sends, again and again: what it was told to
// be spooled is sent, and no number stands for other events.
func TestKill(t *testing.T) {
	kills := 12
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	h := &hubOf{batches: map[string][]string{}}
	added, from := map[string]bool{}, 0
	for range kills {
		out := killed(t, dir, from)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			switch what, rest, _ := strings.Cut(scanner.Text(), " "); what {
			case "added":
				added[rest] = true
				n, _ := strconv.Atoi(rest)
				from = max(from, n+2) // the one that it was at may be there as well
			case "sent":
				key, events, _ := strings.Cut(rest, " ")
				h.takeAs(key, strings.Split(events, ","))
			case "fault":
				t.Fatal(rest)
			}
		}
	}
	s := open(t, Options{Dir: dir, Events: 20, BootID: "b"})
	if st := s.Stats(); st.Dropped() > 0 || st.AtLeast || st.DamagedBytes > 0 {
		t.Errorf("%+v", st)
	}
	s.Flush()
	for s.Stats().Events > 0 {
		b, events := next(t, s)
		for i := range events {
			events[i], _, _ = strings.Cut(events[i], " ")
		}
		h.take(b, events)
		s.Ack(b.Sequence)
	}
	stored := h.stored()
	for e := range added {
		if stored[e] != 1 {
			t.Errorf("event %s is stored %d times", e, stored[e])
		}
	}
	if h.fault != "" || len(added) == 0 {
		t.Error(h.fault, len(added))
	}
	t.Logf("%d kills, %d events, %d batches", kills, len(added), len(h.batches))
}

// killed starts the process, kills it after a while and returns what it wrote.
func killed(t *testing.T, dir string, from int) io.Reader {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledProcess$")
	cmd.Env = append(os.Environ(), killedDirVariable+"="+dir, fmt.Sprintf("%s=%d", killedFromVariable, from))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Duration(100+rand.IntN(200)) * time.Millisecond)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	text := out.String()
	return strings.NewReader(text[:strings.LastIndexByte(text, '\n')+1])
}
