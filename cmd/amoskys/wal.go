package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// walFlags are the arguments that the commands below `amoskys wal` share.
type walFlags struct {
	env    *cli.Env
	dir    string
	asJSON bool
}

// newWALCommand builds `amoskys wal`, which looks into the hub's log without
// its help: the commands take no lock and change nothing, but for cursors remove,
// accept-loss, trust-clock and rewrite.
func newWALCommand(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wal",
		Short: "Check and look into the hub's log",
		Long: "Checks and shows the files of the write-ahead log. The hub may be running: all but cursors remove, accept-loss,\n" +
			"trust-clock and rewrite take no lock and change nothing. They work on a copy as well.",
		Example: "  amoskys wal verify\n  amoskys wal stat --json\n  amoskys wal dump --from 1200 --limit 10",
	}
	cmd.AddCommand(newWALVerifyCommand(env), newWALStatCommand(env), newWALDumpCommand(env), newWALCursorsCommand(env), newWALTrustClockCommand(env), newWALAcceptLossCommand(env), newWALRewriteCommand(env))
	return cmd
}

func (f *walFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "dir", "", "folder of the log (default wal.path of the hub's configuration)")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// folder returns the folder to look into, in which there is a log.
func (f *walFlags) folder() (string, error) {
	dir, err := f.named()
	if err != nil {
		return "", err
	}
	return dir, f.checkLog(dir)
}

// checkLog returns an error where there is no log in dir, and says where there is one.
func (f *walFlags) checkLog(dir string) error {
	err := wal.CheckFolder(vfs.OS{}, dir)
	if !errors.Is(err, wal.ErrNoLog) {
		return err
	}
	if f.dir == "" {
		return fmt.Errorf("%w; the hub makes one when it first runs", err)
	}
	for _, below := range []string{"data/wal", "wal"} {
		if near := filepath.Join(dir, below); wal.CheckFolder(vfs.OS{}, near) == nil {
			return fmt.Errorf("%w: did you mean --dir %s?", err, near)
		}
	}
	return err
}

// named returns the folder that --dir names, or else the hub's configuration.
func (f *walFlags) named() (string, error) {
	if f.dir != "" {
		return filepath.Abs(f.dir) // the copy of HEAD stands beside it, and "." has no name for that
	}
	if err := f.env.Home.Check(); err != nil {
		return "", err
	}
	cfg, err := app.LoadHubConfig(f.env)
	if err != nil {
		return "", fmt.Errorf("find the log (or name it with --dir): %w", err)
	}
	return f.env.Home.Path(cfg.WAL.Path), nil
}

// verifyOutput is what `amoskys wal verify --json` prints.
type verifyOutput struct {
	OK             bool        `json:"ok"`
	Records        uint64      `json:"records"`
	Bytes          int64       `json:"bytes"`
	FirstBadOffset *wal.Offset `json:"first_bad_offset"`
	Error          *string     `json:"error"`

	Events      uint64     `json:"events"`
	Segments    int        `json:"segments"`
	FirstOffset wal.Offset `json:"first_offset"`
	NextOffset  wal.Offset `json:"next_offset"`
	Segment     string     `json:"segment,omitempty"`
	Position    *int64     `json:"position,omitempty"`
	BadPlaces   int        `json:"bad_places"`
	Notes       []string   `json:"notes,omitempty"`

	RemovedBefore  wal.Offset   `json:"removed_before"` // retention removed what is below
	OpenLosses     []lossOutput `json:"open_losses"`
	AcceptedLosses []lossOutput `json:"accepted_losses"`
}

// walVerify is one run of `amoskys wal verify`.
type walVerify struct {
	walFlags
	unpack bool
}

func newWALVerifyCommand(env *cli.Env) *cobra.Command {
	f := walVerify{walFlags: walFlags{env: env}}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that nothing in the log was cut, reordered or altered",
		Long: "Reads the whole log and checks every checksum, the hash chain through all records and segments,\n" +
			"and both ends. Names the first bad offset. Exit code 1 when anything is wrong. With --unpack the events of\n" +
			"each record are unpacked and counted too, which takes a few times as long.",
		Example: "  amoskys wal verify\n  amoskys wal verify --unpack\n  amoskys wal verify --dir /backup/wal --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.verify(cmd.Context()) },
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&f.unpack, "unpack", false, "unpack the events of each record as well, and count them")
	return cmd
}

