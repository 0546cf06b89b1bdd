package cluster

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// page is what a storage node tells that has nothing in memory.
const page = `vl_partitions 1
process_start_time_seconds 1700000000
vl_storage_parts{type="storage/inmemory"} 0
vl_pending_rows{type="storage"} 0
vl_pending_rows{type="indexdb"} 0
`

// standIn answers as a storage node and a vlselect do that have nothing.
type standIn struct {
	mu      sync.Mutex // guards what follows
	pages   int        // that were asked for
	failing int        // which of them is refused
	partial []string   // of each question whether its answer may lack rows
	busy    bool       // with other questions
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/metrics":
		if s.pages++; s.pages == s.failing {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, page)
	case "/select/logsql/query":
		if s.busy {
			http.Error(w, "couldn't start executing the request, since -search.maxConcurrentRequests=1", http.StatusServiceUnavailable)
			return
		}
		s.partial = append(s.partial, r.FormValue("allow_partial_response"))
		_, _ = io.WriteString(w, "{\"n\":\"0\"}\n")
	}
}

func newStandIn(t *testing.T) (*standIn, *Cluster) {
	t.Helper()
	s := &standIn{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := New(Options{Name: "a", Select: vlogs.Options{Address: server.URL}, Nodes: []vlogs.Options{{Address: server.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// TestBarrierNeedsAllNodes: a barrier whose nodes did not tell afterwards which process
// they are counts for nothing, as one of them may have been started again meanwhile.
func TestBarrierNeedsAllNodes(t *testing.T) {
	t.Parallel()
	s, c := newStandIn(t)
	if !c.look(t.Context(), false) || !c.State().Running {
		t.Fatal(c.State().Reason)
	}
	s.mu.Lock()
	s.failing = s.pages + 2 // the barrier's own is the first
	s.mu.Unlock()
	if err := c.Client().Barrier(t.Context()); err == nil {
		t.Error("a node did not tell, and the barrier counts")
	}
	if !c.State().Running {
		t.Errorf("one look in vain: %s", c.State().Reason)
	}
	if err := c.Client().Barrier(t.Context()); err != nil {
		t.Error(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if c.look(ended, true) {
		t.Error("who has left has looked")
	}
}

// TestBusyIsNotAway: a vlselect that has enough to do with other questions is there.
func TestBusyIsNotAway(t *testing.T) {
	t.Parallel()
	s, c := newStandIn(t)
	s.mu.Lock()
	s.busy = true
	s.mu.Unlock()
	if !c.look(t.Context(), false) || !c.State().Running || c.Away() != "" {
		t.Errorf("%s, %s", c.State().Reason, c.Away())
	}
}

// TestWhoCountsGetsAll: while a node is away, people get answers that lack its rows, and
// say so; who holds what is stored against the log does not.
func TestWhoCountsGetsAll(t *testing.T) {
	t.Parallel()
	s, c := newStandIn(t)
	ask := func(rows interface {
		Query(ctx context.Context, q vlogs.Query, each func(row []vlogs.Field) error) error
	},
	) {
		t.Helper()
		if err := rows.Query(t.Context(), vlogs.Query{Text: "*"}, func([]vlogs.Field) error { return nil }); err != nil {
			t.Error(err)
		}
	}
	ask(c.Client()) // no node was looked at yet
	ask(c.Engine().Rows())
	c.look(t.Context(), false) // which allows it, too
	ask(c.Client())
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.partial, " "); got != "true false true false" {
		t.Errorf("answers that may lack rows: %s", got)
	}
	if got := c.Absent(); got == "" {
		t.Error("an answer lacked rows a moment ago, and nothing says so")
	}
}
