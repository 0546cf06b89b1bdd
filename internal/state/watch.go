package state

import (
	"context"
	"fmt"
	"time"
)

// watchEvery is how often a server is asked whether it is there.
const watchEvery = 5 * time.Second

// Watch asks a server every 5 seconds whether it is there, for Fault, until ctx ends. Of
// a file it has nothing to ask.
func (d *DB) Watch(ctx context.Context) error {
	server, is := d.sql.engine.(postgresEngine)
	if !is {
		<-ctx.Done()
		return nil
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
