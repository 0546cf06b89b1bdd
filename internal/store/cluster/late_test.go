package cluster_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/store"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/ingest"
)

// TestNoServerOutlastsATurn: what a store began to give is over, or given up, before another
// takes its turn, which it begins nothing new for in the second half of.
func TestNoServerOutlastsATurn(t *testing.T) {
	t.Parallel()
	if ingest.TurnLasts/2+store.MaxClusterTimeout >= ingest.TurnLasts {
		t.Errorf("a server may take %s, and half a turn is %s", store.MaxClusterTimeout, ingest.TurnLasts/2)
	}
}

// lateNode stands before a storage node that has a queue: once told to, it keeps one
// insertion until it is let go, long after the connection of whoever gave it has ended.
type lateNode struct {
	to    *httputil.ReverseProxy
	url   string
	mu    sync.Mutex // guards what follows
	keep  bool
	kept  *http.Request
	body  []byte
	ended chan struct{} // closed when one is kept
}

func newLateNode(t *testing.T, node *enginetest.Server) (*lateNode, string) {
	t.Helper()
	to, err := url.Parse(node.URL)
	if err != nil {
		t.Fatal(err)
	}
	n := &lateNode{to: httputil.NewSingleHostReverseProxy(to), url: node.URL, ended: make(chan struct{})}
	front := httptest.NewServer(n)
	t.Cleanup(front.Close)
	return n, front.URL
}

// ServeHTTP implements http.Handler.
func (n *lateNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	take := n.keep && n.kept == nil && r.URL.Path == "/insert/native" && r.ContentLength > 0 && r.Header.Get("ProjectID") == ""
	if take {
		n.body, _ = io.ReadAll(r.Body)
		n.kept = r
	}
	n.mu.Unlock()
	if !take {
		n.to.ServeHTTP(w, r)
		return
	}
	close(n.ended)
	panic(http.ErrAbortHandler) // whoever gave it hears nothing, as when it would wait no longer
}

// letGo has the node make what was kept.
func (n *lateNode) letGo(t *testing.T) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+n.kept.URL.RequestURI(), bytes.NewReader(n.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = n.kept.Header.Clone()
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode/100 != 2 {
		t.Fatal(answer, err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAnInsertionThatLandsLate: an insertion is given up, its rows are deleted and given
// again, and then the node makes it all the same. At the end each event is there once.
func TestAnInsertionThatLandsLate(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: a server of VictoriaLogs")
	}
	t.Parallel()
	l := newLogged()
	l.add(t, 500)
	s := startServers(t, "a", 1)
	late, front := newLateNode(t, s.nodes[0])
	s.front = front
	role := startRole(t, l, "one", time.Minute, s)
	f := role.fed[0]
	f.settled(t, l)
	late.mu.Lock()
	late.keep = true
	late.mu.Unlock()
	l.add(t, 300)
	<-late.ended
	f.settled(t, l) // given again
	l.exact(t, f, "given again")
	late.letGo(t)
	if err := f.Client().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := f.rows(); n <= len(l.kept) {
		t.Fatalf("%d rows, nothing is there twice: the test tests nothing", n)
	}
	l.add(t, 100)
	until(t, "nothing is there twice", func() bool { return f.rows() == len(l.kept) })
	f.settled(t, l)
	l.exact(t, f, "at the end")
}
