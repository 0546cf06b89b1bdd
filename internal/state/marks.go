package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DeviceMark is what people say of one device.
type DeviceMark struct {
	// UID is the device's, as package entity makes it.
	UID string
	// Known says that somebody knows it and that it belongs where it is.
	Known bool
	// Owner answers for it.
	Owner string
	// Tags hold no line breaks.
	Tags      []string
	Note      string
	Changed   time.Time
	ChangedBy string
}

// IsEmpty reports whether nothing is said.
func (m *DeviceMark) IsEmpty() bool {
	return !m.Known && m.Owner == "" && len(m.Tags) == 0 && m.Note == ""
}

func (m *DeviceMark) says(o *DeviceMark) bool {
	return m.Known == o.Known && m.Owner == o.Owner && m.Note == o.Note && slices.Equal(m.Tags, o.Tags)
}

// MarkLimits bound what may be kept of all devices together.
type MarkLimits struct {
	Devices int
	Bytes   int64 // of texts
}

// DeviceMarks returns what is said of devices, by their uids.
func (d *DB) DeviceMarks(ctx context.Context) ([]DeviceMark, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT "+markColumns+" FROM device_marks ORDER BY uid")
	if err != nil {
		return nil, fmt.Errorf("read device marks: %w", err)
	}
	defer rows.Close()
	var list []DeviceMark
	for rows.Next() {
		m, err := scanMark(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read device marks: %w", err)
		}
		list = append(list, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read device marks: %w", err)
	}
	return list, nil
}

const markColumns = "uid, known, owner, tags, note, changed, changed_by"

func scanMark(scan func(...any) error) (DeviceMark, error) {
	var m DeviceMark
	var tags string
	var at int64
	err := scan(&m.UID, &m.Known, &m.Owner, &tags, &m.Note, &at, &m.ChangedBy)
	if tags != "" {
		m.Tags = strings.Split(tags, "\n")
	}
	m.Changed = instant(at)
	return m, err
}

// ChangeDeviceMarks has change make of each device's mark another, in one transaction,
// and returns how many say something else than before. What says nothing is not kept.
// ErrTooMany: there would be more than most allows. An error of change ends it, with
// nothing changed.
func (d *DB) ChangeDeviceMarks(ctx context.Context, uids []string, most MarkLimits, change func(DeviceMark) (DeviceMark, error)) (int, error) {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("mark devices: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	w, err := newMarkWriter(ctx, tx)
	if err != nil {
		return 0, fmt.Errorf("mark devices: %w", err)
	}
	defer w.close()
	n := 0
	for _, uid := range uids {
		news, err := w.change(ctx, uid, change)
		if err != nil {
			return 0, fmt.Errorf("mark device %.64q: %w", uid, err)
		}
		if news {
			n++
		}
	}
	var devices int
	var bytes int64
	err = tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(length(uid) + length(owner) + length(tags) + length(note) + length(changed_by)), 0)
		FROM device_marks`).Scan(&devices, &bytes)
	if err != nil {
		return 0, fmt.Errorf("mark devices: %w", err)
	}
	if devices > most.Devices || bytes > most.Bytes {
		return 0, ErrTooMany
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("mark devices: %w", err)
	}
	return n, nil
}

// markWriter has the statements of one change.
type markWriter struct{ read, put, remove *stmt }

func newMarkWriter(ctx context.Context, tx *tx) (w markWriter, err error) {
	for _, s := range []struct {
		to   **stmt
		text string
	}{
		{&w.read, "SELECT " + markColumns + " FROM device_marks WHERE uid = ?"},
		{&w.put, "INSERT INTO device_marks (" + markColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET
			known = excluded.known, owner = excluded.owner, tags = excluded.tags, note = excluded.note, changed = excluded.changed, changed_by = excluded.changed_by`},
		{&w.remove, "DELETE FROM device_marks WHERE uid = ?"},
	} {
		if *s.to, err = tx.PrepareContext(ctx, s.text); err != nil {
			w.close()
			return markWriter{}, err
		}
	}
	return w, nil
}

func (w *markWriter) close() {
	for _, s := range []*stmt{w.read, w.put, w.remove} {
		if s != nil {
			_ = s.Close() // the transaction tells what matters
		}
	}
}

func (w *markWriter) change(ctx context.Context, uid string, change func(DeviceMark) (DeviceMark, error)) (news bool, err error) {
	before, err := scanMark(w.read.QueryRowContext(ctx, uid).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		before, err = DeviceMark{UID: uid}, nil
	}
	if err != nil {
		return false, err
	}
	asked := before
	asked.Tags = slices.Clone(before.Tags)
	after, err := change(asked)
	if err != nil || after.says(&before) {
		return false, err
	}
	if after.IsEmpty() {
		_, err = w.remove.ExecContext(ctx, uid)
		return true, err
	}
	_, err = w.put.ExecContext(ctx, uid, after.Known, after.Owner, strings.Join(after.Tags, "\n"), after.Note, nanos(after.Changed), after.ChangedBy)
	return true, err
}
