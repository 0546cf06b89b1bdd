package state

import (
	"context"
	"fmt"
	"time"
)

// Host is what was last known of the node of one host.
type Host struct {
	Name string
	// Node is the node's id, and Version what it ran.
	Node, Version string
	// LastSeen is when the hub last heard of it.
	LastSeen time.Time
	// Silent: it had been away for so long that people were told.
	Silent bool
}

// Hosts returns every host, by name.
func (d *DB) Hosts(ctx context.Context) ([]Host, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT name, node, version, last_seen, silent FROM hosts ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("read hosts: %w", err)
	}
	defer rows.Close()
	var hosts []Host
	for rows.Next() {
		var h Host
		var seen int64
		if err := rows.Scan(&h.Name, &h.Node, &h.Version, &seen, &h.Silent); err != nil {
			return nil, fmt.Errorf("read hosts: %w", err)
		}
		h.LastSeen = instant(seen)
		hosts = append(hosts, h)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read hosts: %w", err)
	}
	return hosts, nil
}

// PutHosts stores hosts, each named once, in one transaction.
func (d *DB) PutHosts(ctx context.Context, hosts []Host) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return fmt.Errorf("store hosts: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	rows := make([][]any, 0, len(hosts))
	for _, h := range hosts {
		rows = append(rows, []any{h.Name, h.Node, h.Version, nanos(h.LastSeen), h.Silent})
	}
	err = tx.put(ctx, "INSERT INTO hosts (name, node, version, last_seen, silent)",
		"ON CONFLICT (name) DO UPDATE SET node = excluded.node, version = excluded.version, last_seen = excluded.last_seen, silent = excluded.silent", rows)
	if err != nil {
		return fmt.Errorf("store hosts: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store hosts: %w", err)
	}
	return nil
}

// DeleteHosts forgets hosts by name. Their agents stay.
func (d *DB) DeleteHosts(ctx context.Context, names []string) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return fmt.Errorf("forget hosts: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	for _, name := range names {
		if _, err := tx.ExecContext(ctx, "DELETE FROM hosts WHERE name = ?", name); err != nil {
			return fmt.Errorf("forget host %s: %w", name, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("forget hosts: %w", err)
	}
	return nil
}
