package state

import (
	"context"
	"fmt"
	"strings"
)

// migrations bring the tables from version i to i+1. They are never changed
// once released. What the engines call differently stands in braces: their vocabulary
// has it.
func migrations() []string { //nolint:funlen // a list, of which each entry is final
	return []string{`
CREATE TABLE users (
	name {text} PRIMARY KEY,
	role {text} NOT NULL CHECK (role IN ('viewer', 'analyst', 'admin')),
	password_hash {text} NOT NULL,
	created {int} NOT NULL,
	last_login {int} NOT NULL DEFAULT 0
){strict};
CREATE TABLE sessions (
	token_hash {bytes} PRIMARY KEY,
	"user" {text} NOT NULL REFERENCES users (name) ON DELETE CASCADE ON UPDATE CASCADE,
	created {int} NOT NULL,
	last_seen {int} NOT NULL,
	expires {int} NOT NULL,
	src_ip {text} NOT NULL,
	user_agent {text} NOT NULL
){strict};
CREATE INDEX sessions_user ON sessions ("user");
CREATE INDEX sessions_expires ON sessions (expires);
CREATE TABLE audit (
	id {serial} PRIMARY KEY,
	time {int} NOT NULL,
	actor {text} NOT NULL,
	operation {text} NOT NULL,
	target {text} NOT NULL,
	success {bool} NOT NULL,
	detail {text} NOT NULL,
	src_ip {text} NOT NULL
){strict};
CREATE TABLE agents (
	host {text} NOT NULL,
	id {text} NOT NULL,
	node {text} NOT NULL,
	status {bytes} NOT NULL,
	desired {text} NOT NULL DEFAULT '',
	updated {int} NOT NULL,
	PRIMARY KEY (host, id)
){by key};
`, `
CREATE TABLE tokens (
	id {bytes} PRIMARY KEY,
	secret_hash {bytes} NOT NULL,
	host {text} NOT NULL,
	created {int} NOT NULL,
	expires {int} NOT NULL,
	created_by {text} NOT NULL,
	used {int} NOT NULL DEFAULT 0,
	used_by {text} NOT NULL DEFAULT ''
){strict};
`, `
CREATE TABLE certificates (
	serial {text} PRIMARY KEY,
	identity {text} NOT NULL,
	host {text} NOT NULL,
	observes {text} NOT NULL,
	not_before {int} NOT NULL,
	not_after {int} NOT NULL,
	origin {text} NOT NULL CHECK (origin IN ('enrolment', 'renewal', 'elsewhere')),
	known {int} NOT NULL,
	issued_for {text} NOT NULL,
	replaces {text} NOT NULL,
	machine {text} NOT NULL
){strict};
CREATE INDEX certificates_host ON certificates (host);
CREATE INDEX certificates_not_after ON certificates (not_after);
CREATE INDEX certificates_origin ON certificates (origin);
CREATE TABLE revocations (
	target {text} PRIMARY KEY,
	time {int} NOT NULL,
	reason {text} NOT NULL,
	actor {text} NOT NULL
){strict};
ALTER TABLE tokens ADD COLUMN uses {int} NOT NULL DEFAULT 1;
ALTER TABLE tokens ADD COLUMN used_count {int} NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN host_pattern {text} NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN kinds {text} NOT NULL DEFAULT '';
UPDATE tokens SET used_count = 1 WHERE used > 0;
`, `
CREATE TABLE hosts (
	name {text} PRIMARY KEY,
	node {text} NOT NULL,
	version {text} NOT NULL,
	last_seen {int} NOT NULL,
	silent {bool} NOT NULL
){by key};
`, `
CREATE TABLE saved_queries (
	id {serial} PRIMARY KEY,
	owner {text} NOT NULL,
	name {words} NOT NULL,
	query {text} NOT NULL,
	since {text} NOT NULL,
	until {text} NOT NULL,
	columns {text} NOT NULL,
	shared {bool} NOT NULL,
	created {int} NOT NULL,
	changed {int} NOT NULL,
	changed_by {text} NOT NULL
){strict};
CREATE UNIQUE INDEX saved_queries_owner ON saved_queries (owner, {name}) WHERE owner <> '';
CREATE UNIQUE INDEX saved_queries_shared ON saved_queries ({name}) WHERE shared;
`, `
CREATE TABLE device_marks (
	uid {text} PRIMARY KEY,
	known {bool} NOT NULL,
	owner {text} NOT NULL,
	tags {text} NOT NULL,
	note {text} NOT NULL,
	changed {int} NOT NULL,
	changed_by {text} NOT NULL
){by key};
`, `
ALTER TABLE saved_queries ADD COLUMN kind {text} NOT NULL DEFAULT '';
DROP INDEX saved_queries_owner;
DROP INDEX saved_queries_shared;
CREATE UNIQUE INDEX saved_queries_owner ON saved_queries (owner, kind, {name}) WHERE owner <> '';
CREATE UNIQUE INDEX saved_queries_shared ON saved_queries (kind, {name}) WHERE shared;
`, `
CREATE TABLE backups (
	id {serial} PRIMARY KEY,
	snapshot {text} NOT NULL,
	place {text} NOT NULL,
	time {int} NOT NULL,
	took {int} NOT NULL,
	bytes {int} NOT NULL,
	sent {int} NOT NULL,
	log_offset {int} NOT NULL,
	with_keys {bool} NOT NULL
){strict};
`}
}

// vocabulary is what an engine calls the types of columns and the kinds of tables.
type vocabulary struct {
	text, words string // words are equal whatever their capitals
	name        string // an index over the column name, of words
	int, bool   string
	bytes       string
	serial      string
	strict      string
	byKey       string // rows lie in the primary key
}

func (v *vocabulary) in(step string) string {
	return strings.NewReplacer("{text}", v.text, "{words}", v.words, "{name}", v.name, "{int}", v.int, "{bool}", v.bool,
		"{bytes}", v.bytes, "{serial}", v.serial, "{strict}", v.strict, "{by key}", v.byKey).Replace(step)
}

// migrate brings the tables up to date, or refuses those of a newer program.
func migrate(ctx context.Context, p *pool) error {
	steps := migrations()
	tx, err := p.Begin(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	version, err := p.engine.version(ctx, tx)
	if err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	if version > len(steps) {
		return fmt.Errorf("written by a newer version (tables %d, this program knows %d)", version, len(steps))
	}
	if version == len(steps) {
		return nil
	}
	words := p.engine.vocabulary()
	for i, step := range steps[version:] {
		if _, err := tx.Tx.ExecContext(ctx, words.in(step)); err != nil {
			return fmt.Errorf("migrate to %d: %w", version+i+1, err)
		}
	}
	if err := p.engine.setVersion(ctx, tx, len(steps)); err != nil {
		return fmt.Errorf("write version: %w", err)
	}
	return tx.Commit()
}
