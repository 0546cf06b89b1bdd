package identity

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/amoskys/amoskys/internal/limit"
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
	lines    *limit.Lines
}

func newReporter(logger *slog.Logger, onReject func(Rejection), now func() time.Time) *reporter {
	return &reporter{
		logger: logger, onReject: onReject, now: now,
		lines: limit.NewLines(limit.Rate{Burst: 1, Interval: quietFor}, quietMost),
	}
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
	host, _, err := net.SplitHostPort(r.Remote)
	if err != nil {
		host = r.Remote
	}
	repeats, ok := p.lines.Take(string(r.Reason)+"\x00"+host+"\x00"+r.Subject, p.now())
	if !ok {
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
