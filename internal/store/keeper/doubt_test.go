package keeper_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/keeper"
)

// TestDecayInLargeFiles: what changed in a file that is too large to be compared before the
// engine opens is found behind each start, where a day is doubted, and where somebody asks.
func TestDecayInLargeFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an engine five times")
	}
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	k, stop := enginetest.Run(t, enginetest.Options(t, dir))
	insert(t, k.Client(), 0, 20_000, noon)
	stop()

	decay(t, dir)
	k, stop = enginetest.Run(t, enginetest.Options(t, dir))
	untilAside(t, k, 1)

	for i, ask := range []func(day string) error{
		func(day string) error { k.Doubt(day); return nil },
		func(string) error { return keeper.AskToLook(dir) },
	} {
		insert(t, k.Client(), 0, 20_000, noon)
		if err := k.Client().Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := k.ScanRunning(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ask(decay(t, dir)); err != nil {
			t.Fatal(err)
		}
		if i > 0 { // within half a minute, by a look that this test does not wait for
			k.Doubt("20010101")
		}
		untilAside(t, k, 2+i)
	}
	stop()
}

// decay flips a bit of a large file of the newest day, and returns that day.
func decay(t *testing.T, dir string) (day string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "engine", "partitions", "*", "datadb", "*", "*bloom.bin*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || len(b) < 8<<10 {
			continue
		}
		b[len(b)/2] ^= 4
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(f))))
	}
	t.Fatal("no large file is there")
	return ""
}

// untilAside waits until so many days were set aside, and the engine runs again.
func untilAside(t *testing.T, k *keeper.Keeper, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(k.State().SetAside) < n {
		if ctx.Err() != nil {
			t.Fatalf("set aside: %+v, want %d", k.State().SetAside, n)
		}
		wait(t, 5*time.Millisecond)
	}
	if _, err := k.Wait(ctx, 0); err != nil {
		t.Fatal(err)
	}
}
