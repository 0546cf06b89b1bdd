package snmp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// uneven is a table whose columns have holes and different lengths.
func uneven() (recording string, roots []string) {
	var b strings.Builder
	for column := range 15 {
		root := fmt.Sprintf("1.3.6.1.2.1.2.2.1.%d", column+1)
		roots = append(roots, root)
		for row := range 10 + 7*column {
			if row%(column+2) != 1 {
				fmt.Fprintf(&b, "%s.%d|2|%d\n", root, row+1, row)
			}
		}
	}
	return b.String(), append(roots, "1.3.6.1.2.1.2.2.1.99", "1.3.6.1.2.1.31.1.1.1.1")
}

func TestWalkColumns(t *testing.T) {
	t.Parallel()
	recording, roots := uneven()
	record := snmptest.Load(t, recording+"1.3.6.1.2.1.31.1.1.1.1.1|4|last\n")
	var want []string
	for _, root := range roots {
		lines, err := walked(t.Context(), record, root)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, lines...)
	}
	for name, test := range map[string]struct {
		faults  play.Faults
		maxSize int
		version snmp.Version
		learnt  int
	}{
		"healthy":       {},
		"small answers": {maxSize: 500},
		"tiny answers":  {maxSize: 200, learnt: 1},
		"weak":          {faults: play.Faults{TooBigAbove: 3}, learnt: 6},
		"no GETBULK":    {faults: play.Faults{TooBigAbove: -1}, learnt: 12},
		"version 1":     {version: snmp.V1},
		"drops answers": {faults: play.Faults{DropEvery: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := play.NewDevice("public", record)
			d.MaxSize = test.maxSize
			d.Break(test.faults)
			_, at := snmptest.Start(t, d)
			c := open(t, at, func(target *snmp.Target) {
				target.Credential.Version, target.Retries, target.Timeout = test.version, 2, 200*time.Millisecond
			})
			var got []string
			err := c.WalkColumns(t.Context(), roots, func(v snmp.Variable) error {
				got = append(got, fmt.Sprintf("%s %s %s", v.OID, v.Type, v.Text()))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			sorted := slices.Sorted(slices.Values(got))
			if expect := slices.Sorted(slices.Values(want)); !slices.Equal(sorted, expect) {
				t.Errorf("%d variables, want %d", len(got), len(expect))
			}
			if c.Manners().Together != test.learnt {
				t.Errorf("learnt %+v", c.Manners())
			}
			if name == "healthy" && c.Counts().Requests > 30 {
				t.Errorf("it took %d requests", c.Counts().Requests)
			}
		})
	}
}

func TestColumnThatFailsCostsOnlyItself(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults play.Faults
		cause  error
	}{
		"silence": {play.Faults{SilentBelow: "1.3.6.1.2.1.2.2.1.2"}, snmp.ErrTimeout},
		"circle":  {play.Faults{LoopBelow: "1.3.6.1.2.1.2.2.1.2"}, snmp.ErrLoop},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, c := start(t, interfaces(60), func(target *snmp.Target) { target.Timeout = 200 * time.Millisecond })
			d.Break(test.faults)
			rows := 0
			err := c.WalkColumns(t.Context(), []string{"1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.2.2.1.10"}, func(v snmp.Variable) error {
				if _, ok := snmp.Index("1.3.6.1.2.1.2.2.1.10", v.OID); ok {
					rows++
				}
				return nil
			})
			walk, ok := errors.AsType[*snmp.WalkError](err)
			if !ok || walk.Root != "1.3.6.1.2.1.2.2.1.2" || !errors.Is(err, test.cause) || rows != 60 {
				t.Errorf("%d rows of the other column, %v", rows, err)
			}
			if n := c.Manners().Together; n == 1 {
				t.Error("one bad column taught that all are to be asked alone")
			}
		})
	}
}

func TestDeviceThatIsGoneIsNotAskedForEachColumn(t *testing.T) {
	t.Parallel()
	d, c := start(t, interfaces(3), func(target *snmp.Target) { target.Timeout = 20 * time.Millisecond })
	d.Break(play.Faults{DropFirst: 1000})
	var roots []string
	for i := range 12 {
		roots = append(roots, fmt.Sprintf("1.3.6.1.2.1.2.2.1.%d", i+1))
	}
	err := c.WalkColumns(t.Context(), roots, func(snmp.Variable) error { return nil })
	if !errors.Is(err, snmp.ErrTimeout) || c.Counts().Timeouts > 3 {
		t.Errorf("%v, %+v", err, c.Counts())
	}
}

func TestEachEndsAWalk(t *testing.T) {
	t.Parallel()
	_, c := start(t, interfaces(20), nil)
	enough := errors.New("enough")
	stop := func(snmp.Variable) error { return enough }
	if err := c.WalkColumns(t.Context(), []string{"1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.2.2.1.10"}, stop); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if err := c.Walk(t.Context(), "1.3.6.1.2.1.2", stop); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}
