package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/flow/bpf"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/findings"
	"github.com/amoskys/amoskys/internal/flow/geo"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/tell"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// replay is one run of `amoskys replay`.
type replay struct {
	env     *cli.Env
	speed   string
	longest time.Duration // of a wait with speed; 0 is as long as the capture did
	filter  string
	asJSON  bool
	vlan    bool
	timeout time.Duration
	seed    uint16
	publish bool
	wait    time.Duration
	geo     []string
	atlas   *geo.Atlas // nil names no places

	// findingsOnly prints what the detectors find, and no flows.
	findingsOnly bool
	watch        *findings.Watch // nil looks for nothing

	out            *bufio.Writer
	told, findings uint64
	err            error // of writing, or of publishing
	// publication sends flows to the hub instead of printing them; nil does not.
	publication *publication
}

func newReplayCommand(env *cli.Env) *cobra.Command {
	r := replay{env: env}
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "Show the flows of a capture file, or publish them",
		Long: "Reads a capture (pcap or pcapng, packed by gzip or zstd or not; - is standard input) and prints a line for each\n" +
			"flow when it ends: who spoke with whom, what protocol, how much, and what the content told. It needs no hub and\n" +
			"no privilege. A flow ends as in the flow agent: closed, reset, or idle for --timeout; what is open at the end of\n" +
			"the file ends there.\n\n" +
			"With --findings it prints what looks like an attack or a fault instead: the detectors of the flow agent look at\n" +
			"the capture as they would have at the time.\n\n" +
			"With --publish the flows go to the hub as events flow.ended, and what is found in them as finding.replay.KIND, as the\n" +
			"agent replay of this host, whose certificate the operator's certificate gets at the first time. They carry the time of their packets and the label capture with\n" +
			"the file's name, and are about the capture, seen by this host: no host counts as alive by them. The same file,\n" +
			"read with the same options by the same version, is stored once: run it again after an interruption, and it goes on.",
		Example: "  amoskys replay capture.pcap\n" +
			"  amoskys replay capture.pcapng.zst --json --filter 'tcp port 443'\n" +
			"  tcpdump -w - -i eth0 | amoskys replay -\n" +
			"  amoskys replay capture.pcap --findings\n" +
			"  amoskys replay incident.pcap --publish && amoskys query 'labels.capture:=incident.pcap' --since 10m",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&r.speed, "speed", "max", "how fast: max, or a multiple of the time between the packets, such as 1x or 10x")
	f.DurationVar(&r.longest, "longest-wait", time.Minute, "with --speed, how long at most to wait for the next packet; 0 waits as long as the capture says")
	f.StringVar(&r.filter, "filter", "", "take only packets that this filter selects, in the language of tcpdump")
	f.DurationVar(&r.timeout, "timeout", 30*time.Second, "end a flow that is idle for so long, an established one of TCP for 10m at least; 0 never")
	f.BoolVar(&r.vlan, "vlan", false, "take the same conversation in two VLANs for two flows")
	f.Uint16Var(&r.seed, "seed", 0, "seed of Community IDs")
	f.BoolVar(&r.publish, "publish", false, "send the flows to the hub instead of printing them")
	f.BoolVar(&r.findingsOnly, "findings", false, "print scans, floods, beacons, tunnels and the like that are found in it, instead of flows")
	f.DurationVar(&r.wait, "wait", time.Minute, "with --publish, how long the hub may be away before giving up")
	f.BoolVar(&r.asJSON, "json", false, "print JSON, one object a line; with --publish one of what became of the flows")
	f.StringArrayVar(&r.geo, "geo", nil, "tell countries and autonomous systems from this file of MaxMind's format; may be given twice")
	return cmd
}

// parseSpeed reads "max" as 0, and "2x" or "2" as 2.
func parseSpeed(s string) (float64, error) {
	if s == "max" {
		return 0, nil
	}
	x, err := strconv.ParseFloat(strings.TrimSuffix(s, "x"), 64)
	if err != nil || !(x > 0 && x <= 1e9) {
		return 0, &cli.UsageError{Err: fmt.Errorf("--speed %q: want max, or a multiple such as 1x or 0.5x", s)}
	}
	return x, nil
}

