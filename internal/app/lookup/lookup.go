// Package lookup is what `amoskys devices` and `amoskys where` do: they ask a store what is
// on the network and a hub what people say of it, and print that as tables and sentences
// for people, or as JSON for programs.
package lookup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/devices/tell"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// askTimeout bounds one question.
const askTimeout = 20 * time.Second

// pageSize is how many devices are asked for at once.
const pageSize = 1000

// ListOptions are the arguments of `amoskys devices`.
type ListOptions struct {
	Filter string
	Limit  int // 0 for all
	JSON   bool
	CSV    bool // as the page exports it
	// Unknown leaves out devices that somebody knows.
	Unknown bool
}

// List prints devices, those seen last first. What the answer lacks is said on standard
// error.
func List(ctx context.Context, e *cli.Env, o ListOptions) error {
	filter, said, err := tell.SplitFilter(o.Filter)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	store, err := remote.DialStores(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // nothing more is asked
	marks, trouble := readMarks(ctx, e)
	chooses := o.Unknown || said.Asks()
	if trouble != nil && chooses {
		return trouble
	}
	p := printer{e: e, json: o.JSON, csv: o.CSV, file: tell.NewCSV(e.Stdout), table: cli.NewTable("NAME", "IP", "MAC", "VENDOR", "CLASS", "OS", ">PORTS", "LAST SEEN", "STATE", "OWNER")}
	if o.CSV {
		if err := p.file.Begin(); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	req := &pb.ListDevicesRequest{Filter: filter, Limit: pageSize}
	var last *pb.ListDevicesResponse
	more := false
	for !more {
		if o.Limit > 0 && !chooses {
			req.Limit = uint32(min(pageSize, o.Limit-p.shown))
		}
		if last, err = page(ctx, store, req); err != nil {
			return store.Explain(err)
		}
		for _, k := range last.GetDevices() {
			mark := marks.Of(k.GetDevice())
			if o.Unknown && mark.GetKnown() || !said.Takes(mark) {
				continue
			}
			if more = o.Limit > 0 && p.shown >= o.Limit; more {
				break
			}
			if err := p.device(k, mark); err != nil {
				return err
			}
		}
		if req.PageToken = last.GetNextPageToken(); req.PageToken == "" {
			break
		}
		more = more || o.Limit > 0 && p.shown >= o.Limit
	}
	if err := p.end(); err != nil {
		return err
	}
	tellRest(e, o, last, p.shown, more, chooses, trouble)
	return nil
}

func page(ctx context.Context, store *remote.Store, req *pb.ListDevicesRequest) (*pb.ListDevicesResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return store.Devices.ListDevices(ctx, req) //nolint:wrapcheck // the caller explains it
}

// tellRest says on standard error what was not shown, and what the answer lacks.
func tellRest(e *cli.Env, o ListOptions, last *pb.ListDevicesResponse, shown int, more, chosen bool, trouble error) {
	switch {
	case more && chosen && !o.JSON: // how many there are, the store does not know
		fmt.Fprintf(e.Stderr, "these are %d, and there may be more: --limit 0 for all\n", shown)
	case more && !o.JSON:
		fmt.Fprintf(e.Stderr, "these are %d of %s: --limit 0 for all\n", shown, cli.Counted(uint64(last.GetMatching()), "device", "devices"))
	case shown == 0 && last.GetTotal() > 0 && !o.JSON:
		fmt.Fprintf(e.Stderr, "none of %s matches\n", cli.Counted(uint64(last.GetTotal()), "device", "devices"))
	case shown == 0 && !o.JSON:
		fmt.Fprintln(e.Stderr, "no device is known yet")
	}
	if trouble != nil {
		fmt.Fprintln(e.Stderr, "what people say of devices is not known:", trouble)
	}
	for _, lack := range last.GetLacks() {
		fmt.Fprintln(e.Stderr, "note:", cli.Clean(lack))
	}
}

// printer prints devices as rows of a table, or as lines of JSON or CSV.
type printer struct {
	e     *cli.Env
	json  bool
	csv   bool
	file  *tell.CSV
	table *cli.Table
	shown int
}

func (p *printer) device(k *pb.KnownDevice, mark *pb.DeviceMark) error {
	p.shown++
	if p.json {
		return cli.WriteJSONLine(p.e.Stdout, newDevice(k, mark))
	}
	if p.csv {
		return p.file.Device(k, mark) //nolint:wrapcheck // it is that of writing to standard output
	}
	d := k.GetDevice()
	state := "up"
	if !k.GetUp() {
		state = "down"
	}
	if n := k.GetFindings(); n > 0 {
		state += ", " + cli.Counted(uint64(n), "finding", "findings")
	}
	p.table.Row(tell.Name(d), first(d.GetIp()), first(d.GetMac()), d.GetVendor(), d.GetDeviceClass(), tell.System(d), openPorts(d),
		p.ago(d), state, mark.GetOwner())
	return nil
}

// openPorts is how many are open; nothing where none is known, as of a device that nobody
// has scanned.
func openPorts(d *pb.DeviceInventory) string {
	if n := len(d.GetPorts()); n > 0 {
		return strconv.Itoa(n)
	}
	return ""
}

func (p *printer) ago(d *pb.DeviceInventory) string {
	if !d.GetLastSeenTime().IsValid() {
		return ""
	}
	return cli.Duration(max(p.e.Now().Sub(d.GetLastSeenTime().AsTime()), 0).Round(time.Second)) + " ago"
}

func (p *printer) end() error {
	if p.csv {
		return p.file.End() //nolint:wrapcheck // as in device
	}
	if p.json || p.shown == 0 {
		return nil
	}
	return p.table.Write(p.e.Stdout)
}

// first is the first text of a list, and how many more there are.
func first(list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return list[0]
	}
	return fmt.Sprintf("%s +%d", list[0], len(list)-1)
}

// readMarks asks the hub. Without it the rest is shown.
func readMarks(ctx context.Context, e *cli.Env) (tell.Marks, error) {
	c, err := remote.Dial(e, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.Marks.ListMarks(ctx, &pb.ListMarksRequest{})
	if err != nil {
		return nil, c.Explain(err)
	}
	return tell.NewMarks(resp.GetMarks()), nil
}

// find asks for the devices that a text names.
func find(ctx context.Context, store *remote.Store, text string) (*pb.FindDeviceResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := store.Devices.FindDevice(ctx, &pb.FindDeviceRequest{Text: text})
	if status.Code(err) == codes.NotFound {
		return nil, errors.New(status.Convert(err).Message())
	}
	if err != nil {
		return nil, store.Explain(err)
	}
	return resp, nil
}

// Where says where the devices that a text names are plugged in.
func Where(ctx context.Context, e *cli.Env, text string, asJSON bool) error {
	store, err := remote.DialStores(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // nothing more is asked
	resp, err := find(ctx, store, text)
	if err != nil {
		return err
	}
	if asJSON {
		out := []Place{}
		for _, k := range resp.GetDevices() {
			out = append(out, newPlace(k.GetDevice()))
		}
		return cli.WriteJSON(e.Stdout, map[string]any{"found": out})
	}
	for _, k := range resp.GetDevices() {
		fmt.Fprintln(e.Stdout, cli.Clean(tell.Where(k.GetDevice(), time.Local)))
		if err := placeTable(e, k.GetDevice()); err != nil {
			return err
		}
	}
	return nil
}

// placeTable prints where a device is and was.
func placeTable(e *cli.Env, d *pb.DeviceInventory) error {
	if len(d.GetPlugged()) == 0 {
		return nil
	}
	t := cli.NewTable("SWITCH", "ADDRESS", "PORT", ">VLAN", "SINCE", "UNTIL", "KNOWN BY", "MAC")
	for _, p := range d.GetPlugged() {
		until := "now"
		if p.GetUntilTime().IsValid() {
			until = p.GetUntilTime().AsTime().Local().Format(time.DateTime)
		}
		since := ""
		if p.GetSinceTime().IsValid() {
			since = p.GetSinceTime().AsTime().Local().Format(time.DateTime)
		}
		vlan := ""
		if p.GetVlan() > 0 {
			vlan = strconv.FormatUint(uint64(p.GetVlan()), 10)
		}
		t.Row(p.GetDeviceName(), p.GetDeviceIp(), p.GetPort(), vlan, since, until, p.GetSource(), p.GetMac())
	}
	return t.Write(e.Stdout)
}

// oneOf is the uid of the one device that a text names.
func oneOf(ctx context.Context, store *remote.Store, text string) (*pb.DeviceInventory, error) {
	resp, err := find(ctx, store, text)
	if err != nil {
		return nil, err
	}
	if n := len(resp.GetDevices()); n > 1 {
		var uids []string
		for _, k := range resp.GetDevices() {
			uids = append(uids, k.GetDevice().GetUid())
		}
		return nil, fmt.Errorf("%q is %d devices: name one of %s", text, n, strings.Join(uids, ", "))
	}
	return resp.GetDevices()[0].GetDevice(), nil
}