func (f *walVerify) verify(ctx context.Context) error {
	dir, err := f.named()
	if err != nil {
		return err
	}
	if err := f.checkLog(dir); err != nil {
		if f.asJSON {
			return f.verifyJSON(&wal.Report{}, err)
		}
		return err
	}
	progress := cli.NewProgress(f.env.Stderr, f.env.Now)
	begin := f.env.Now()
	rep, err := wal.VerifyWith(ctx, vfs.OS{}, dir, wal.VerifyOptions{
		Unpack: f.unpack, Progress: func(done, total int64) { progress.Update("verify", done, total) },
	})
	progress.Done()
	if err != nil && !f.asJSON {
		return err
	}
	if f.asJSON {
		return f.verifyJSON(&rep, err)
	}
	table := cli.NewTable("SEGMENTS", ">RECORDS", ">EVENTS", ">BYTES", "OFFSETS", ">TOOK")
	offsets := "none"
	if rep.Next > rep.First {
		offsets = fmt.Sprintf("%d to %d", rep.First, rep.Next-1)
	}
	table.Row(rep.Segments, cli.Count(rep.Records), cli.Count(rep.Events), cli.Bytes(rep.Bytes), offsets,
		cli.Duration(f.env.Now().Sub(begin)))
	if err := table.Write(f.env.Stdout); err != nil {
		return err
	}
	for _, note := range rep.Notes {
		fmt.Fprintln(f.env.Stdout, "note: "+cli.Clean(note))
	}
	if rep.Removed > 0 {
		last := ""
		if !rep.RemovedAt.IsZero() {
			last = ", last on " + rep.RemovedAt.Format(time.RFC3339)
		}
		fmt.Fprintf(f.env.Stdout, "removed by retention: what was below offset %d%s\n", rep.Removed, last)
	}
	for _, l := range rep.Losses {
		if l.Accepted.IsZero() {
			fmt.Fprintf(f.env.Stdout, "LOST: %s (noticed %s); amoskys wal accept-loss %d takes note of it\n", l, l.Noticed.Format(time.RFC3339), l.ID)
		} else {
			fmt.Fprintf(f.env.Stdout, "lost, and accepted on %s: %s (loss %d)\n", l.Accepted.Format(time.RFC3339), l, l.ID)
		}
	}
	switch {
	case rep.OK && len(rep.Losses) > 0:
		fmt.Fprintln(f.env.Stdout, "ok: but for what was accepted, nothing was cut, reordered or altered")
		return nil
	case rep.OK:
		fmt.Fprintln(f.env.Stdout, "ok: nothing was cut, reordered or altered")
		return nil
	}
	places := "1 bad place,"
	switch {
	case rep.BadPlaces == 0:
		places = "what was lost has not been accepted, the first"
	case rep.BadPlaces > 1:
		places = fmt.Sprintf("%d bad places, the first", rep.BadPlaces)
	}
	fmt.Fprintf(f.env.Stdout, "NOT OK: %s at offset %d: %s\n", places, rep.FirstBadOffset, cli.Clean(rep.Err.Error()))
	return cli.ErrSilent
}

// verifyJSON prints the report; failed is why it could not be finished.
func (f *walFlags) verifyJSON(rep *wal.Report, failed error) error {
	out := verifyOutput{
		OK: rep.OK && failed == nil, Records: rep.Records, Bytes: rep.Bytes, Events: rep.Events, Segments: rep.Segments,
		FirstOffset: rep.First, NextOffset: rep.Next, Segment: rep.Segment, BadPlaces: rep.BadPlaces, Notes: rep.Notes,
	}
	out.RemovedBefore, out.OpenLosses, out.AcceptedLosses = rep.Removed, []lossOutput{}, []lossOutput{}
	for _, l := range rep.Losses {
		one := lossOutput{ID: l.ID, FromOffset: l.From, ToOffset: l.To, NoticedAt: l.Noticed, Reason: l.Reason}
		if l.Unknown {
			one.ToOffset = l.From
		}
		if l.Accepted.IsZero() {
			out.OpenLosses = append(out.OpenLosses, one)
			continue
		}
		one.AcceptedAt = &l.Accepted
		out.AcceptedLosses = append(out.AcceptedLosses, one)
	}
	if rep.Err != nil {
		out.FirstBadOffset = &rep.FirstBadOffset
		if rep.Segment != "" {
			out.Position = &rep.Position
		}
		failed = errors.Join(rep.Err, failed)
	}
	if failed != nil {
		text := failed.Error()
		out.Error = &text
	}
	if err := cli.WriteJSON(f.env.Stdout, out); err != nil {
		return err
	}
	if !out.OK {
		return cli.ErrSilent
	}
	return nil
}

