package state

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Audit is one administrative act.
type Audit struct {
	// ID counts up; it is set by the database.
	ID        int64
	Time      time.Time
	Actor     string
	Operation string
	Target    string
	Success   bool
	Detail    string
	SrcIP     string
}

// maxAuditText bounds each text of an audit record, in bytes.
const maxAuditText = 1 << 10

// AppendAudit adds a record to the trail. Records are never changed, and
// forgotten by age alone. A zero
// Time is now; texts are cut at 1 KiB.
func (d *DB) AppendAudit(ctx context.Context, a Audit) error {
	if a.Time.IsZero() {
		a.Time = d.now()
	}
	for _, s := range []*string{&a.Actor, &a.Operation, &a.Target, &a.Detail, &a.SrcIP} {
		*s = strings.ToValidUTF8((*s)[:min(len(*s), maxAuditText)], "")
	}
	_, err := d.sql.ExecContext(ctx, `INSERT INTO audit (time, actor, operation, target, success, detail, src_ip)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, nanos(a.Time), a.Actor, a.Operation, a.Target, a.Success, a.Detail, a.SrcIP)
	if err != nil {
		return fmt.Errorf("append audit: %w", err)
	}
	return nil
}

// AuditTrail returns at most limit records with ids below before, newest first;
// before 0 starts at the newest.
func (d *DB) AuditTrail(ctx context.Context, before int64, limit int) ([]Audit, error) {
	rows, err := d.sql.QueryContext(ctx, `SELECT id, time, actor, operation, target, success, detail, src_ip
		FROM audit WHERE (CAST(? AS BIGINT) = 0 OR id < ?) ORDER BY id DESC LIMIT ?`, before, before, min(max(limit, 0), 1000))
	if err != nil {
		return nil, fmt.Errorf("read audit: %w", err)
	}
	defer rows.Close()
	var trail []Audit
	for rows.Next() {
		var a Audit
		var at int64
		if err := rows.Scan(&a.ID, &at, &a.Actor, &a.Operation, &a.Target, &a.Success, &a.Detail, &a.SrcIP); err != nil {
			return nil, fmt.Errorf("read audit: %w", err)
		}
		a.Time = instant(at)
		trail = append(trail, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read audit: %w", err)
	}
	return trail, nil
}

// pruneStep bounds one statement of PruneAudit, so that no other writer waits long.
const pruneStep = 5_000

// PruneAudit forgets the records from before a time, and returns how many.
func (d *DB) PruneAudit(ctx context.Context, before time.Time) (pruned int, err error) {
	for {
		n, err := count(d.sql.ExecContext(ctx, "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE time < ? ORDER BY id LIMIT ?)",
			nanos(before), pruneStep))
		pruned += n
		if err != nil {
			return pruned, fmt.Errorf("prune audit: %w", err)
		}
		if n < pruneStep {
			return pruned, nil
		}
	}
}
