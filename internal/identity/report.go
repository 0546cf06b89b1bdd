package identity

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// Log keys that only this package uses.
const (
	keyByPeer  = "by_peer"
	keyDetail  = "detail"
	keyIssuer  = "issuer"
	keyRepeats = "repeats"
	keyServer  = "server_name"
)

const (
	quietFor  = time.Minute // the same refusal is logged again after this
	quietMost = 1024        // refusals remembered for that; more share one entry
)

// reporter tells of refusals: each to onReject, and to the log, where one that
// repeats (same reason, host and subject) is written once a minute with the number
// of repeats, so that a client stuck in a retry loop does not fill the disk.
type reporter struct {
	logger   *slog.Logger
	onReject func(Rejection)
	now      func() time.Time

	mu   sync.Mutex
	seen map[refusalKey]*refusalCount
}

type refusalKey struct {
	reason        Reason
	host, subject string
}

type refusalCount struct {
	last    time.Time
	repeats int
}

func newReporter(logger *slog.Logger, onReject func(Rejection), now func() time.Time) *reporter {
	return &reporter{logger: logger, onReject: onReject, now: now, seen: map[refusalKey]*refusalCount{}}
}

func (p *reporter) report(r *Rejection) {
	p.log(r)
	if p.onReject != nil {
		p.onReject(*r)
	}
}

func (p *reporter) log(r *Rejection) {
	level := slog.LevelWarn
	if r.Reason == ReasonConnectionClosed { // port scans and health probes do this all day
		level = slog.LevelDebug
	}
	ctx := context.Background()
	if !p.logger.Enabled(ctx, level) {
		return
	}
	repeats, quiet := p.count(r)
	if quiet {
		return
	}
	attrs := []slog.Attr{slog.String(obs.KeyReason, string(r.Reason)), slog.String(obs.KeyAddr, r.Remote)}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add(obs.KeySubject, r.Subject)
	add(keyIssuer, r.Issuer)
	add(keyServer, r.ServerName)
	add(keyDetail, r.Detail)
	if r.ByPeer {
		attrs = append(attrs, slog.Bool(keyByPeer, true))
	}
	if repeats > 0 {
		attrs = append(attrs, slog.Int(keyRepeats, repeats))
	}
	p.logger.LogAttrs(ctx, level, "connection refused", attrs...)
}

// count returns how many like r went unlogged before it, or that r should too.
func (p *reporter) count(r *Rejection) (repeats int, quiet bool) {
	host, _, err := net.SplitHostPort(r.Remote)
	if err != nil {
		host = r.Remote
	}
	key := refusalKey{r.Reason, host, r.Subject}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.seen[key]
	if c == nil {
		if len(p.seen) >= quietMost {
			p.forget(now)
		}
		if len(p.seen) >= quietMost {
			key = refusalKey{reason: r.Reason, host: "(many)"}
			c = p.seen[key]
		}
	}
	if c == nil {
		p.seen[key] = &refusalCount{last: now}
		return 0, false
	}
	if since := now.Sub(c.last); since >= 0 && since < quietFor {
		c.repeats++
		return 0, true
	}
	repeats, c.repeats, c.last = c.repeats, 0, now
	return repeats, false
}

func (p *reporter) forget(now time.Time) {
	for key, c := range p.seen {
		if since := now.Sub(c.last); since < 0 || since >= quietFor {
			delete(p.seen, key)
		}
	}
}
