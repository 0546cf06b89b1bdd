package state_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/state"
)

func someCertificate(serial, host string) state.Certificate {
	return state.Certificate{
		Serial: serial, Identity: "spiffe://amoskys.local/agent/" + host, Host: host, Observes: []string{"flow", "snmp"},
		NotBefore: epoch.Add(-time.Hour), NotAfter: epoch.Add(90 * 24 * time.Hour), Origin: state.OriginEnrolment, Known: epoch,
		IssuedFor: "token 01", Machine: "m1",
	}
}

func TestCertificates(t *testing.T) { each(t, testCertificates) }

func testCertificates(t *testing.T, open opener) {
	db := open(t)
	first, renewed, other, ended := someCertificate("a1", "web-1"), someCertificate("a2", "web-1"), someCertificate("b1", "web-2"), someCertificate("c1", "web-3")
	renewed.Origin, renewed.Known, renewed.Replaces = state.OriginRenewal, epoch.Add(time.Minute), "a1"
	other.Observes = nil
	ended.NotAfter = epoch.Add(-31 * 24 * time.Hour)
	if err := db.AddCertificates(t.Context(), ended, other, first, renewed); err != nil {
		t.Fatal(err)
	}
	// One that is known stays as it was issued, and the others are noted.
	seen := someCertificate("a1", "web-1")
	seen.Origin, seen.IssuedFor = state.OriginElsewhere, ""
	mine := someCertificate("d1", "web-4")
	mine.Origin = state.OriginElsewhere
	if err := db.NoteCertificates(t.Context(), []state.Certificate{seen, mine}); err != nil {
		t.Fatal(err)
	}
	got, err := db.Certificates(t.Context(), "", epoch, 10)
	if diff := cmp.Diff([]state.Certificate{renewed, first, other, mine}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	got, err = db.Certificates(t.Context(), "web-1", epoch, 1)
	if diff := cmp.Diff([]state.Certificate{renewed}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if one, err := db.Certificate(t.Context(), "b1"); err != nil || !cmp.Equal(one, other) {
		t.Errorf("got %+v, %v", one, err)
	}
	if _, err := db.Certificate(t.Context(), "c1"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("one that ended long ago is still there: %v", err)
	}
}

// TestNotedCertificatesAreBounded: whoever has the authority's key cannot fill the
// database with certificates.
func TestNotedCertificatesAreBounded(t *testing.T) { each(t, testNotedCertificatesAreBounded) }

func testNotedCertificatesAreBounded(t *testing.T, open opener) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine")
	}
	db := open(t)
	many := make([]state.Certificate, 10_010)
	for i := range many {
		many[i] = someCertificate(fmt.Sprintf("%x", i+1), fmt.Sprintf("h%d", i))
		many[i].Origin = state.OriginElsewhere
	}
	for range 2 {
		if err := db.NoteCertificates(t.Context(), many); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := db.Certificates(t.Context(), "", epoch, 20_000); err != nil || len(got) != 10_000 {
		t.Errorf("%d are kept, %v", len(got), err)
	}
}

func TestRevocations(t *testing.T) { each(t, testRevocations) }

func testRevocations(t *testing.T, open opener) {
	db := open(t)
	a := state.Revocation{Target: "agent/web-1", Time: epoch, Reason: "stolen", Actor: "cli:x"}
	b := state.Revocation{Target: "serial:a1", Time: epoch, Actor: "cli:y"}
	if err := db.Revoke(t.Context(), a, b); err != nil {
		t.Fatal(err)
	}
	a.Time, a.Reason = epoch.Add(time.Hour), "again"
	earlier := state.Revocation{Target: "serial:a1", Time: epoch.Add(-time.Hour), Actor: "cli:z"}
	if err := db.Revoke(t.Context(), a, earlier); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := open(t).Revocations(t.Context())
	if diff := cmp.Diff([]state.Revocation{a, b}, got); diff != "" || err != nil {
		t.Errorf("after a restart: %v\n%s", err, diff)
	}
}

// TestUsedTokensStayUsed takes a file back to the second version of the tables.
func TestUsedTokensStayUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, file)
	tok := someToken(1)
	if err := db.CreateToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	if err := db.Enrol(t.Context(), tok.ID, tok.SecretHash, "web-1", "x"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = raw.ExecContext(t.Context(), `ALTER TABLE tokens DROP COLUMN uses; ALTER TABLE tokens DROP COLUMN used_count;
		ALTER TABLE tokens DROP COLUMN host_pattern; ALTER TABLE tokens DROP COLUMN kinds;
		DROP TABLE backups; DROP TABLE device_marks; DROP TABLE saved_queries; DROP TABLE hosts; DROP TABLE certificates; DROP TABLE revocations; PRAGMA user_version = 2`)
	if err := errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	db = open(t, file)
	if got, err := db.Token(t.Context(), tok.ID); err != nil || !got.Spent() {
		t.Errorf("a token of the version before: %+v, %v", got, err)
	}
}
