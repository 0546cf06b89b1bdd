package vlogs_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// TestRedirectsAreNotFollowed: neither rows nor what shows who the store is go to where an
// address leads.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		c := vlogs.NewClient(vlogs.Options{Address: server.URL, Authorization: func() (string, error) { return "Bearer secret", nil }})
		var rows vlogs.Rows
		rows.Begin([]vlogs.Field{{Name: "host", Value: "h"}}, noon().UnixNano())
		rows.Text("host", "h")
		if err := c.Insert(t.Context(), &rows); !errors.Is(err, vlogs.ErrAway) {
			t.Errorf("insert, %d: %v", status, err)
		}
		if _, err := c.Metrics(t.Context()); !errors.Is(err, vlogs.ErrAway) || !strings.Contains(err.Error(), "leads to another") {
			t.Errorf("metrics, %d: %v", status, err)
		}
		c.Close()
		server.Close()
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// TestAnswerWithoutEnd: who answers a query with words that never end is not listened to
// for ever.
func TestAnswerWithoutEnd(t *testing.T) {
	t.Parallel()
	line := []byte(strings.Repeat("no rows here ", 100) + "\n")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	c := vlogs.New(server.URL)
	defer c.Close()
	refused := &vlogs.RefusedError{}
	if _, err := ask(t, c, vlogs.Query{Text: "*"}, "n"); !errors.As(err, &refused) || len(refused.Text) > 4<<10 || !strings.HasPrefix(refused.Text, "no rows here") {
		t.Errorf("%v", err)
	}
}
