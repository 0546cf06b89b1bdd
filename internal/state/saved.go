package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// SavedQuery is a query that somebody keeps, for themselves or for everybody.
type SavedQuery struct {
	// ID counts up; it is set by the database and never used again.
	ID int64
	// Owner is a user, or an operator by their SPIFFE id; empty when they are gone.
	Owner string
	// Name is unique among the owner's of a kind, and among those that are shared; the
	// case of ASCII letters does not tell names apart.
	Name string
	// Kind is the language of the query: empty for LogsQL, "metrics" for PromQL.
	Kind string
	// Query is as it was typed.
	Query string
	// Since and Until are times as people write them; empty is no bound.
	Since, Until string
	// Columns are names of fields, which hold no commas.
	Columns          []string
	Shared           bool
	Created, Changed time.Time
	ChangedBy        string
}

// SavedLimits bound how many queries there may be.
type SavedLimits struct {
	OfOwner int // of one owner, shared ones among them
	Shared  int // of everybody together
}

// ErrTooMany says that there are as many records as there may be.
var ErrTooMany = errors.New("there are as many as there may be")

const savedColumns = "id, owner, name, query, since, until, columns, shared, created, changed, changed_by, kind"

func scanSaved(scan func(...any) error) (SavedQuery, error) {
	var q SavedQuery
	var columns string
	var created, changedAt int64
	err := scan(&q.ID, &q.Owner, &q.Name, &q.Query, &q.Since, &q.Until, &columns, &q.Shared, &created, &changedAt, &q.ChangedBy, &q.Kind)
	if errors.Is(err, sql.ErrNoRows) {
		return SavedQuery{}, ErrNotFound
	}
	if columns != "" {
		q.Columns = strings.Split(columns, ",")
	}
	q.Created, q.Changed = instant(created), instant(changedAt)
	return q, err
}

// SavedQueries returns an owner's queries and all that are shared, by name; with all,
// also the private ones of others.
func (d *DB) SavedQueries(ctx context.Context, owner string, all bool) ([]SavedQuery, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT "+savedColumns+" FROM saved_queries WHERE shared OR owner = ? OR CAST(? AS BOOLEAN) ORDER BY lower(name), owner", owner, all)
	if err != nil {
		return nil, fmt.Errorf("read saved queries: %w", err)
	}
	defer rows.Close()
	var list []SavedQuery
	for rows.Next() {
		q, err := scanSaved(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read saved queries: %w", err)
		}
		list = append(list, q)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read saved queries: %w", err)
	}
	return list, nil
}

// SavedQuery returns one, or ErrNotFound.
func (d *DB) SavedQuery(ctx context.Context, id int64) (SavedQuery, error) {
	q, err := scanSaved(d.sql.QueryRowContext(ctx, "SELECT "+savedColumns+" FROM saved_queries WHERE id = ?", id).Scan)
	if err != nil {
		return SavedQuery{}, fmt.Errorf("read saved query: %w", err)
	}
	return q, nil
}

// CreateSavedQuery keeps a query and returns its id: ErrExists where its name is
// taken, ErrTooMany where most says so.
func (d *DB) CreateSavedQuery(ctx context.Context, q SavedQuery, most SavedLimits) (id int64, err error) {
	err = d.changeSaved(ctx, q, most, func(tx *tx) error {
		return tx.QueryRowContext(ctx, `INSERT INTO saved_queries (owner, name, query, since, until, columns, shared, created, changed, changed_by, kind)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, q.Owner, q.Name, q.Query, q.Since, q.Until, strings.Join(q.Columns, ","), q.Shared,
			nanos(q.Created), nanos(q.Changed), q.ChangedBy, q.Kind).Scan(&id)
	})
	if err != nil {
		return 0, fmt.Errorf("save query: %w", err)
	}
	return id, nil
}

// ChangeSavedQuery replaces all of a query but its id, owner, kind and making, if it still is
// as it was at before.Changed: ErrNotFound where it is not. Its other errors are those
// of CreateSavedQuery.
func (d *DB) ChangeSavedQuery(ctx context.Context, before, after SavedQuery, most SavedLimits) error {
	err := d.changeSaved(ctx, after, most, func(tx *tx) error {
		return changed(tx.ExecContext(ctx, `UPDATE saved_queries SET name = ?, query = ?, since = ?, until = ?, columns = ?, shared = ?,
			changed = ?, changed_by = ? WHERE id = ? AND changed = ?`, after.Name, after.Query, after.Since, after.Until,
			strings.Join(after.Columns, ","), after.Shared, nanos(after.Changed), after.ChangedBy, before.ID, nanos(before.Changed)))
	})
	if err != nil {
		return fmt.Errorf("change saved query: %w", err)
	}
	return nil
}

// DeleteSavedQuery removes a query if it still is as it was at q.Changed, or returns
// ErrNotFound.
func (d *DB) DeleteSavedQuery(ctx context.Context, q SavedQuery) error {
	if err := changed(d.sql.ExecContext(ctx, "DELETE FROM saved_queries WHERE id = ? AND changed = ?", q.ID, nanos(q.Changed))); err != nil {
		return fmt.Errorf("delete saved query: %w", err)
	}
	return nil
}

// changeSaved makes a change of q in one transaction, and takes it back where there
// are then too many.
func (d *DB) changeSaved(ctx context.Context, q SavedQuery, most SavedLimits, change func(*tx) error) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	if err := change(tx); err != nil {
		if d.sql.engine.fault(err) == faultTaken {
			return ErrExists
		}
		return err
	}
	var own, shared int
	err = tx.QueryRowContext(ctx, "SELECT count(*) FILTER (WHERE owner = ?), count(*) FILTER (WHERE shared) FROM saved_queries", q.Owner).Scan(&own, &shared)
	if err != nil {
		return err
	}
	if own > most.OfOwner && q.Owner != "" || q.Shared && shared > most.Shared {
		return ErrTooMany
	}
	return tx.Commit()
}

// disown takes from a user what they saved: private queries go, shared ones stay.
func disown(ctx context.Context, tx *tx, owner string) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM saved_queries WHERE owner = ? AND NOT shared", owner); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE saved_queries SET owner = '' WHERE owner = ?", owner)
	return err
}