// statOutput is what `amoskys wal stat --json` prints.
type statOutput struct {
	Dir         string            `json:"dir"`
	FirstOffset wal.Offset        `json:"first_offset"`
	NextOffset  wal.Offset        `json:"next_offset"`
	Bytes       int64             `json:"bytes"`
	Segments    []wal.SegmentInfo `json:"segments"`
	Cursors     []wal.CursorInfo  `json:"cursors"`
	Quarantined []string          `json:"quarantined"`
}

func newWALStatCommand(env *cli.Env) *cobra.Command {
	f := walFlags{env: env}
	cmd := &cobra.Command{
		Use:   "stat",
		Short: "Show the log's segments and cursors",
		Long: "Shows the segments with their offsets, sizes and formats, how well the newest one's records are packed, where\n" +
			"each subscriber's cursor stands and what is in quarantine.",
		Example: "  amoskys wal stat\n  amoskys wal stat --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.stat(cmd.Context()) },
	}
	f.bind(cmd)
	return cmd
}

func (f *walFlags) stat(ctx context.Context) error {
	dir, err := f.folder()
	if err != nil {
		return err
	}
	sum, err := wal.Inspect(ctx, vfs.OS{}, dir)
	if err != nil {
		return err
	}
	if f.asJSON {
		return cli.WriteJSON(f.env.Stdout, statOutput{
			Dir: dir, FirstOffset: sum.FirstOffset, NextOffset: sum.NextOffset, Bytes: sum.Bytes,
			Segments: append([]wal.SegmentInfo{}, sum.Segments...), Cursors: append([]wal.CursorInfo{}, sum.Cursors...),
			Quarantined: append([]string{}, sum.Quarantined...),
		})
	}
	table := cli.NewTable("SEGMENT", ">FIRST", ">EVENTS", ">BYTES", ">FORMAT", "CREATED", "PROBLEM")
	for _, s := range sum.Segments {
		created := ""
		if !s.Created.IsZero() {
			created = s.Created.Format(time.RFC3339)
		}
		table.Row(s.Name, s.First, cli.Count(s.Next-s.First), cli.Bytes(s.Bytes), s.Version, created, s.Problem)
	}
	if err := table.Write(f.env.Stdout); err != nil {
		return err
	}
	fmt.Fprintf(f.env.Stdout, "\n%s from offset %d on, %s in %s\n",
		cli.Counted(sum.NextOffset-sum.FirstOffset, "event", "events"), sum.FirstOffset, cli.Bytes(sum.Bytes), cli.Clean(dir))
	describePacking(f.env.Stdout, sum.Segments)
	if len(sum.Cursors) > 0 {
		fmt.Fprintln(f.env.Stdout)
		table = cli.NewTable("CURSOR", ">OFFSET", ">BEHIND", "HOLD", "UPDATED")
		for _, c := range sum.Cursors {
			table.Row(c.Name, c.Offset, cli.Count(sum.NextOffset-min(c.Offset, sum.NextOffset)), c.Hold, c.Updated.Format(time.RFC3339))
		}
		if err := table.Write(f.env.Stdout); err != nil {
			return err
		}
	}
	for _, name := range sum.Quarantined {
		fmt.Fprintln(f.env.Stdout, "in quarantine: "+cli.Clean(name))
	}
	return nil
}

// describePacking says how well the newest segment's records are packed.
func describePacking(w io.Writer, segments []wal.SegmentInfo) {
	for i := range segments {
		s := &segments[i]
		if s.StoredBytes == 0 {
			continue
		}
		words, packed := make([]string, 0, len(s.Codecs)), false
		for _, name := range slices.Sorted(maps.Keys(s.Codecs)) {
			if name == codec.None.String() {
				words = append(words, cli.Count(s.Codecs[name])+" not packed")
				continue
			}
			packed = true
			words = append(words, fmt.Sprintf("%s packed (%s)", cli.Count(s.Codecs[name]), name))
		}
		size := cli.Bytes(s.StoredBytes)
		if packed {
			size += fmt.Sprintf(", %s unpacked, %.1f times as many", cli.Bytes(s.UnpackedBytes), float64(s.UnpackedBytes)/float64(s.StoredBytes))
		}
		fmt.Fprintf(w, "the newest segment's events: %s; its records: %s\n", size, strings.Join(words, ", "))
	}
}

// walDump is one run of `amoskys wal dump`.
type walDump struct {
	walFlags
	from    wal.Offset
	limit   int
	segment string
	printed int
	nothing bool // no line was printed
}

