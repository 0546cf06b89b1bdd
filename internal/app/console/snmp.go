package console

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/mib"
)

// SNMPOptions say which device is asked, and how.
type SNMPOptions struct {
	Host            string // HOST[:PORT], name or address
	Version         string // 1, 2c or 3; empty is 3 where there is a user, else 2c
	Community       config.Secret
	User, Context   string
	Auth            string
	AuthPassword    config.Secret
	Privacy         string
	PrivacyPassword config.Secret
	Timeout         time.Duration
	Retries         int
	Rows            int // that one request asks for
	JSON            bool
	MIBs            []string      // folders of MIB files, for names beside the common ones
	Within          time.Duration // all that is asked; 0 is no bound
}

// bounded is ctx for as long as all that is asked may take.
func (o SNMPOptions) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.Within <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, o.Within, &withinError{o.Within})
}

// withinError says that the time which the user gave is over.
type withinError struct{ within time.Duration }

func (e *withinError) Error() string {
	return fmt.Sprintf("the %s that --within gives are over; what was read until then is printed", e.within)
}

// names are the common ones, and before them those of the folders of MIB files. What of
// these is left out is told.
func (o SNMPOptions) names(e *cli.Env) (*mib.Names, error) {
	if len(o.MIBs) == 0 {
		return mib.Common(), nil
	}
	names, faults, err := mib.Load(o.MIBs...)
	if err != nil {
		return nil, &cli.UsageError{Err: fmt.Errorf("--mibs: %w", err)}
	}
	for _, fault := range faults {
		fmt.Fprintln(e.Stderr, "left out:", cli.Clean(fault.Error()))
	}
	return names.Over(mib.Common()), nil
}

// oids reads OIDs as people write them, in numbers or by name. shown are the names by which
// they are printed: nil where all were written in numbers and no MIB files are named.
func (o SNMPOptions) oids(e *cli.Env, texts ...string) (oids []string, shown *mib.Names, err error) {
	names, err := o.names(e)
	if err != nil {
		return nil, nil, err
	}
	if len(o.MIBs) > 0 {
		shown = names
	}
	for _, text := range texts {
		oid, err := names.OID(text)
		if errors.Is(err, mib.ErrUnknown) {
			err = fmt.Errorf("%w; --mibs DIR reads the MIB files of a folder", err)
		}
		if err != nil {
			return nil, nil, &cli.UsageError{Err: err}
		}
		if strings.ContainsFunc(text, unicode.IsLetter) {
			shown = names
		}
		oids = append(oids, oid)
	}
	return oids, shown, nil
}

// communityOfOld is what is tried where nobody says one: what devices come with.
const communityOfOld = "public"

// credential is what opens the device. Secrets may be references to a file or to the
// environment.
func (o SNMPOptions) credential() (snmp.Credential, error) {
	c := snmp.Credential{User: o.User, Context: o.Context, Version: snmp.V2c}
	if o.User != "" {
		c.Version = snmp.V3
	}
	var err error
	if o.Version != "" {
		if c.Version, err = snmp.ParseVersion(o.Version); err != nil {
			return c, &cli.UsageError{Err: fmt.Errorf("--version: %w", err)}
		}
	}
	if c.Auth, err = snmp.ParseAuth(o.Auth); err != nil {
		return c, &cli.UsageError{Err: fmt.Errorf("--auth: %w", err)}
	}
	if c.Privacy, err = snmp.ParsePrivacy(o.Privacy); err != nil {
		return c, &cli.UsageError{Err: fmt.Errorf("--privacy: %w", err)}
	}
	switch {
	case c.Version == snmp.V3 && o.Community != "":
		return c, cli.Usagef("--community is for versions 1 and 2c; version 3 takes --user")
	case c.Version != snmp.V3 && (o.User != "" || o.Auth != "" || o.Privacy != ""):
		return c, cli.Usagef("--user, --auth and --privacy are for version 3; versions 1 and 2c take --community")
	case c.Auth == snmp.NoAuth && o.AuthPassword != "": // else it would go out unproven, without a word
		return c, cli.Usagef("--auth-password needs --auth, such as --auth SHA")
	case c.Privacy == snmp.NoPrivacy && o.PrivacyPassword != "": // and in the clear
		return c, cli.Usagef("--privacy-password needs --privacy, such as --privacy AES")
	case c.Version != snmp.V3 && o.Community == "":
		o.Community = communityOfOld
	}
	for _, secret := range []struct {
		flag string
		from config.Secret
		to   *string
	}{
		{"community", o.Community, &c.Community},
		{"auth-password", o.AuthPassword, &c.AuthPassword},
		{"privacy-password", o.PrivacyPassword, &c.PrivacyPassword},
	} {
		if *secret.to, err = secret.from.Reveal(); err != nil {
			return c, fmt.Errorf("--%s: %w", secret.flag, err)
		}
	}
	if err := c.Check(); err != nil {
		return c, &cli.UsageError{Err: err}
	}
	return c, nil
}

