package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Backup is a backup that was made and is whole.
type Backup struct {
	// ID is the name of the snapshot, and Place where it lies.
	ID, Place string
	Time      time.Time
	Took      time.Duration
	// Bytes are those of all its files, Sent those that were sent for it.
	Bytes, Sent int64
	// Offset is how far the log reaches in it.
	Offset   uint64
	WithKeys bool
}

// backupsKept is how many backups are remembered.
const backupsKept = 100

// PutBackup notes a backup, and forgets the oldest.
func (d *DB) PutBackup(ctx context.Context, b Backup) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return fmt.Errorf("note backup: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	if _, err := tx.ExecContext(ctx, `INSERT INTO backups (snapshot, place, time, took, bytes, sent, log_offset, with_keys)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, b.ID, b.Place, nanos(b.Time), b.Took.Nanoseconds(), b.Bytes, b.Sent, int64(b.Offset), b.WithKeys); err != nil {
		return fmt.Errorf("note backup: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM backups WHERE id NOT IN (SELECT id FROM backups ORDER BY id DESC LIMIT ?)`, backupsKept); err != nil {
		return fmt.Errorf("note backup: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("note backup: %w", err)
	}
	return nil
}

// LastBackup returns the one that was noted last. The error is ErrNotFound where none was.
func (d *DB) LastBackup(ctx context.Context) (b Backup, err error) {
	var at, took, offset int64
	err = d.sql.QueryRowContext(ctx, `SELECT snapshot, place, time, took, bytes, sent, log_offset, with_keys
		FROM backups ORDER BY id DESC LIMIT 1`).Scan(&b.ID, &b.Place, &at, &took, &b.Bytes, &b.Sent, &offset, &b.WithKeys)
	if errors.Is(err, sql.ErrNoRows) {
		return b, ErrNotFound
	}
	if err != nil {
		return b, fmt.Errorf("read the last backup: %w", err)
	}
	b.Time, b.Took, b.Offset = instant(at), time.Duration(took), uint64(offset)
	return b, nil
}
