package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNotEmpty says that a database holds something already.
var ErrNotEmpty = errors.New("it is not empty")

// table is what Copy knows of a table.
type table struct {
	name    string
	columns []string
	flags   []string // columns that are true or false
	serial  string   // the column that counts up
}

// tables are all tables, each behind those that it refers to.
func tables() []table {
	columns := func(text string) []string { return strings.Fields(text) }
	return []table{
		{name: "users", columns: columns(`name role password_hash created last_login`)},
		{name: "sessions", columns: columns(`token_hash "user" created last_seen expires src_ip user_agent`)},
		{name: "audit", columns: columns(`id time actor operation target success detail src_ip`), flags: columns(`success`), serial: "id"},
		{name: "agents", columns: columns(`host id node status desired updated`)},
		{name: "tokens", columns: columns(`id secret_hash host created expires created_by used used_by uses used_count host_pattern kinds`)},
		{name: "certificates", columns: columns(`serial identity host observes not_before not_after origin known issued_for replaces machine`)},
		{name: "revocations", columns: columns(`target time reason actor`)},
		{name: "hosts", columns: columns(`name node version last_seen silent`), flags: columns(`silent`)},
		{name: "saved_queries", columns: columns(`id owner name query since until columns shared created changed changed_by kind`), flags: columns(`shared`), serial: "id"},
		{name: "backups", columns: columns(`id snapshot place time took bytes sent log_offset with_keys`), flags: columns(`with_keys`), serial: "id"},
		{name: "device_marks", columns: columns(`uid known owner tags note changed changed_by`), flags: columns(`known`)},
	}
}

// Copied says how many rows of a table were copied.
type Copied struct {
	Table string `json:"table"`
	Rows  int    `json:"rows"`
}

// Copy writes all that from holds to a database that holds nothing, of either engine, in
// one transaction. ErrNotEmpty: it does hold something. Whoever uses from meanwhile is not
// held up.
func Copy(ctx context.Context, to, from *DB) ([]Copied, error) {
	read, err := from.sql.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	defer read.Rollback() //nolint:errcheck // it changes nothing
	write, err := to.sql.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	defer write.Rollback() //nolint:errcheck // after Commit it has nothing to do
	if err := to.sql.engine.patient(ctx, write.Tx); err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	var done []Copied
	for _, t := range tables() {
		n, err := t.copy(ctx, write, read)
		if err != nil {
			return nil, fmt.Errorf("copy table %s: %w", t.name, err)
		}
		done = append(done, Copied{t.name, n})
	}
	if err := write.Commit(); err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	return done, nil
}

func (t *table) copy(ctx context.Context, to, from *tx) (n int, err error) {
	if err := to.QueryRowContext(ctx, "SELECT count(*) FROM "+t.name).Scan(&n); err != nil {
		return 0, err
	}
	if n > 0 {
		return 0, ErrNotEmpty
	}
	list := strings.Join(t.columns, ", ")
	put, err := to.PrepareContext(ctx, "INSERT INTO "+t.name+" ("+list+") VALUES (?"+strings.Repeat(", ?", len(t.columns)-1)+")")
	if err != nil {
		return 0, err
	}
	defer put.Close()
	rows, err := from.QueryContext(ctx, "SELECT "+list+" FROM "+t.name)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	values, into := t.row()
	for ; rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		if _, err := put.ExecContext(ctx, values()...); err != nil {
			return 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if t.serial != "" {
		err = to.engine.count(ctx, to, t.name, t.serial)
	}
	return n, err
}

// row is where a row is scanned into, and its values as they are then.
func (t *table) row() (values func() []any, into []any) {
	flags := make([]sql.Null[bool], len(t.columns))
	others := make([]any, len(t.columns))
	into = make([]any, len(t.columns))
	isFlag := func(i int) bool { return slices.Contains(t.flags, t.columns[i]) }
	for i := range t.columns {
		if into[i] = &others[i]; isFlag(i) {
			into[i] = &flags[i]
		}
	}
	return func() []any {
		out := slices.Clone(others)
		for i := range out {
			if isFlag(i) {
				out[i] = flags[i].V
			} else if b, is := out[i].([]byte); is && b == nil {
				out[i] = []byte{} // SQLite's driver gives nil for it, which PostgreSQL's takes for NULL
			}
		}
		return out
	}, into
}