// open opens the device, without asking it anything.
func (o SNMPOptions) open(ctx context.Context) (*snmp.Client, error) {
	if o.Timeout < 0 || o.Within < 0 || o.Retries < 0 {
		return nil, cli.Usagef("--timeout, --within and --retries want 0 or more")
	}
	credential, err := o.credential()
	if err != nil {
		return nil, err
	}
	at, err := resolveDevice(ctx, o.Host)
	if err != nil {
		return nil, err
	}
	return snmp.Open(ctx, snmp.Target{Addr: at, Credential: credential, Timeout: o.Timeout, Retries: o.Retries, MaxRepetitions: o.Rows})
}

// resolveDevice reads HOST[:PORT]; the port is SNMP's without one.
func resolveDevice(ctx context.Context, text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, snmp.DefaultPort), nil
	}
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		host, portText = text, strconv.Itoa(snmp.DefaultPort)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 || host == "" {
		return netip.AddrPort{}, cli.Usagef("%q is no HOST or HOST:PORT; an IPv6 address with a port is written [2001:db8::1]:161", text)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find the address of %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return netip.AddrPort{}, fmt.Errorf("find the address of %s: it has none", host)
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), uint16(port)), nil
}

// rowsTogether is how many rows of a walk share the widths of their columns and are
// printed together: a device that does not end is not to fill the memory.
const rowsTogether = 5000

// SNMPWalk prints what a device has below root: a table, 5,000 rows at a time, or a line
// of JSON for each variable while they come. What was read before a fault is printed too.
func SNMPWalk(ctx context.Context, e *cli.Env, o SNMPOptions, root string) error {
	oids, names, err := o.oids(e, root)
	if err != nil {
		return err
	}
	root = oids[0]
	ctx, end := o.bounded(ctx)
	defer end()
	c, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	out := variablePrinter{e: e, json: o.JSON, table: newVariableTable(), names: names}
	progress := cli.NewProgress(e.Stderr, e.Now)
	err = c.Walk(ctx, root, func(v snmp.Variable) error {
		if !o.JSON {
			progress.Count("walking "+o.Host, uint64(out.count+1), 0)
		}
		if out.table.Len() == rowsTogether {
			progress.Done()
			if err := out.flush(); err != nil {
				return err
			}
		}
		return out.print(v)
	})
	progress.Done()
	if err == nil && out.count == 0 {
		err = out.printScalar(ctx, c, root)
	}
	return errors.Join(out.finish(), advise(o, err))
}

// printScalar prints the variable that is named in full, which has nothing below it.
func (p *variablePrinter) printScalar(ctx context.Context, c *snmp.Client, oid string) error {
	values, err := c.Get(ctx, oid)
	if err != nil {
		return err
	}
	if values[0].Missing() {
		fmt.Fprintf(p.e.Stderr, "There is nothing at or below %s. What the device has, say: amoskys snmp walk %s 1.3.6.1\n", oid, c.Target().Addr)
		return nil
	}
	return p.print(values[0])
}

// SNMPGet prints variables of a device, also those that it says it does not have.
func SNMPGet(ctx context.Context, e *cli.Env, o SNMPOptions, objects []string) error {
	oids, names, err := o.oids(e, objects...)
	if err != nil {
		return err
	}
	ctx, end := o.bounded(ctx)
	defer end()
	c, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	values, err := c.Get(ctx, oids...)
	if err != nil {
		return advise(o, err)
	}
	out := variablePrinter{e: e, json: o.JSON, table: newVariableTable(), names: names}
	for _, v := range values {
		if err := out.print(v); err != nil {
			return err
		}
	}
	return out.finish()
}

