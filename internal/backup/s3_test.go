package backup

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// fakeS3 serves a bucket "backups" that answers with an error once puts of pieces are
// more than good; a negative good lets all pass.
func fakeS3(t *testing.T, good *atomic.Int64) func(string) (string, bool) {
	t.Helper()
	store := s3mem.New()
	if err := store.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	inner := gofakes3.New(store).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && good.Load() >= 0 && good.Add(-1) < 0 {
			good.Store(0)
			http.Error(w, "no more room", http.StatusInsufficientStorage)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	env := map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestBucket(t *testing.T) {
	t.Parallel()
	var good atomic.Int64
	good.Store(-1)
	p, err := Open(t.Context(), "s3://backups/amoskys/home", fakeS3(t, &good), true)
	if err != nil {
		t.Fatal(err)
	}
	if p.String() != "s3://backups/amoskys/home" {
		t.Fatalf("it is called %s", p)
	}
	suite(t, p)
}

func TestABucketThatFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	var good atomic.Int64
	good.Store(1)
	p, err := Open(t.Context(), "s3://backups", fakeS3(t, &good), true)
	if err != nil {
		t.Fatal(err)
	}
	file := source("data/wal/x", bigger(1), time.Time{})
	if _, err := Save(t.Context(), p, manifest("1"), []Source{file}, SaveOptions{}); err == nil || !strings.Contains(err.Error(), "s3://backups") {
		t.Fatalf("saved to a bucket that fails: %v", err)
	}
	if _, err := Load(t.Context(), p, ""); !errors.Is(err, ErrNoSnapshot) {
		t.Fatalf("there is a manifest: %v", err)
	}
	good.Store(1) // what there is of it arrives, and the manifest does not
	file = source("data/wal/x", bigger(2)[:PieceBytes], time.Time{})
	if _, err := Save(t.Context(), p, manifest("1"), []Source{file}, SaveOptions{}); err == nil {
		t.Fatal("saved without a manifest")
	}
	good.Store(-1)
	if again := save(t, p, "2", file); again.Sent >= again.Bytes {
		t.Fatalf("what had arrived was sent again: %+v", again)
	}
}

// TestABucketThatFailsInARestore: one that refuses, breaks off, or stops in the middle of a
// piece fails the restore in bounded time, and what it gave stays; then it goes on.
func TestABucketThatFailsInARestore(t *testing.T) {
	t.Parallel()
	store := s3mem.New()
	if err := store.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	inner := gofakes3.New(store).Server()
	var harm atomic.Value
	harm.Store("")
	var left atomic.Int64
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		how := harm.Load().(string)
		if how == "" || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/objects/") || left.Add(-1) >= 0 {
			inner.ServeHTTP(w, r)
			return
		}
		switch how {
		case "refuses":
			http.Error(w, "not today", http.StatusForbidden)
			return
		case "stops":
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("abc"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		default:
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("abc"))
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(ended) })
	env := map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
	p, err := Open(t.Context(), "s3://backups", func(name string) (string, bool) { v, ok := env[name]; return v, ok }, true)
	if err != nil {
		t.Fatal(err)
	}
	save(t, p, "1", source("config/a", []byte("first"), time.Time{}), source("config/b", []byte("second"), time.Time{}), source("config/c", []byte("third"), time.Time{}))
	m, err := Load(t.Context(), p, "")
	if err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	for i, how := range []string{"refuses", "stops", "breaks off"} {
		harm.Store(how)
		p.(*bucket).stall = s3Stall
		if how == "stops" { // the first piece is there already, and nothing else comes
			p.(*bucket).stall = 100 * time.Millisecond
		}
		left.Store(int64(max(0, 1-i))) // the first piece comes, and is not asked for again
		err := Fetch(t.Context(), p, m, into, FetchOptions{})
		if err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("a bucket that %s: %v", how, err)
		}
		if b, err := os.ReadFile(filepath.Join(into, "config/a")); err != nil || string(b) != "first" {
			t.Errorf("a bucket that %s: %q, %v", how, b, err)
		}
	}
	harm.Store("")
	p.(*bucket).stall = s3Stall
	if err := Fetch(t.Context(), p, m, into, FetchOptions{}); err != nil {
		t.Error(err)
	}
}

func TestPlacesThatCannotBe(t *testing.T) {
	t.Parallel()
	var good atomic.Int64
	good.Store(-1)
	lookup := fakeS3(t, &good)
	for _, name := range []string{"s3://", "s3://nobody/x", "ftp://x/y", "/dev/null"} {
		if p, err := Open(t.Context(), name, lookup, false); err == nil {
			t.Errorf("%s is %s", name, p)
		}
	}
}
