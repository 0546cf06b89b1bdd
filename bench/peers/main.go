// Command peers feeds SQLite with the rows that `amoskys bench store` stores, and asks it
// the questions that the store is asked. It says how fast rows go in, what they take on
// disk and how long each question takes; docs/performance.md has that beside the store's.
//
//	amoskys bench store --events 1000000 --rows-to rows.jsonl
//	go -C bench run ./peers -rows rows.jsonl
package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "modernc.org/sqlite"
)

func main() {
	rows := flag.String("rows", "", "file of JSON lines that `amoskys bench store --rows-to` wrote")
	dir := flag.String("dir", "", "folder for the database (default the system's for temporary files)")
	asks := flag.Int("asks", 30, "how often each question is asked")
	asJSON := flag.Bool("json", false, "print one JSON object")
	flag.Parse()
	if err := run(context.Background(), *rows, *dir, *asks, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rows, dir string, asks int, asJSON bool) error {
	dir, err := os.MkdirTemp(dir, "peers-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	s, err := openSQLite(ctx, rows, filepath.Join(dir, "events.db"))
	if err != nil {
		return err
	}
	defer s.db.Close()
	var out result
	if err := s.feed(ctx, rows, &out); err != nil {
		return err
	}
	if err := s.ask(ctx, asks, &out); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(&out)
	}
	out.print()
	return nil
}

// result is what was measured.
type result struct {
	Rows          int      `json:"rows"`
	RowsPerSecond float64  `json:"rows_per_second"`
	CPUUsPerRow   float64  `json:"cpu_us_per_row"`
	DiskPerRow    float64  `json:"disk_bytes_per_row"`
	Questions     []answer `json:"questions"`
}

type answer struct {
	Name  string  `json:"name"`
	Rows  int     `json:"rows"`
	P50Ms float64 `json:"p50_ms"`
	P95Ms float64 `json:"p95_ms"`
}

func (r *result) print() {
	fmt.Printf("SQLite with FTS5: %d rows, %.0f rows/s, %.1f µs of CPU and %.1f B of disk a row\n\n", r.Rows, r.RowsPerSecond, r.CPUUsPerRow, r.DiskPerRow)
	fmt.Println("| question | SQLite p50, p95, ms | rows |\n| --- | --- | --- |")
	for _, q := range r.Questions {
		fmt.Printf("| %s | %.1f, %.1f | %d |\n", q.Name, q.P50Ms, q.P95Ms, q.Rows)
	}
}

// sqlite is a table with a column for each field, indexes by time, by agent and by id, and
// a full-text index (FTS5) of all fields in which words are looked for.
type sqlite struct {
	db      *sql.DB
	path    string
	columns []string // of the table, as rows call them
	words   []string // those of them that are searched for words
	newest  int64    // time of the newest row
}

// isWords reports whether words are looked for in a field, as the store does.
func isWords(name string) bool {
	return !slices.Contains([]string{"_time", "offset", "logged", "encoded", "event_time", "exact", "cut", "publisher"}, name)
}

func openSQLite(ctx context.Context, rows, path string) (*sqlite, error) {
	s := &sqlite{path: path}
	names := map[string]bool{}
	err := each(rows, 20_000, func(row map[string]string) error {
		for name := range row {
			names[name] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name := range names {
		s.columns = append(s.columns, name)
		if isWords(name) {
			s.words = append(s.words, name)
		}
	}
	slices.Sort(s.columns)
	slices.Sort(s.words)
	if s.db, err = sql.Open("sqlite", path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-65536)"); err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	s.db.SetMaxOpenConns(1)
	types := make([]string, len(s.columns))
	for i, name := range s.columns {
		types[i] = quoted(name)
		if name == "_time" || name == "offset" {
			types[i] += " INTEGER"
		}
	}
	for _, text := range []string{
		"CREATE TABLE events (" + strings.Join(types, ", ") + ")",
		`CREATE INDEX by_time ON events (_time)`,
		`CREATE INDEX by_agent ON events (host, agent, _time)`,
		`CREATE INDEX by_id ON events (id)`,
		"CREATE VIRTUAL TABLE words USING fts5 (" + strings.Join(mapped(s.words, quoted), ", ") + ", content='')",
	} {
		if _, err := s.db.ExecContext(ctx, text); err != nil {
			return nil, fmt.Errorf("make the tables: %w", err)
		}
	}
	return s, nil
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func mapped(list []string, change func(string) string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = change(s)
	}
	return out
}

// each calls do with the rows of a file, at most that many where most is above 0.
func each(path string, most int, do func(row map[string]string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for n := 0; lines.Scan() && (most == 0 || n < most); n++ {
		row := map[string]string{}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return fmt.Errorf("row %d: %w", n+1, err)
		}
		if err := do(row); err != nil {
			return err
		}
	}
	return lines.Err()
}

const rowsTogether = 2000 // of one transaction

// feed stores all rows. What reading them costs is not counted.
func (s *sqlite) feed(ctx context.Context, rows string, out *result) error {
	var portion []map[string]string
	var wall time.Duration
	var cpu float64
	n := 0
	store := func() error {
		began, used := time.Now(), cpuSeconds()
		err := s.insert(ctx, n+1, portion)
		wall, cpu = wall+time.Since(began), cpu+cpuSeconds()-used
		n += len(portion)
		portion = portion[:0]
		return err
	}
	err := each(rows, 0, func(row map[string]string) error {
		at, err := strconv.ParseInt(row["_time"], 10, 64)
		if err != nil {
			return fmt.Errorf("time of row %d: %w", n+1, err)
		}
		s.newest = max(s.newest, at)
		if portion = append(portion, row); len(portion) < rowsTogether {
			return nil
		}
		return store()
	})
	if err == nil {
		err = store()
	}
	if err != nil {
		return err
	}
	began, used := time.Now(), cpuSeconds()
	if _, err := s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return fmt.Errorf("make rows durable: %w", err)
	}
	wall, cpu = wall+time.Since(began), cpu+cpuSeconds()-used
	info, err := os.Stat(s.path)
	if err != nil || n == 0 {
		return errors.Join(err, errNoRows(n))
	}
	out.Rows, out.RowsPerSecond = n, float64(n)/wall.Seconds()
	out.CPUUsPerRow, out.DiskPerRow = cpu*1e6/float64(n), float64(info.Size())/float64(n)
	return nil
}

func errNoRows(n int) error {
	if n > 0 {
		return nil
	}
	return errors.New("there are no rows")
}

func (s *sqlite) insert(ctx context.Context, first int, rows []map[string]string) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	statement := func(table string, columns []string) (*sql.Stmt, error) {
		return tx.PrepareContext(ctx, "INSERT INTO "+table+" (rowid, "+strings.Join(mapped(columns, quoted), ", ")+") VALUES (?"+strings.Repeat(", ?", len(columns))+")")
	}
	events, err := statement("events", s.columns)
	if err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	words, err := statement("words", s.words)
	if err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	var values []any
	put := func(to *sql.Stmt, id int, row map[string]string, columns []string) error {
		values = append(values[:0], id)
		for _, name := range columns {
			if v, ok := row[name]; ok {
				values = append(values, v)
			} else {
				values = append(values, nil)
			}
		}
		_, err := to.ExecContext(ctx, values...)
		return err
	}
	for i, row := range rows {
		if err := errors.Join(put(events, first+i, row, s.columns), put(words, first+i, row, s.words)); err != nil {
			return fmt.Errorf("insert: %w", err)
		}
	}
	return tx.Commit()
}

// question is one that `amoskys bench store` asks too, in SQL; since is how far back.
type question struct {
	name, text string
	since      time.Duration
}

func questions() []question {
	const newest = ` AND _time >= ? ORDER BY _time DESC LIMIT `
	return []question{
		{"last 100 of an agent, ten minutes", `SELECT * FROM events WHERE host = 'host-00007' AND agent = 'proc_agent'` + newest + `100`, 10 * time.Minute},
		{"last 100 of an agent, an hour", `SELECT * FROM events WHERE host = 'host-00007' AND agent = 'proc_agent'` + newest + `100`, time.Hour},
		{"rare word in a field", `SELECT * FROM events WHERE rowid IN (SELECT rowid FROM words WHERE words MATCH '"process.command_line" : qzxvwk') AND _time >= ?`, 0},
		{"rare word in any field", `SELECT * FROM events WHERE rowid IN (SELECT rowid FROM words WHERE words MATCH 'qzxvwk') AND _time >= ?`, 0},
		{"count by minute and type, a day", `SELECT _time/60000000000, type, count(*) FROM events WHERE _time >= ? GROUP BY 1, 2`, 24 * time.Hour},
		{"count by hour and type", `SELECT _time/3600000000000, type, count(*) FROM events WHERE _time >= ? GROUP BY 1, 2`, 0},
		{"top 10 of process.name", `SELECT "process.name", count(*) FROM events WHERE _time >= ? GROUP BY 1 ORDER BY 2 DESC LIMIT 10`, 0},
		{"top 10 of host", `SELECT host, count(*) FROM events WHERE _time >= ? GROUP BY 1 ORDER BY 2 DESC LIMIT 10`, 0},
		{"count of all", `SELECT count(*) FROM events WHERE _time >= ?`, 0},
		{"live window of 15 s", `SELECT * FROM events WHERE 1` + newest + `1000`, 15 * time.Second},
		{"facets of five fields, ten minutes", facets("host", "type", "agent", "process.name", "severity"), 10 * time.Minute},
		{"event by its id", `SELECT * FROM events WHERE id = (SELECT id FROM events WHERE rowid = 777) AND _time >= ?`, 0},
		{"event by its place in the log", `SELECT * FROM events WHERE rowid = 777 AND _time >= ?`, 0},
	}
}

// facets asks for the ten most frequent values of each of some columns.
func facets(names ...string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		// ?1 is the one argument, however often it stands there.
		parts[i] = fmt.Sprintf(`SELECT * FROM (SELECT '%s', %s, count(*) FROM events WHERE _time >= ?1 GROUP BY 2 ORDER BY 3 DESC LIMIT 10)`, name, quoted(name))
	}
	return strings.Join(parts, " UNION ALL ")
}

func (s *sqlite) ask(ctx context.Context, asks int, out *result) error {
	for _, q := range questions() {
		var took []float64
		n := 0
		for range asks {
			since := int64(0)
			if q.since > 0 {
				since = s.newest - q.since.Nanoseconds()
			}
			began := time.Now()
			var err error
			if n, err = s.count(ctx, q.text, since); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			took = append(took, float64(time.Since(began).Microseconds())/1000)
		}
		slices.Sort(took)
		out.Questions = append(out.Questions, answer{q.name, n, took[len(took)/2], took[min(len(took)-1, len(took)*95/100)]})
	}
	return nil
}

// count reads all rows and all values of them.
func (s *sqlite) count(ctx context.Context, text string, since int64) (n int, err error) {
	rows, err := s.db.QueryContext(ctx, text, since)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	values := make([]any, len(columns))
	for i := range values {
		values[i] = new(sql.RawBytes)
	}
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return 0, err
		}
		n++
	}
	return n, rows.Err()
}

// cpuSeconds is the time that this process has used, user and system.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