// variablePrinter prints variables as a table or as JSON.
type variablePrinter struct {
	e     *cli.Env
	json  bool
	table *cli.Table
	names *mib.Names // nil has none
	count int
	begun bool // the heading was printed
}

func newVariableTable() *cli.Table { return cli.NewTable("OID", "TYPE", "VALUE") }

// variableJSON is one variable as JSON has it.
type variableJSON struct {
	OID   string `json:"oid"`
	Name  string `json:"name,omitempty"`
	Type  string `json:"type"`
	Value any    `json:"value"`
	Hex   string `json:"hex,omitempty"`
}

func (p *variablePrinter) print(v snmp.Variable) error {
	p.count++
	if !p.json {
		p.table.Row(cmp.Or(p.names.Name(v.OID), v.OID), v.Type, v.Text())
		return nil
	}
	line := variableJSON{OID: v.OID, Name: p.names.Name(v.OID), Type: v.Type.String(), Value: v.Value}
	switch x := v.Value.(type) {
	case []byte:
		if plainText(x) {
			line.Value = string(x)
		} else {
			line.Value, line.Hex = nil, hex.EncodeToString(x)
		}
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) { // JSON has neither
			line.Value = v.Text()
		}
	}
	return cli.WriteJSONLine(p.e.Stdout, line)
}

func plainText(b []byte) bool {
	for _, r := range string(b) {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

func (p *variablePrinter) finish() error {
	if p.json || p.table.Len() == 0 {
		return nil
	}
	return p.flush()
}

// flush prints the rows that there are, the first time with their heading.
func (p *variablePrinter) flush() error {
	lines := p.table.Lines()
	if p.begun {
		lines = lines[1:]
	}
	p.begun, p.table = true, newVariableTable()
	for _, line := range lines {
		if _, err := fmt.Fprintln(p.e.Stdout, line); err != nil {
			return fmt.Errorf("print variables: %w", err)
		}
	}
	return nil
}

// advise adds to an error what to do next.
func advise(o SNMPOptions, err error) error {
	for _, next := range []struct {
		cause error
		what  string
	}{
		{snmp.ErrRefused, "is SNMP on there, and at this port? Another one is written HOST:PORT"},
		{snmp.ErrUnreachable, "check the address and the routes to it"},
		{snmp.ErrMalformed, "something else than SNMP seems to be at this port"},
		{snmp.ErrUser, "check --user, and that the device has this user"},
		{snmp.ErrPassword, "check --auth and --auth-password; it is not tried again, as devices lock users out"},
		{snmp.ErrPrivacy, "check --privacy and --privacy-password; Cisco's long keys are AES-192-C and AES-256-C"},
		{snmp.ErrLevel, "check which of --auth and --privacy the device wants of this user"},
		{snmp.ErrLoop, "this is a fault of the device: walk what comes behind, or one column at a time"},
		{snmp.ErrEndless, "this is a fault of the device: walk a smaller part of it"},
	} {
		if errors.Is(err, next.cause) {
			return fmt.Errorf("%w; %s", err, next.what)
		}
	}
	const authorizationError = 16 // RFC 3416, section 3
	if refused := (*snmp.StatusError)(nil); errors.As(err, &refused) && refused.Status == authorizationError {
		return fmt.Errorf("%w; the user may not read this so: check which of --auth and --privacy the device wants, and what it lets the user see", err)
	}
	if !errors.Is(err, snmp.ErrTimeout) {
		return err
	}
	if c, _ := o.credential(); c.Version == snmp.V3 {
		return fmt.Errorf("%w; a wrong --privacy-password looks the same with many devices. Is SNMP on there, does it let this host in, and does UDP get through? --timeout and --retries have slow devices waited for", err)
	}
	return fmt.Errorf("%w; a wrong community looks the same. Is SNMP on there, does it let this host in, and does UDP get through? --timeout and --retries have slow devices waited for", err)
}
