package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/report"
)

// scanCommand is one run of `amoskys scan`.
type scanCommand struct {
	env                     *cli.Env
	ports, udp, hours       string
	exclude                 []string
	rate, hostRate          int
	most                    uint64
	timeout                 time.Duration
	noPing, connect, public bool
	noNames, noServices     bool
	routes                  bool
	asJSON, asCSV           bool
	xmlTo, xmlFrom          string
	out                     *bufio.Writer
	devices                 []report.Device // where they are sorted before they are written
	count                   int
	csv                     *report.CSV // nil: they are kept, and written sorted
	err                     error       // of writing
	last                    scan.Progress
	began                   time.Time
}

func newScanCommand(env *cli.Env) *cobra.Command {
	s := scanCommand{env: env}
	cmd := &cobra.Command{
		Use:   "scan TARGET...",
		Short: "Find the hosts of a network, their open ports and what listens there",
		Long: "Looks for hosts (ARP and neighbour discovery on the segment, echo and TCP beyond) and asks their ports. A target is a\n" +
			"subnet, an address, a range such as 10.0.0.1-20, or a name. With CAP_NET_RAW ports are asked by a SYN each, without\n" +
			"it by connections. Only private, local and documentation addresses are scanned, unless --allow-public says that you\n" +
			"may scan others. It needs no hub.\n\n" +
			"The table, or JSON lines as hosts are found, goes to stdout, progress to stderr.",
		Example: "  amoskys scan 192.168.1.0/24\n" +
			"  amoskys scan 10.0.0.0/24 --ports 22,80,443 --udp usual --json\n" +
			"  amoskys scan 10.0.0.1-20 --exclude 10.0.0.7 --rate 500 --nmap-xml scan.xml\n" +
			"  amoskys scan --from-nmap-xml scan.xml --csv",
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVar(&s.ports, "ports", "1-1000", "ports that are asked by TCP, such as 22,80,8000-8100; - is all, an empty text none")
	f.StringVar(&s.udp, "udp", "", "ports that are asked by UDP; usual is those of services that answer by it")
	f.IntVar(&s.rate, "rate", 0, "most packets a second in all (default what the network carries)")
	f.IntVar(&s.hostRate, "host-rate", 0, "most packets a second to one host (default what it carries)")
	f.StringArrayVar(&s.exclude, "exclude", nil, "target that is sent nothing; may be given several times")
	f.BoolVar(&s.noPing, "no-ping", false, "ask the ports of every address beyond the segment, whether it answers a ping or not")
	f.BoolVar(&s.connect, "connect", false, "ask ports by connections, as without privilege")
	f.BoolVar(&s.public, "allow-public", false, "scan public addresses too: those that you may scan")
	f.Uint64Var(&s.most, "most", 65_536, "most addresses that are looked at")
	f.StringVar(&s.hours, "hours", "", "times of day in which packets are sent, such as 22:00-06:00; it waits outside of them")
	f.DurationVar(&s.timeout, "timeout", time.Second, "longest wait for one answer")
	f.BoolVar(&s.noNames, "no-names", false, "look no names up")
	f.BoolVar(&s.noServices, "no-services", false, "do not ask open ports what listens there")
	f.BoolVar(&s.routes, "routes", false, "look for the routers on the way to hosts beyond the segment (with CAP_NET_RAW)")
	f.BoolVar(&s.asJSON, "json", false, "print JSON, one host a line, as they are found")
	f.BoolVar(&s.asCSV, "csv", false, "print CSV, one open port a line")
	f.StringVar(&s.xmlTo, "nmap-xml", "", "write the result to this file too, as nmap -oX does; - prints it instead")
	f.StringVar(&s.xmlFrom, "from-nmap-xml", "", "scan nothing: read what nmap -oX wrote; - is standard input")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	return cmd
}

func (s *scanCommand) run(ctx context.Context, args []string) error {
	if (len(args) == 0) == (s.xmlFrom == "") {
		return &cli.UsageError{Err: errors.New("want either targets, such as 192.168.1.0/24, or --from-nmap-xml FILE")}
	}
	s.out, s.began = bufio.NewWriter(s.env.Stdout), s.env.Now()
	err := s.canWriteXML()
	if err != nil {
		return err
	}
	if s.xmlFrom != "" {
		if s.asCSV && s.xmlTo == "" {
			s.csv = report.NewCSV(s.out)
		}
		err = s.read()
	} else {
		err = s.scan(ctx, args)
	}
	if err != nil && s.count == 0 {
		return err
	}
	return errors.Join(err, s.finish()) // what was found before it was interrupted, too
}

// canWriteXML looks whether the file for nmap's XML can be written, before a long scan
// and not after it.
func (s *scanCommand) canWriteXML() error {
	if s.xmlTo == "" || s.xmlTo == "-" {
		return nil
	}
	file, err := os.OpenFile(s.xmlTo, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("--nmap-xml: %w", err)
	}
	return file.Close()
}

// read takes hosts from a file of nmap's.
func (s *scanCommand) read() (err error) {
	in := s.env.Stdin
	if s.xmlFrom != "-" {
		file, err := os.Open(s.xmlFrom)
		if err != nil {
			return fmt.Errorf("open nmap's XML: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	left, err := report.ReadNmapXML(bufio.NewReader(in), func(d report.Device) error {
		s.add(d)
		return s.err
	})
	if text := left.String(); text != "" {
		_, _ = fmt.Fprintln(s.env.Stderr, text) // Stderr is for people.
	}
	return err
}

// scan finds hosts.
func (s *scanCommand) scan(ctx context.Context, args []string) error {
	plan, err := s.plan(ctx, args)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	if err := plan.Validate(); err != nil {
		if _, is := errors.AsType[*scan.PublicError](err); is {
			err = fmt.Errorf("%w: --allow-public scans them, if you may", err)
		}
		if _, is := errors.AsType[*scan.TooManyError](err); is {
			err = fmt.Errorf("%w; or raise --most", err)
		}
		return &cli.UsageError{Err: err}
	}
	if plan.AllExcluded() {
		return &cli.UsageError{Err: errors.New("--exclude leaves nothing of the targets")}
	}
	line := cli.NewProgress(s.env.Stderr, s.env.Now)
	if from := plan.Hours.Next(s.env.Now()); !plan.Hours.Allow(s.env.Now()) {
		fmt.Fprintf(s.env.Stderr, "sends nothing before %s, as --hours %s has it\n", from.Format("15:04"), s.hours)
	}
	err = s.identified(ctx, plan, func(p scan.Progress) {
		s.last = p
		s.show(line, p)
	})
	line.Done()
	if err != nil {
		return err
	}
	s.summary()
	s.noteTooWide(plan.Targets.TooWide())
	return s.err
}

// noteTooWide says of subnets in which nothing was found that most of their addresses were
// not asked, which "0 hosts" alone would hide.
func (s *scanCommand) noteTooWide(targets scan.Targets) {
	for _, d := range s.devices {
		if ip, err := netip.ParseAddr(d.IP); err == nil && targets.Contains(ip) {
			return
		}
	}
	if !targets.Empty() {
		fmt.Fprintf(s.env.Stderr, "note: %s is too wide to ask each address: only nodes on a segment of this host are asked there, and none answered; name addresses, or subnets of at most 65536\n", targets)
	}
}

func (s *scanCommand) plan(ctx context.Context, args []string) (scan.Plan, error) {
	plan := scan.Plan{
		NoPing: s.noPing, Names: !s.noNames, Routes: s.routes, Rate: s.rate, HostRate: s.hostRate, AllowPublic: s.public, MostAddresses: s.most, Timeout: s.timeout,
	}
	if s.connect {
		plan.Method = scan.Connect
	}
	var faults [5]error
	plan.Targets, faults[0] = targetsOf(ctx, args, false)
	plan.Exclude, faults[1] = targetsOf(ctx, s.exclude, true)
	plan.Ports, faults[2] = scan.ParsePorts(s.ports)
	if s.udp == "usual" {
		plan.UDP = scan.UsualUDP()
	} else {
		if plan.UDP, faults[3] = scan.ParsePorts(s.udp); faults[3] != nil {
			faults[3] = fmt.Errorf("--udp: %w; or usual, for those of services that answer by UDP", faults[3])
		}
	}
	plan.Hours, faults[4] = scan.ParseHours(s.hours)
	return plan, errors.Join(faults[:]...)
}

// targetsOf reads targets, of which some may be names. All faults are told at once.
func targetsOf(ctx context.Context, words []string, all bool) (scan.Targets, error) {
	words, err := resolved(ctx, words, all)
	t, fault := scan.ParseTargets(words...)
	return t, errors.Join(err, fault)
}

// resolved puts an address of each name in its place, or all that it has. What is no name
// stays, and is told of where it is read; names without an address are an error.
func resolved(ctx context.Context, targets []string, all bool) ([]string, error) {
	out := make([]string, 0, len(targets))
	var errs []error
	for _, t := range targets {
		if a, err := netip.ParseAddr(t); err == nil {
			t = a.WithZone("").String() // the route says which interface leads there
		} else if _, err = scan.ParseTargets(t); err != nil && isName(t) {
			found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t)
			if err != nil || len(found) == 0 {
				errs = append(errs, fmt.Errorf("target %q: no address of this name is known here: %w", t, cmp.Or(err, errors.New("it has none"))))
				continue
			}
			if !all {
				found = []netip.Addr{preferred(found)}
			}
			for _, a := range found {
				out = append(out, a.Unmap().WithZone("").String())
			}
			continue
		}
		out = append(out, t)
	}
	return out, errors.Join(errs...)
}

// isName reports what can be the name of a host: it has a letter, and nothing that no
// name has.
func isName(t string) bool {
	letter := false
	for _, r := range t {
		letter = letter || r|0x20 >= 'a' && r|0x20 <= 'z'
		if strings.ContainsRune("/,: ", r) {
			return false
		}
	}
	return letter
}

func preferred(all []netip.Addr) netip.Addr {
	for _, a := range all {
		if a.Unmap().Is4() {
			return a.Unmap()
		}
	}
	return all[0]
}

// add takes a host that is known in full. Of a file of nmap's, which may have any number
// of them, none is kept that can be written at once.
func (s *scanCommand) add(d report.Device) {
	s.count++
	switch {
	case s.csv != nil:
		s.err = errors.Join(s.err, s.csv.Device(&d))
	case s.xmlFrom == "" || !s.asJSON || s.xmlTo != "":
		s.devices = append(s.devices, d)
	}
	if s.asJSON && s.err == nil && s.xmlTo != "-" {
		s.err = errors.Join(cli.WriteJSONLine(s.out, d), s.out.Flush())
	}
}

func (s *scanCommand) show(line *cli.Progress, p scan.Progress) {
	switch p.Phase {
	case scan.PhasePaused:
		line.Count("waits until "+p.Resume.Format("15:04")+" by --hours", 0, 0)
		return
	case scan.PhaseHosts:
		line.Count(cli.Counted(p.Hosts, "host", "hosts")+" so far, addresses", p.Looked, p.Addresses)
		return
	default:
	}
	solved := p.Answered
	label := cli.Counted(p.Hosts, "host", "hosts") + ", probes"
	if p.ETA > time.Second {
		label = fmt.Sprintf("%s, about %s left, probes", cli.Counted(p.Hosts, "host", "hosts"), p.ETA.Round(time.Second))
	}
	line.Count(label, solved, solved+p.Left)
}

// summary says on stderr what was done.
func (s *scanCommand) summary() {
	p, open := s.last, 0
	for i := range s.devices {
		open += len(s.devices[i].Ports)
	}
	fmt.Fprintf(s.env.Stderr, "%s of %s, %s; %s in %s", cli.Counted(len(s.devices), "host", "hosts"), cli.Counted(p.Addresses, "address", "addresses"),
		cli.Counted(open, "open port", "open ports"), cli.Counted(p.Sent, "packet", "packets"), p.Elapsed.Round(10*time.Millisecond))
	if p.Loss >= 0.001 {
		fmt.Fprintf(s.env.Stderr, ", %.1f%% lost and sent again", p.Loss*100)
	}
	if p.Method == scan.Connect && !s.connect {
		fmt.Fprint(s.env.Stderr, "; by connections, since raw sockets need CAP_NET_RAW")
	}
	if p.Method == scan.Connect && s.routes {
		fmt.Fprint(s.env.Stderr, "; without ways, as these take raw sockets")
	}
	fmt.Fprintln(s.env.Stderr)
}

// finish writes what is written once all is known.
func (s *scanCommand) finish() error {
	if s.err != nil {
		return fmt.Errorf("write result: %w", s.err)
	}
	report.Sort(s.devices)
	var err error
	switch {
	case s.xmlTo == "-":
		err = s.writeXML(s.out)
	case s.csv != nil:
		err = s.csv.End()
	case s.asCSV:
		err = report.WriteCSV(s.out, s.devices)
	case !s.asJSON && len(s.devices) > 0:
		t := cli.NewTable("ADDRESS", "MAC", "VENDOR", "NAME", "SYSTEM", "CLASS", "OPEN")
		for i := range s.devices {
			d := &s.devices[i]
			t.Row(d.IP, cmp.Or(d.MAC, "-"), cmp.Or(d.Vendor, "-"), cmp.Or(d.Hostname, "-"), cmp.Or(d.OS, "-"), cmp.Or(d.Class, "-"), cmp.Or(d.Summary(), "-"))
		}
		err = t.Write(s.out)
	}
	if err = errors.Join(err, s.out.Flush()); err != nil || s.xmlTo == "" || s.xmlTo == "-" {
		return err
	}
	file, err := os.OpenFile(s.xmlTo, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write nmap's XML: %w", err)
	}
	return errors.Join(s.writeXML(file), file.Close())
}

func (s *scanCommand) writeXML(w io.Writer) error {
	return report.WriteNmapXML(w, report.Run{
		Version: obs.ReadBuild().Version, Arguments: "amoskys scan", Start: s.began, End: s.env.Now(),
		Total: max(s.last.Addresses, uint64(len(s.devices))), Down: s.last.Addresses - min(s.last.Addresses, uint64(len(s.devices))),
	}, s.devices)
}
