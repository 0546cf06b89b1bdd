package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/procfs"

	"github.com/amoskys/amoskys/internal/state"
)

// watchEvery is how often it is looked how far the store is, which bounds how exactly its
// lag is known; every memoryTimes it is looked what all processes hold.
const (
	watchEvery  = 200 * time.Millisecond
	memoryTimes = 10
)

// pipelineWatch looks at the system while events flow.
type pipelineWatch struct {
	system    *benchSystem
	tail      func() uint64 // behind what was acknowledged
	measuring atomic.Bool
	inserted  atomic.Uint64 // behind what the engine was given

	// What follows is run's, and may be read once it has ended, or nothing is measured.
	tails []tailAt
	lags  []float64 // seconds
	pss   map[string]int64
	most  int64
}

// tailAt says when the log first ended there.
type tailAt struct {
	tail uint64
	at   time.Time
}

// run looks until ctx ends.
func (w *pipelineWatch) run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	w.pss = map[string]int64{}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		if n%memoryTimes == 0 && w.measuring.Load() {
			w.weigh()
		}
	}
}

// look notes how long ago the log ended where the store is.
func (w *pipelineWatch) look(ctx context.Context) error {
	if tail := w.tail(); len(w.tails) == 0 || tail > w.tails[len(w.tails)-1].tail {
		w.tails = append(w.tails, tailAt{tail, time.Now()})
	}
	next, err := w.system.metric(ctx, "store metrics", "amoskys_store_next_offset")
	if err != nil {
		return err
	}
	w.inserted.Store(uint64(next))
	if w.measuring.Load() {
		w.lags = append(w.lags, lagOf(w.tails, uint64(next), time.Now()))
	}
	// What lies before is done with.
	if i, _ := slices.BinarySearchFunc(w.tails, uint64(next), func(t tailAt, next uint64) int { return int(int64(t.tail) - int64(next)) }); i > 1 {
		w.tails = slices.Delete(w.tails, 0, i-1)
	}
	return nil
}

// lagOf is for how many seconds the store has not had something: since the log first ended
// behind what it has.
func lagOf(tails []tailAt, next uint64, now time.Time) float64 {
	for _, t := range tails {
		if t.tail > next {
			return now.Sub(t.at).Seconds()
		}
	}
	return 0
}

// weigh notes what all processes hold, pages that they share counted once.
func (w *pipelineWatch) weigh() {
	pids, err := w.system.pids()
	if err != nil {
		return // the engine is started again
	}
	all, by := int64(0), map[string]int64{}
	for role, pid := range pids {
		p, err := procfs.NewProc(pid)
		if err != nil {
			return
		}
		sums, err := p.ProcSMapsRollup()
		if err != nil {
			return // where the kernel does not tell
		}
		by[role] = int64(sums.Pss)
		all += by[role]
	}
	if all > w.most {
		w.most, w.pss = all, by
	}
}

// result is what was seen.
func (w *pipelineWatch) result() (lag Lag, most int64, by map[string]int64) {
	lags := slices.Sorted(slices.Values(w.lags))
	if n := len(lags); n > 0 {
		lag = Lag{P50: lags[n/2], P99: lags[min(n-1, n*99/100)], Max: lags[n-1]}
		lag.MaxAt = float64(slices.Index(w.lags, lag.Max)) * watchEvery.Seconds()
	}
	return lag, w.most, maps.Clone(w.pss)
}

// metric reads one figure of a role's metrics.
func (s *benchSystem) metric(ctx context.Context, addr, name string) (float64, error) {
	body, err := get(ctx, "http://"+s.addrs[addr]+"/metrics", 10*time.Second)
	if err != nil {
		return 0, fmt.Errorf("read the %s: %w", addr, err)
	}
	defer body.Close()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		if got, value, _ := strings.Cut(lines.Text(), " "); got == name {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("the %s lack %s", addr, name) //nolint:err113 // not for deciding on
}

// liveSeen is what somebody who watches all events was shown.
type liveSeen struct {
	measuring             atomic.Bool
	messages, shown, came atomic.Uint64
}

func (l *liveSeen) result(seconds float64) LiveResult {
	return LiveResult{
		Messages: l.messages.Load(), Shown: l.shown.Load(), Came: l.came.Load(),
		ShownPerSecond: float64(l.shown.Load()) / max(seconds, 1e-9), CamePerSecond: float64(l.came.Load()) / max(seconds, 1e-9),
	}
}

// benchTab is a browser's tab with the page Events.
type benchTab struct{ ws *websocket.Conn }

// maxTabMessage is more than a message of 200 events takes.
const maxTabMessage = 32 << 20

// openTab signs in and follows all events.
func (s *benchSystem) openTab(ctx context.Context) (*benchTab, error) {
	login, err := json.Marshal(map[string]string{"username": state.AdminName, "password": s.password})
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	answer, err := s.post(ctx, "/api/login", bytes.NewReader(login))
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("sign in: the dashboard answers %s", answer.Status) //nolint:err113 // not for deciding on
	}
	header := http.Header{}
	for _, c := range answer.Cookies() {
		header.Add("Cookie", c.Name+"="+c.Value)
	}
	ws, _, err := websocket.Dial(ctx, "ws://"+s.addrs["dashboard"]+"/api/live", &websocket.DialOptions{HTTPHeader: header}) //nolint:bodyclose // the library's
	if err != nil {
		return nil, fmt.Errorf("open the live stream: %w", err)
	}
	ws.SetReadLimit(maxTabMessage)
	return &benchTab{ws}, nil
}

// watch counts what comes until ctx ends.
func (t *benchTab) watch(ctx context.Context, seen *liveSeen) error {
	defer func() { _ = t.ws.CloseNow() }()
	if err := t.ws.Write(ctx, websocket.MessageText, []byte(`{"op":"subscribe","id":"all","topic":"events"}`)); err != nil {
		return fmt.Errorf("follow all events: %w", err)
	}
	for {
		_, text, err := t.ws.Read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow all events: %w", err)
		}
		var m struct {
			Type, Detail string
			Shown, Of    uint64
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return fmt.Errorf("follow all events: %w", err)
		}
		if m.Type == "error" {
			return errors.New("follow all events: " + m.Detail)
		}
		if m.Type == "events" && seen.measuring.Load() {
			seen.messages.Add(1)
			seen.shown.Add(m.Shown)
			seen.came.Add(m.Of)
		}
	}
}
