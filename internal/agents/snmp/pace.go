package snmp

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// pace lets through so many a second.
type pace struct {
	every time.Duration

	mu   sync.Mutex // guards next
	next time.Time
}

func newPace(perSecond float64) *pace {
	return &pace{every: time.Duration(float64(time.Second) / perSecond)}
}

// wait takes n turns and waits until they come, or ctx ends.
func (p *pace) wait(ctx context.Context, n int) error {
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	until := p.next
	p.next = p.next.Add(time.Duration(n) * p.every)
	p.mu.Unlock()
	timer := time.NewTimer(until.Sub(now))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for a turn: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}
