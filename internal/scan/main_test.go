package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// helperVariable makes the test's program one that scans, in the namespace in which it
// was started, and prints what it found.
const helperVariable = "SCAN_TEST_HELPER"

// order is what the helper is to do.
type order struct {
	Targets, Exclude, Ports, UDP string
	Method                       Method
	NoPing, Names, Routes        bool
	Rate, HostRate               int
}

// result is what it found.
type result struct {
	Hosts    []Host
	Progress Progress
	Took     time.Duration
}

func TestMain(m *testing.M) {
	if text := os.Getenv(helperVariable); text != "" {
		if err := helper(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // a main of its own
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func helper(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	targets, err := ParseTargets(strings.Split(o.Targets, ", ")...)
	if err != nil {
		return err
	}
	plan := Plan{Targets: targets, Method: o.Method, NoPing: o.NoPing, Names: o.Names, Routes: o.Routes, Rate: o.Rate, HostRate: o.HostRate}
	if o.Exclude != "" {
		if plan.Exclude, err = ParseTargets(o.Exclude); err != nil {
			return err
		}
	}
	if plan.Ports, err = ParsePorts(o.Ports); err != nil {
		return err
	}
	if plan.UDP, err = ParsePorts(o.UDP); err != nil {
		return err
	}
	var r result
	began := time.Now()
	if err := Run(context.Background(), plan, func(h Host) { r.Hosts = append(r.Hosts, h) }, func(p Progress) { r.Progress = p }); err != nil {
		return err
	}
	r.Took = time.Since(began)
	return json.NewEncoder(os.Stdout).Encode(r)
}
