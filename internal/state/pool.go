package state

import (
	"context"
	"database/sql"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"
)

// engine is what differs between the databases that state can lie in.
type engine interface {
	// vocabulary is what it calls the types of columns.
	vocabulary() *vocabulary
	// version reads how many migrations were made, and setVersion notes it.
	version(ctx context.Context, tx *tx) (int, error)
	setVersion(ctx context.Context, tx *tx, version int) error
	// alone keeps other transactions out until this one ends.
	alone(ctx context.Context, tx *sql.Tx) error
	// snapshot is how a transaction begins that reads all as it is now.
	snapshot() *sql.TxOptions
	// patient lets a transaction take as long as it takes.
	patient(ctx context.Context, tx *sql.Tx) error
	// count has a column that counts up go on behind the rows that are there.
	count(ctx context.Context, tx *tx, table, column string) error
	// query is a statement of ours, with ? where values go, as the engine reads it.
	query(statement string) string
	// values are what goes there, as the engine takes them.
	values(values []any) []any
	// fault says what an error of the engine means, or faultOther.
	fault(err error) fault
	// advise adds to an error of opening what a person can do.
	advise(err error) error
}

// fault is what an error of an engine means to us.
type fault int

const (
	faultOther    fault = iota
	faultTaken          // a name is there already
	faultNoRoom         // the disk is full
	faultReadOnly       // it cannot be changed
	faultAway           // the server does not answer
)

// pool is an open database. All statements of ours go through it or a tx, which word
// them for the engine.
type pool struct {
	db     *sql.DB
	engine engine
	// turn has a place for the transaction that changes something. Who waits for it has no
	// connection yet: those are few, and whoever only reads needs one.
	turn chan struct{}
}

func newPool(db *sql.DB, e engine) *pool {
	return &pool{db: db, engine: e, turn: make(chan struct{}, 1)}
}

// Begin starts a transaction that no other of ours runs beside: what it reads is so
// until it ends. Others wait for it, so it has to be ended.
func (p *pool) Begin(ctx context.Context) (*tx, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	end := sync.OnceFunc(func() { <-p.turn })
	t, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		end()
		return nil, err
	}
	if err := p.engine.alone(ctx, t); err != nil {
		_ = t.Rollback() // the first error says more
		end()
		return nil, err
	}
	return &tx{t, p.engine, end}, nil
}

// turnWait is how long a change waits for those before it: as long as one statement may
// take, so that who asks is told when a database hangs.
const turnWait = 10 * time.Second

// wait returns when it is one's turn to change something.
func (p *pool) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for other changes of the state: %w", ctx.Err())
	}
}

// Snapshot starts a transaction that only reads, all as it is now, however long that
// takes. Nobody waits for it.
func (p *pool) Snapshot(ctx context.Context) (*tx, error) {
	t, err := p.db.BeginTx(ctx, p.engine.snapshot())
	if err != nil {
		return nil, err
	}
	if err := p.engine.patient(ctx, t); err != nil {
		_ = t.Rollback() // the first error says more
		return nil, err
	}
	return &tx{t, p.engine, func() {}}, nil
}

// ExecContext is that of sql.DB.
func (p *pool) ExecContext(ctx context.Context, query string, values ...any) (sql.Result, error) {
	return p.db.ExecContext(ctx, p.engine.query(query), p.engine.values(values)...)
}

// QueryContext is that of sql.DB.
func (p *pool) QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error) {
	return p.db.QueryContext(ctx, p.engine.query(query), p.engine.values(values)...)
}

// QueryRowContext is that of sql.DB.
func (p *pool) QueryRowContext(ctx context.Context, query string, values ...any) *sql.Row {
	return p.db.QueryRowContext(ctx, p.engine.query(query), p.engine.values(values)...)
}

// tx is a transaction.
type tx struct {
	*sql.Tx

	engine engine
	ended  func() // lets the next one begin
}

// Commit is that of sql.Tx.
func (t *tx) Commit() error {
	defer t.ended()
	return t.Tx.Commit()
}

// Rollback is that of sql.Tx.
func (t *tx) Rollback() error {
	defer t.ended()
	return t.Tx.Rollback()
}

// ExecContext is that of sql.Tx.
func (t *tx) ExecContext(ctx context.Context, query string, values ...any) (sql.Result, error) {
	return t.Tx.ExecContext(ctx, t.engine.query(query), t.engine.values(values)...)
}

// QueryContext is that of sql.Tx.
func (t *tx) QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error) {
	return t.Tx.QueryContext(ctx, t.engine.query(query), t.engine.values(values)...)
}

// QueryRowContext is that of sql.Tx.
func (t *tx) QueryRowContext(ctx context.Context, query string, values ...any) *sql.Row {
	return t.Tx.QueryRowContext(ctx, t.engine.query(query), t.engine.values(values)...)
}

// rowsAtOnce is how many rows one statement writes at most.
const rowsAtOnce = 128

// put writes rows, of which no two have one key: "INSERT INTO … (…)", their values, and
// what is to be done about those that are there. It takes few statements, as a server may
// be far away and others wait meanwhile; and few texts, which engines keep prepared.
func (t *tx) put(ctx context.Context, insert, conflict string, rows [][]any) error {
	for len(rows) > 0 {
		n := 1 << (bits.Len(uint(min(len(rows), rowsAtOnce))) - 1)
		row := "(?" + strings.Repeat(", ?", len(rows[0])-1) + ")"
		if _, err := t.ExecContext(ctx, insert+" VALUES "+row+strings.Repeat(", "+row, n-1)+" "+conflict, slices.Concat(rows[:n]...)...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// PrepareContext is that of sql.Tx.
func (t *tx) PrepareContext(ctx context.Context, query string) (*stmt, error) {
	s, err := t.Tx.PrepareContext(ctx, t.engine.query(query))
	if err != nil {
		return nil, err
	}
	return &stmt{s, t.engine}, nil
}

// stmt is a statement to be run many times.
type stmt struct {
	*sql.Stmt

	engine engine
}

// ExecContext is that of sql.Stmt.
func (s *stmt) ExecContext(ctx context.Context, values ...any) (sql.Result, error) {
	return s.Stmt.ExecContext(ctx, s.engine.values(values)...)
}

// QueryRowContext is that of sql.Stmt.
func (s *stmt) QueryRowContext(ctx context.Context, values ...any) *sql.Row {
	return s.Stmt.QueryRowContext(ctx, s.engine.values(values)...)
}
