package keeper_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// perDay is how many events a day of the stores has that are damaged.
const perDay = 4000

// template makes a store of two days that ended in order, and returns its folder, the
// days, and what each holds.
func template(t *testing.T) (dir string, days []string, holds map[string]string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	k, stop := enginetest.Run(t, enginetest.Options(t, dir))
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	for part := range 3 {
		for day := range 2 {
			insert(t, k.Client(), day*perDay+part*perDay/4, perDay/4, noon.AddDate(0, 0, -day))
		}
		if err := k.Client().Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	days, err := k.Client().Days(t.Context())
	if err != nil || len(days) != 2 {
		t.Fatal(days, err)
	}
	holds = map[string]string{}
	for _, day := range days {
		holds[day] = digest(t, k.Client(), day)
	}
	stop()
	return dir, days, holds
}

// digest sums up the rows of a day, in whatever order they come.
func digest(t *testing.T, c *vlogs.Client, day string) string {
	t.Helper()
	start, err := time.Parse(vlogs.DayFormat, day)
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	n := 0
	err = c.Query(t.Context(), vlogs.Query{Text: "*", Start: start, End: start.Add(24 * time.Hour)}, func(row []vlogs.Field) error {
		h := fnv.New64a()
		for _, f := range row {
			h.Write([]byte(f.Name + "=" + f.Value + "\n"))
		}
		sum += h.Sum64()
		n++
		return nil
	})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d rows %x", n, sum)
}

// clone copies a store by hard links.
func clone(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "store")
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		if e.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return os.Link(path, target)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// ways to damage a file, which has bytes. What it is linked to stays as it is.
var ways = map[string]func(path string, b []byte, r *rand.Rand) error{
	"cut": func(path string, b []byte, _ *rand.Rand) error { return os.WriteFile(path, b[:len(b)/2], 0o600) },
	"zeroed": func(path string, b []byte, _ *rand.Rand) error {
		return os.WriteFile(path, make([]byte, len(b)), 0o600)
	},
	"flipped": func(path string, b []byte, r *rand.Rand) error {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		return os.WriteFile(path, b, 0o600)
	},
	"missing":    func(string, []byte, *rand.Rand) error { return nil },
	"unreadable": func(path string, _ []byte, _ *rand.Rand) error { return os.Mkdir(path, 0o700) },
}

// damage is one case: a file of a day, and what happens to it.
type damage struct{ file, way string }

func (d damage) do(t *testing.T, partition string, r *rand.Rand) {
	t.Helper()
	path := filepath.Join(partition, d.file)
	b, err := os.ReadFile(path)
	before := slices.Clone(b)
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		err = ways[d.way](path, b, r)
	}
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err == nil && bytes.Equal(before, after) {
		t.Skip("it is the same still")
	}
}

// cases are all of a day: each kind of file of each kind of part, in each way.
func cases(t *testing.T, partition string) []damage {
	t.Helper()
	kinds := map[string]string{} // the first of each kind
	err := filepath.WalkDir(partition, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(partition, path)
		if info, _ := e.Info(); info.Size() > 0 && err == nil {
			kind := filepath.Join(strings.Split(name, "/")[0], filepath.Base(name))
			if kinds[kind] == "" {
				kinds[kind] = name
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []damage
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		for _, way := range slices.Sorted(maps.Keys(ways)) {
			all = append(all, damage{kinds[kind], way})
		}
	}
	return all
}

// TestEveryKindOfDamage: a store with a damaged file serves in the end, its other day as
// it was. With checksums the damaged day is set aside, whatever was damaged. Without, the
// engine ends over it while it opens, reads or merges, and the day is set aside for that,
// or it does not notice. A few cases here, all with AMOSKYS_STORE_DAMAGE=all.
func TestEveryKindOfDamage(t *testing.T) {
	t.Parallel()
	dir, days, holds := template(t)
	r := rand.New(rand.NewPCG(3, 4))
	all := cases(t, filepath.Join(dir, "engine", "partitions", days[0]))
	t.Logf("%d kinds of damage", len(all))
	if os.Getenv("AMOSKYS_STORE_DAMAGE") != "all" {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:6]
	}
	for _, d := range all {
		for _, sums := range []string{"with", "without"} {
			t.Run(d.way+" "+d.file+" "+sums+" checksums", func(t *testing.T) {
				store := clone(t, dir)
				d.do(t, filepath.Join(store, "engine", "partitions", days[0]), r)
				if sums == "without" {
					if err := os.RemoveAll(filepath.Join(store, "sums")); err != nil {
						t.Fatal(err)
					}
				}
				k, stop := enginetest.Run(t, enginetest.Options(t, store))
				defer stop()
				use(t, k, days[0])
				got := digest(t, k.Client(), days[1])
				if got != holds[days[1]] {
					t.Errorf("the day that was not damaged holds %s, and did %s", got, holds[days[1]])
				}
				aside := k.State().SetAside
				switch {
				case len(aside) == 1 && aside[0].Day == days[0]:
					t.Logf("set aside: %s", aside[0].Why)
				case len(aside) > 0:
					t.Errorf("set aside: %+v", aside)
				case sums == "with":
					if now := digest(t, k.Client(), days[0]); now != holds[days[0]] || !strings.HasSuffix(d.file, "parts.json") {
						t.Errorf("not noticed; it holds %s, and did %s", now, holds[days[0]])
					}
				default:
					t.Logf("not noticed; it holds %s, and did %s", digest(t, k.Client(), days[0]), holds[days[0]])
				}
			})
		}
	}
}

// use makes an engine notice what it can: by checksums, reading and merging.
func use(t *testing.T, k *keeper.Keeper, day string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	starts := k.State().Starts
	if k.CheckAll(ctx) {
		if _, err := k.Wait(ctx, starts); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []func() error{
		func() error { return query(ctx, k, "*") },
		func() error { return query(ctx, k, "cmd:zzz or type:zzz") },
		func() error { return query(ctx, k, "{host=~\".+\"}") },
		func() error { return merge(ctx, k, day) },
		func() error { return query(ctx, k, "*") },
	} {
		s, err := k.Wait(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if step() != nil {
			if _, err := k.Wait(ctx, s.Starts); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := k.Wait(ctx, 0); err != nil {
		t.Fatal(err)
	}
}

func query(ctx context.Context, k *keeper.Keeper, text string) error {
	return k.Client().Query(ctx, vlogs.Query{Text: text}, func([]vlogs.Field) error { return nil })
}

// merge waits until a day is merged, or the engine ended.
func merge(ctx context.Context, k *keeper.Keeper, day string) error {
	if err := k.Client().ForceMerge(ctx, day); err != nil {
		return err
	}
	for quiet := 0; quiet < 5; quiet++ {
		m, err := k.Client().Metrics(ctx)
		if err != nil {
			return err
		}
		if m["vl_active_force_merges"] > 0 {
			quiet = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}
