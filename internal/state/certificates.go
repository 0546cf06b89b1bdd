package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Origin says how a certificate came to be.
type Origin string

// The origins.
const (
	OriginEnrolment Origin = "enrolment" // issued by the hub against a token
	OriginRenewal   Origin = "renewal"   // issued by the hub in place of another
	OriginElsewhere Origin = "elsewhere" // issued by another who has the authority's key
)

// Certificate is what is kept of a certificate. Nothing of it is secret.
type Certificate struct {
	// Serial is in lower-case hexadecimal digits without leading zeros.
	Serial string
	// Identity is its SPIFFE id, Host the host in it.
	Identity, Host string
	// Observes are the kinds with which its bearer may speak of others.
	Observes            []string
	NotBefore, NotAfter time.Time
	Origin              Origin
	// Known is when it was issued, or first seen if that was elsewhere.
	Known time.Time
	// IssuedFor is the token, or whoever asked for the renewal.
	IssuedFor string
	// Replaces is the serial of the certificate that was renewed.
	Replaces string
	// Machine is the hashed id of the machine that enrolled.
	Machine string
}

// Revocation ends certificates. Which ones Target means is for the hub to say.
type Revocation struct {
	Target string
	// Time is when it was decided.
	Time          time.Time
	Reason, Actor string
}

// Bounds on what is kept.
const (
	// maxElsewhere bounds the certificates that somebody else has issued.
	maxElsewhere = 10_000
	// maxRevocations bounds revocations.
	maxRevocations = 100_000
	// keepCertificates is how long a certificate is remembered after its end.
	keepCertificates = 30 * 24 * time.Hour
)

// ErrFull says that no more records of this kind are kept.
var ErrFull = errors.New("no more of these are kept")

// AddCertificates stores certificates that the hub has issued, in one transaction,
// and forgets those that ended long ago. A zero Known is now.
func (d *DB) AddCertificates(ctx context.Context, certs ...Certificate) error {
	return d.storeCertificates(ctx, certs, func(*tx) (int, error) { return len(certs), nil })
}

// NoteCertificates stores certificates that were seen and are not known yet, as
// issued elsewhere. Above a bound they are left out.
func (d *DB) NoteCertificates(ctx context.Context, certs []Certificate) error {
	return d.storeCertificates(ctx, certs, func(tx *tx) (int, error) {
		var noted int
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM certificates WHERE origin = ?", string(OriginElsewhere)).Scan(&noted)
		return maxElsewhere - noted, err
	})
}

// storeCertificates stores as many certificates as there is room for, in one transaction.
func (d *DB) storeCertificates(ctx context.Context, certs []Certificate, room func(*tx) (int, error)) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return fmt.Errorf("store certificates: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	left, err := room(tx)
	if err != nil {
		return fmt.Errorf("count certificates: %w", err)
	}
	if err := d.insertCertificates(ctx, tx, certs, left); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store certificates: %w", err)
	}
	return nil
}

// insertCertificates adds at most so many certificates, those that are there already not
// counted, and forgets those that ended long ago.
func (d *DB) insertCertificates(ctx context.Context, tx *tx, certs []Certificate, most int) error {
	now := d.now()
	if _, err := tx.ExecContext(ctx, "DELETE FROM certificates WHERE not_after < ?", nanos(now.Add(-keepCertificates))); err != nil {
		return fmt.Errorf("forget old certificates: %w", err)
	}
	for _, c := range certs {
		if most <= 0 {
			break
		}
		if c.Known.IsZero() {
			c.Known = now
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO certificates
			(serial, identity, host, observes, not_before, not_after, origin, known, issued_for, replaces, machine)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (serial) DO NOTHING`,
			c.Serial, c.Identity, c.Host, strings.Join(c.Observes, " "), nanos(c.NotBefore), nanos(c.NotAfter), string(c.Origin),
			nanos(c.Known), c.IssuedFor, c.Replaces, c.Machine)
		if err != nil {
			return fmt.Errorf("store certificate %s: %w", c.Serial, err)
		}
		if n, err := result.RowsAffected(); err == nil {
			most -= int(n)
		}
	}
	return nil
}

// Certificates returns at most limit certificates, those of one host unless host
// is empty, by identity, newest first. Those that ended before since are left out.
func (d *DB) Certificates(ctx context.Context, host string, since time.Time, limit int) ([]Certificate, error) {
	return d.certificates(ctx, "SELECT "+certificateColumns+` FROM certificates
		WHERE (? = '' OR host = ?) AND not_after >= ? ORDER BY identity, known DESC, serial LIMIT ?`, host, host, nanos(since), limit)
}

// Certificate returns one certificate, or ErrNotFound.
func (d *DB) Certificate(ctx context.Context, serial string) (Certificate, error) {
	found, err := d.certificates(ctx, "SELECT "+certificateColumns+" FROM certificates WHERE serial = ?", serial)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("read certificate: %w", ErrNotFound)
	}
	if err != nil {
		return Certificate{}, err
	}
	return found[0], nil
}

const certificateColumns = "serial, identity, host, observes, not_before, not_after, origin, known, issued_for, replaces, machine"

func (d *DB) certificates(ctx context.Context, query string, args ...any) ([]Certificate, error) {
	rows, err := d.sql.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	defer rows.Close()
	var certs []Certificate
	for rows.Next() {
		var c Certificate
		var observes string
		var notBefore, notAfter, known int64
		err := rows.Scan(&c.Serial, &c.Identity, &c.Host, &observes, &notBefore, &notAfter, &c.Origin, &known,
			&c.IssuedFor, &c.Replaces, &c.Machine)
		if err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
		if observes != "" {
			c.Observes = strings.Fields(observes)
		}
		c.NotBefore, c.NotAfter, c.Known = instant(notBefore), instant(notAfter), instant(known)
		certs = append(certs, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	return certs, nil
}

// Revoke stores revocations in one transaction; a later one of the same target
// takes the place of the earlier. ErrFull says that there is no room.
func (d *DB) Revoke(ctx context.Context, list ...Revocation) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	for _, r := range list {
		_, err := tx.ExecContext(ctx, `INSERT INTO revocations (target, time, reason, actor) VALUES (?, ?, ?, ?)
			ON CONFLICT (target) DO UPDATE SET time = excluded.time, reason = excluded.reason, actor = excluded.actor
			WHERE excluded.time >= revocations.time`, r.Target, nanos(r.Time), r.Reason, r.Actor)
		if err != nil {
			return fmt.Errorf("revoke %s: %w", r.Target, err)
		}
	}
	var kept int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM revocations").Scan(&kept); err != nil {
		return fmt.Errorf("count revocations: %w", err)
	}
	if kept > maxRevocations {
		return fmt.Errorf("revoke: %w", ErrFull)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return nil
}

// Revocations returns every revocation, by target.
func (d *DB) Revocations(ctx context.Context) ([]Revocation, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT target, time, reason, actor FROM revocations ORDER BY target")
	if err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	defer rows.Close()
	var list []Revocation
	for rows.Next() {
		var r Revocation
		var at int64
		if err := rows.Scan(&r.Target, &at, &r.Reason, &r.Actor); err != nil {
			return nil, fmt.Errorf("read revocations: %w", err)
		}
		r.Time = instant(at)
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read revocations: %w", err)
	}
	return list, nil
}
