package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// watchEvery is how often a server is asked whether it is there.
const watchEvery = 5 * time.Second

// ErrRoomAgain says that a database that was opened on a full disk can be written again.
var ErrRoomAgain = errors.New("there is room on the disk of the home again: what was opened while it was full is to be opened again")

// Watch asks a server every 5 seconds whether it is there, for Fault, until ctx ends. Of
// a file that was opened on a full disk it looks whether there is room again, and returns
// ErrRoomAgain then; of others it has nothing to ask.
func (d *DB) Watch(ctx context.Context) error {
	server, is := d.sql.engine.(postgresEngine)
	if !is {
		return d.awaitRoom(ctx)
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		d.ask(ctx, server.where)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ask notes whether the server can be written to.
func (d *DB) ask(ctx context.Context, where string) {
	ctx, cancel := context.WithTimeout(ctx, pgAnswer)
	defer cancel()
	var readOnly bool
	err := d.sql.QueryRowContext(ctx, "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'").Scan(&readOnly)
	fault := ""
	switch {
	case err != nil:
		fault = fmt.Sprintf("PostgreSQL at %s, which has the accounts, does not answer: nobody can sign in, enrol or change anything but revoke certificates until it is back", where)
	case readOnly:
		fault = fmt.Sprintf("PostgreSQL at %s, which has the accounts, is read-only: nobody can sign in, enrol or change anything but revoke certificates", where)
	}
	d.fault.Store(&fault)
}

// Fault says what is wrong with the server, as Watch saw it last; empty: nothing.
func (d *DB) Fault() string {
	if f := d.fault.Load(); f != nil {
		return *f
	}
	return ""
}

// awaitRoom returns ErrRoomAgain once a file can be written for which there was no room.
func (d *DB) awaitRoom(ctx context.Context) error {
	if d.copied == nil || !errors.Is(d.copied.why, ErrNoRoom) {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if tryWrite(ctx, d.file) == nil {
			return ErrRoomAgain
		}
	}
}

// tryWrite opens a file and writes what is in it already.
func tryWrite(ctx context.Context, file string) (err error) {
	if _, err := os.Stat(file); err != nil { // opening would make an empty one where somebody moves it
		return err
	}
	p, err := openFile(ctx, file, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.db.Close()) }()
	tx, err := p.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	if err := p.engine.setVersion(ctx, tx, len(migrations())); err != nil {
		return err
	}
	return tx.Commit()
}