func newWALDumpCommand(env *cli.Env) *cobra.Command {
	f := walDump{walFlags: walFlags{env: env}}
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Print events from the log's files",
		Long: "Prints the events in the log, one a line, and names bad places on the way. With --json each line\n" +
			"is an object with the event as JSON; what is no event is printed as hex.",
		Example: "  amoskys wal dump --from 1200 --limit 10\n" +
			"  amoskys wal dump --segment 00000000000000000000.wal --json | jq .event",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	f.bind(cmd)
	cmd.Flags().Uint64Var(&f.from, "from", 0, "begin at this offset")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "end after so many events")
	cmd.Flags().StringVar(&f.segment, "segment", "", "read only this segment file")
	return cmd
}

func (f *walDump) run(ctx context.Context) error {
	if f.limit < 0 {
		return cli.Usagef("--limit must not be negative")
	}
	dir, err := f.folder()
	if err != nil {
		return err
	}
	var failed error
	f.nothing = true
	err = wal.Scan(ctx, vfs.OS{}, dir, f.segment, f.from, func(found wal.Found) bool {
		failed = f.record(found)
		return failed == nil && (f.limit == 0 || f.printed < f.limit)
	})
	if err == nil && failed == nil && f.nothing && f.from > 0 {
		fmt.Fprintf(f.env.Stderr, "nothing is there from offset %d on; amoskys wal stat shows what is\n", f.from)
	}
	return errors.Join(err, failed)
}

// dumpLine is one line of `amoskys wal dump --json`.
type dumpLine struct {
	Offset    wal.Offset      `json:"offset"`
	Kind      string          `json:"kind"` // events, checkpoint or damage
	Segment   string          `json:"segment"`
	Position  int64           `json:"position"`
	Publisher string          `json:"publisher,omitempty"`
	Sequence  uint64          `json:"sequence,omitempty"`
	Received  *time.Time      `json:"received,omitempty"`
	Codec     string          `json:"codec,omitempty"` // how the record is packed, if it is
	Event     json.RawMessage `json:"event,omitempty"`
	Bytes     int             `json:"bytes,omitempty"`
	Hex       string          `json:"hex,omitempty"`
	Error     string          `json:"error,omitempty"`
}

// record prints what Scan found.
func (f *walDump) record(found wal.Found) error {
	line := dumpLine{Segment: found.Segment, Position: found.Position}
	if found.Bad != nil {
		line.Offset, line.Kind, line.Error = found.Bad.First, "damage", found.Bad.Reason
		return f.print(&line, "DAMAGED: "+found.Bad.Error())
	}
	e := found.Entry
	line.Offset, line.Kind, line.Publisher, line.Sequence, line.Received = e.First, e.Kind.String(), e.Publisher, e.Sequence, &e.Received
	if e.Codec != codec.None {
		line.Codec = e.Codec.String()
	}
	if e.Kind != wal.KindEvents && e.First < f.from {
		return nil // it takes no offset, and stands before those that are wanted
	}
	if e.Kind != wal.KindEvents {
		line.Bytes = len(e.Payload)
		return f.print(&line, fmt.Sprintf("%s of %s", e.Kind, cli.Bytes(len(e.Payload))))
	}
	next := e.First
	for off, body := range e.Events() {
		if f.limit > 0 && f.printed >= f.limit {
			return nil
		}
		f.printed++
		next = off + 1
		line.Offset, line.Bytes, line.Event, line.Hex, line.Error = off, len(body), nil, "", ""
		text := ""
		ev, err := event.Decode(body)
		if err == nil && f.asJSON {
			line.Event, err = event.ToJSON(ev)
		}
		switch {
		case err != nil:
			line.Hex, line.Error = hex.EncodeToString(body), err.Error()
			text = cli.Counted(len(body), "byte that is", "bytes that are") + " no event: " + cli.Truncate(line.Hex, 64)
		case !f.asJSON:
			text = event.Summary(ev)
		}
		if err := f.print(&line, text); err != nil {
			return err
		}
	}
	gap := e.Missing(next)
	if gap == nil {
		return nil
	}
	line.Offset, line.Kind, line.Bytes, line.Event, line.Hex, line.Error = gap.From, "damage", 0, nil, "", gap.Error()
	return f.print(&line, "DAMAGED: "+gap.Error())
}

func (f *walDump) print(line *dumpLine, text string) error {
	f.nothing = false
	if f.asJSON {
		return cli.WriteJSONLine(f.env.Stdout, line)
	}
	received := "-"
	if line.Received != nil {
		received = line.Received.Format(time.RFC3339Nano)
	}
	_, err := fmt.Fprintf(f.env.Stdout, "%d  %s  %s  %s\n", line.Offset, received, cli.Clean(line.Publisher), cli.Clean(text))
	return err
}
