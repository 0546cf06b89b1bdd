package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// probeFolder holds a copy of one day, by hard links: parts never change, and lists are
// replaced by renaming, so that what an engine does there harms no original.
const probeFolder = "probe"

// probeTime bounds how long the store is away for probes.
const probeTime = 5 * time.Minute

// probe tries an engine on each day alone, newest first: to open it and read all of it,
// and if that ends none, to merge it. It returns the first day that ends one.
func (k *Keeper) probe(ctx context.Context) (day, why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	days, err := k.days()
	if err != nil {
		return "", "", err
	}
	slices.Reverse(days)
	for _, try := range []func(context.Context, *vlogs.Client) error{readAll, mergeAll} {
		for _, day := range days {
			died, why, err := k.probeDay(ctx, day, try)
			if err != nil || died {
				return day, why, err
			}
		}
	}
	return "", "", nil
}

// probeDay reports whether an engine ends over a day.
func (k *Keeper) probeDay(ctx context.Context, day string, try func(context.Context, *vlogs.Client) error) (died bool, why string, err error) {
	dir := filepath.Join(k.o.Path, probeFolder)
	if err := os.RemoveAll(dir); err != nil {
		return false, "", err
	}
	defer os.RemoveAll(dir)
	if err := linkTree(filepath.Join(k.partitions(), day), filepath.Join(dir, "partitions", day)); err != nil {
		return false, "", fmt.Errorf("copy day %s to try it: %w", day, err)
	}
	socket := k.o.Socket + "p"
	defer os.Remove(socket)
	once := false
	args := append(slices.Clone(k.o.Program), "--socket", socket, "--path", dir)
	c := child.New(child.Options{
		Name: "store-engine-probe", Argv: append(args, k.o.Flags.arguments()...), Env: k.o.Env, Logger: obs.Discard(),
		BackoffMin: time.Millisecond, BackoffMax: time.Millisecond, StopTimeout: 10 * time.Second,
		Before: func(context.Context) error {
			if once {
				return child.ErrStay
			}
			once = true
			return nil
		},
	})
	running, stop := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { c.Run(running) })
	c.Start()
	client := vlogs.New("unix:" + socket)
	err = waitUntil(ctx, func() bool { return c.Status().LastCrash != nil || client.Health(ctx) == nil })
	if err == nil && c.Status().LastCrash == nil {
		err = try(ctx, client)
	}
	client.Close()
	if errors.Is(err, vlogs.ErrAway) || errors.Is(err, vlogs.ErrBroken) { // it is about to be seen that it died
		err = waitUntil(ctx, func() bool { return c.Status().LastCrash != nil })
	}
	stop()
	run.Wait()
	s := c.Status()
	if s.LastCrash == nil {
		return false, "", err
	}
	text := s.Words + "\n" + strings.Join(s.Lines, "\n")
	return !environmental(text), sourceOf(text), nil
}

// readAll reads every field of every event, and every filter of words.
func readAll(ctx context.Context, c *vlogs.Client) error {
	for _, text := range []string{"*", "*:qzxjqzxj"} {
		err := c.Query(ctx, vlogs.Query{Text: text, Patience: time.Minute}, func([]vlogs.Field) error { return nil })
		if err != nil {
			return err
		}
	}
	return nil
}

// mergeAll has all parts rewritten.
func mergeAll(ctx context.Context, c *vlogs.Client) error {
	if err := c.ForceMerge(ctx, ""); err != nil {
		return err
	}
	var failed error
	quiet := 0
	err := waitUntil(ctx, func() bool {
		m, err := c.Metrics(ctx)
		if failed = err; err != nil {
			return true
		}
		if quiet++; m["vl_active_force_merges"] > 0 {
			quiet = 0
		}
		return quiet > 2 // it starts a little later than it is asked to
	})
	return errors.Join(err, failed)
}

// waitUntil asks every few milliseconds.
func waitUntil(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// linkTree copies a tree by hard links.
func linkTree(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.IsDir() {
			err = linkTree(source, target)
		} else {
			err = os.Link(source, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
