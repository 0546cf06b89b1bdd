package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// ours runs `amoskys bench hub` with the hub of this or another program.
func ours(hub string, args ...string) func(context.Context, *settings) (*result, error) {
	return func(ctx context.Context, s *settings) (*result, error) {
		all := append([]string{
			"bench", "hub", "--json", "--duration", s.measure.String(), "--warmup", s.warmup.String(), "--dir", s.dir,
			"--agents", strconv.Itoa(s.agents), "--batch", strconv.Itoa(s.batch), "--inflight", strconv.Itoa(s.inFlight),
		}, args...)
		if hub != "" {
			all = append(all, "--hub-program", hub)
		}
		cmd := exec.CommandContext(ctx, s.program, all...) //nolint:gosec // our own program
		cmd.Stderr = os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it then removes its files and its hub
		cmd.WaitDelay = 10 * time.Second
		out, err := cmd.Output()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("nothing was measured: %w", ctx.Err())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cmd, err)
		}
		var got struct {
			EventsPerSecond float64 `json:"events_per_second"`
			CPU             float64 `json:"cpu_us_per_event"`
			RSS             int64   `json:"rss_bytes"`
			Log             float64 `json:"log_bytes_per_event"`
			EventBytes      float64 `json:"event_bytes"`
			Retried         uint64  `json:"retried_batches"`
			Ack             struct {
				P50 float64 `json:"p50"`
				P99 float64 `json:"p99"`
			} `json:"ack_ms"`
		}
		if err := json.Unmarshal(out, &got); err != nil {
			return nil, fmt.Errorf("%s: %w", cmd, err)
		}
		return &result{
			EventsPerSecond: got.EventsPerSecond, ServerCPU: got.CPU, P50: got.Ack.P50, P99: got.Ack.P99, ServerRSS: got.RSS,
			LogPerEvent: got.Log, EventBytes: got.EventBytes, Failed: got.Retried,
		}, nil
	}
}
