package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// sender sends one batch of one client and returns when it is acknowledged.
type sender func(ctx context.Context) error

// drive lets every client send its batches, as many at a time as are allowed in flight,
// and measures the server meanwhile. connect makes client i, with what ends it.
func drive(ctx context.Context, s *settings, server *child, connect func(ctx context.Context, i int) (sender, func(), error)) (*result, error) {
	senders := make([]sender, s.agents)
	for i := range senders {
		send, end, err := connect(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("connect client %d: %w", i, err)
		}
		defer end()
		senders[i] = send
	}
	m := &measured{}
	ctx, cancel := context.WithTimeout(ctx, s.warmup+s.measure+30*time.Second)
	defer cancel()
	var stopping atomic.Bool
	var clients sync.WaitGroup
	for _, send := range senders {
		for range s.inFlight {
			clients.Go(func() {
				for !stopping.Load() && ctx.Err() == nil {
					m.one(ctx, send)
				}
			})
		}
	}
	r, err := m.over(ctx, s, server)
	stopping.Store(true)
	if err != nil {
		cancel() // nobody counts what is on its way
	}
	clients.Wait()
	return r, err
}

// measured counts what clients see.
type measured struct {
	counting atomic.Bool
	acked    atomic.Uint64 // batches
	failed   atomic.Uint64
	reason   atomic.Value // of the last that failed

	mu        sync.Mutex
	latencies []time.Duration
}

func (m *measured) one(ctx context.Context, send sender) {
	begin := time.Now()
	if err := send(ctx); err != nil {
		m.failed.Add(1)
		m.reason.Store(errors.Join(err))
		return
	}
	m.acked.Add(1)
	if m.counting.Load() {
		m.mu.Lock()
		m.latencies = append(m.latencies, time.Since(begin))
		m.mu.Unlock()
	}
}

// over takes the figures of the interval.
func (m *measured) over(ctx context.Context, s *settings, server *child) (*result, error) {
	if err := pause(ctx, s.warmup); err != nil {
		return nil, err
	}
	cpuBefore, err := server.cpuSeconds()
	if err != nil {
		return nil, err
	}
	m.counting.Store(true)
	begin, acked, failed := time.Now(), m.acked.Load(), m.failed.Load()
	if err := pause(ctx, s.measure); err != nil {
		return nil, err
	}
	m.counting.Store(false)
	took, events := time.Since(begin), float64((m.acked.Load()-acked)*uint64(s.batch))
	if events == 0 {
		return nil, fmt.Errorf("nothing was acknowledged while it was measured: %w", m.lastFailure())
	}
	cpuAfter, err := server.cpuSeconds()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.Sort(m.latencies)
	return &result{
		EventsPerSecond: events / took.Seconds(), P50: m.quantile(0.5), P99: m.quantile(0.99),
		ServerCPU: (cpuAfter - cpuBefore) * 1e6 / events,
		ServerRSS: server.rssBytes(), EventBytes: float64(s.size), Failed: m.failed.Load() - failed,
	}, nil
}

// errSlow is why, where nothing failed.
var errSlow = errors.New("all batches are still on their way")

func (m *measured) lastFailure() error {
	if err, ok := m.reason.Load().(error); ok {
		return err
	}
	return errSlow
}

// quantile is in milliseconds.
func (m *measured) quantile(q float64) float64 {
	if len(m.latencies) == 0 {
		return 0
	}
	return float64(m.latencies[int(q*float64(len(m.latencies)-1))].Microseconds()) / 1000
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// text is n bytes that look like an event and are another each time.
func text(n int, random *rand.Rand) []byte {
	const words = "/usr/bin/process --with some --arguments user root pid state sleeping "
	b := make([]byte, 0, n+64)
	for len(b) < n {
		b = fmt.Appendf(b, "%s%d ", words[:8+random.IntN(len(words)-8)], random.Uint32())
	}
	return b[:n]
}