// check says which flag is wrong.
func (r *replay) check() error {
	switch {
	case r.timeout < 0:
		return &cli.UsageError{Err: fmt.Errorf("--timeout %s: want 0 or more", r.timeout)}
	case r.longest < 0:
		return &cli.UsageError{Err: fmt.Errorf("--longest-wait %s: want 0 or more", r.longest)}
	case r.wait <= 0:
		return &cli.UsageError{Err: fmt.Errorf("--wait %s: want more than 0", r.wait)}
	case r.findingsOnly && r.publish:
		return &cli.UsageError{Err: errors.New("--findings prints what is found, --publish sends it along with the flows: say one of them")}
	}
	if r.timeout == 0 {
		r.timeout = -1
	}
	return nil
}

func (r *replay) run(ctx context.Context, path string) (err error) {
	speed, err := parseSpeed(r.speed)
	if err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	o := lane.Options{Table: track.Options{Consumer: r, Idle: r.timeout, Update: -1, VLAN: r.vlan, Seed: r.seed, OpenAfter: time.Hour}}
	if r.filter != "" {
		filter, err := lane.NewFilter(r.filter)
		if err != nil {
			if _, ok := errors.AsType[*bpf.SyntaxError](err); ok {
				return &cli.UsageError{Err: fmt.Errorf("--filter: %w", err)}
			}
			return fmt.Errorf("--filter: %w", err)
		}
		o.Keep = filter.Keep
	}
	if r.findingsOnly || r.publish {
		r.detect(&o)
	}
	if err := r.openGeo(); err != nil {
		return err
	}
	source, err := openCapture(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	progress := cli.NewProgress(r.env.Stderr, r.env.Now)
	if speed > 0 {
		o.Pace = r.pace(speed, progress)
	}
	if r.publish {
		if r.publication, err = r.startPublishing(ctx, path, progress); err != nil {
			return err
		}
		o.Pace = r.publication.pace(o.Pace)
	}
	var size int64
	if info, statErr := os.Stat(path); statErr == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	o.Source = source
	o.Every = func(lane.Counts) {
		source.Settle()
		progress.Update(r.label(path), int64(source.Stats().Bytes), max(size, int64(source.Stats().Bytes)))
	}
	r.out = bufio.NewWriterSize(r.env.Stdout, 64<<10)
	if !r.asJSON && !r.publish {
		r.heading()
	}
	l := lane.New(o)
	began := r.env.Now()
	readErr := l.Run(ctx)
	source.Settle()
	if ctx.Err() != nil { // or the pipe says so, as the file's damage
		readErr = fmt.Errorf("capture: %w", ctx.Err())
	}
	if r.publish {
		progress.Done()
		return r.published(ctx, l, source.Stats(), size, readErr, began)
	}
	progress.Done()
	l.Close()
	if err := errors.Join(r.err, r.out.Flush()); err != nil {
		return fmt.Errorf("write flows: %w", err)
	}
	r.summary(l.Counts(), source.Stats(), r.env.Now().Sub(began))
	return readErr
}

// openGeo opens the databases. One that is old is told; one that cannot be read is an
// error.
func (r *replay) openGeo() error {
	if len(r.geo) == 0 {
		return nil
	}
	r.atlas = geo.New(r.geo...)
	err := r.atlas.Refresh(r.env.Now())
	if err != nil && r.atlas.Ready() {
		fmt.Fprintln(r.env.Stderr, "note:", cli.Clean(err.Error()))
		return nil
	}
	if err != nil {
		return fmt.Errorf("--geo: %w", err)
	}
	return nil
}

// place adds what the databases know.
func (r *replay) place(l *tell.Line, f *track.Flow) {
	src, dst := r.atlas.Of(netip.AddrFrom16(f.Src)), r.atlas.Of(netip.AddrFrom16(f.Dst))
	l.SrcCountry, l.SrcAS, l.SrcASName = src.Country, src.AS, src.Organization
	l.DstCountry, l.DstAS, l.DstASName = dst.Country, dst.AS, dst.Organization
}

// flow shows or sends a flow that ended.
func (r *replay) flow(f *track.Flow) {
	if r.publication != nil {
		r.err = r.publication.add(f)
		return
	}
	line := tell.LineOf(f)
	if r.atlas != nil {
		r.place(&line, f)
	}
	if r.asJSON {
		r.err = cli.WriteJSONLine(r.out, &line)
		return
	}
	r.err = r.row(&line)
}

// replayTime is how times of a capture are shown.
const replayTime = "2006-01-02 15:04:05.000000"

// The columns are of fixed width, since flows are printed as they end.
const columns = "%-26s  %-9s  %-41s  %-41s  %-14s  %8s  %10s  %8s  %-6s  %s\n"

func (r *replay) heading() {
	if r.findingsOnly {
		_, r.err = fmt.Fprintf(r.out, findingColumns, "TIME", "SEVERITY", "FINDING", "TECHNIQUE", "WHAT")
		return
	}
	_, r.err = fmt.Fprintf(r.out, columns, "START", "PROTOCOL", "SOURCE", "DESTINATION", "APPLICATION", "PACKETS", "BYTES", "SECONDS", "STATE", "NAME")
}

func (r *replay) row(l *tell.Line) error {
	clock := l.Start
	if at, err := time.Parse(time.RFC3339Nano, l.Start); err == nil {
		clock = at.Format(replayTime) // captures are of any day
	}
	app := l.App
	if app == "" {
		app = "-"
	}
	_, err := fmt.Fprintf(r.out, columns, clock, l.Protocol, withPort(l.SrcIP, l.SrcPort), withPort(l.DstIP, l.DstPort), app,
		cli.Count(l.Packets), cli.Bytes(l.Bytes), strconv.FormatFloat(l.Seconds, 'f', 3, 64), l.State, cli.Clean(strings.TrimSpace(l.Name()+"  "+places(l))))
	return err
}

// places says for people where the ends are.
func places(l *tell.Line) string {
	one := func(country string, as uint32, name string) string {
		if as != 0 {
			country = strings.TrimSpace(fmt.Sprintf("%s AS%d %s", country, as, name))
		}
		return strings.TrimSpace(country)
	}
	from, to := one(l.SrcCountry, l.SrcAS, l.SrcASName), one(l.DstCountry, l.DstAS, l.DstASName)
	if from == "" {
		return to
	}
	return from + " > " + to
}

func withPort(ip string, port uint16) string {
	switch {
	case port == 0: // of protocols without ports
		return ip
	case strings.Contains(ip, ":"):
		return "[" + ip + "]:" + strconv.Itoa(int(port))
	}
	return ip + ":" + strconv.Itoa(int(port))
}

// summary says on stderr what was read, and what could not be.
func (r *replay) summary(c lane.Counts, s capture.Stats, took time.Duration) {
	pps := float64(s.Frames) / max(took.Seconds(), 1e-6)
	if r.findingsOnly {
		fmt.Fprintf(r.env.Stderr, "%s in ", cli.Counted(r.findings, "finding", "findings"))
	}
	fmt.Fprintf(r.env.Stderr, "%s of %s, %s, read in %s, %s packets a second", cli.Counted(r.told, "flow", "flows"), cli.Counted(s.Frames, "packet", "packets"),
		cli.Bytes(s.Bytes), took.Round(time.Millisecond), cli.Count(int64(pps)))
	var faulty uint64
	for _, n := range c.Faults {
		faulty += n
	}
	strange := c.Faults[packet.ErrLink]
	for _, also := range []struct {
		n    uint64
		what string
	}{
		{c.Filtered, "not selected"}, {c.Table.NotIP, "without IP"}, {faulty - strange, "malformed or cut"}, {strange, "of a link type that is not read"}, {c.Table.Ended[track.Evicted], "evicted"},
	} {
		if also.n > 0 {
			fmt.Fprintf(r.env.Stderr, "; %s %s", cli.Count(also.n), also.what)
		}
	}
	fmt.Fprintln(r.env.Stderr)
}
