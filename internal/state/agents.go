package state

import (
	"context"
	"fmt"
	"time"
)

// Agent is what was last known of one agent of the fleet.
type Agent struct {
	Host string
	ID   string
	// Node is the id of the node that supervises it.
	Node string
	// Status is an encoded amoskys.v1.AgentStatus.
	Status []byte
	// Desired is the last state a person asked for, "running" or "stopped"; empty
	// when nobody did.
	Desired string
	Updated time.Time
}

// Agents returns every agent, by host and id.
func (d *DB) Agents(ctx context.Context) ([]Agent, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT host, id, node, status, desired, updated FROM agents ORDER BY host, id")
	if err != nil {
		return nil, fmt.Errorf("read agents: %w", err)
	}
	defer rows.Close()
	var agents []Agent
	for rows.Next() {
		var a Agent
		var updated int64
		if err := rows.Scan(&a.Host, &a.ID, &a.Node, &a.Status, &a.Desired, &updated); err != nil {
			return nil, fmt.Errorf("read agents: %w", err)
		}
		a.Updated = instant(updated)
		agents = append(agents, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read agents: %w", err)
	}
	return agents, nil
}

// PutAgents stores the status of agents, each named once, in one transaction. Their
// Desired state is left as it is; a zero Updated is now.
func (d *DB) PutAgents(ctx context.Context, agents []Agent) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return fmt.Errorf("store agents: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	rows := make([][]any, 0, len(agents))
	for _, a := range agents {
		if a.Updated.IsZero() {
			a.Updated = d.now()
		}
		if a.Status == nil {
			a.Status = []byte{}
		}
		rows = append(rows, []any{a.Host, a.ID, a.Node, a.Status, nanos(a.Updated)})
	}
	err = tx.put(ctx, "INSERT INTO agents (host, id, node, status, updated)",
		"ON CONFLICT (host, id) DO UPDATE SET node = excluded.node, status = excluded.status, updated = excluded.updated", rows)
	if err != nil {
		return fmt.Errorf("store agents: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store agents: %w", err)
	}
	return nil
}

// SetDesired notes the state a person asked for.
func (d *DB) SetDesired(ctx context.Context, host, id, desired string) error {
	err := changed(d.sql.ExecContext(ctx, "UPDATE agents SET desired = ? WHERE host = ? AND id = ?", desired, host, id))
	if err != nil {
		return fmt.Errorf("set desired state of %s/%s: %w", host, id, err)
	}
	return nil
}

// DeleteAgents forgets agents; only Host and ID are looked at.
func (d *DB) DeleteAgents(ctx context.Context, agents []Agent) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return fmt.Errorf("forget agents: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	forget, err := tx.PrepareContext(ctx, "DELETE FROM agents WHERE host = ? AND id = ?")
	if err != nil {
		return fmt.Errorf("forget agents: %w", err)
	}
	defer forget.Close()
	for _, a := range agents {
		if _, err := forget.ExecContext(ctx, a.Host, a.ID); err != nil {
			return fmt.Errorf("forget agent %s/%s: %w", a.Host, a.ID, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("forget agents: %w", err)
	}
	return nil
}
