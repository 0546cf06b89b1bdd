package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/devices/tell"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// shownHistory is how many lines of history people are shown.
const shownHistory = 20

// Show prints all that is known of the devices that a text names.
func Show(ctx context.Context, e *cli.Env, text string, asJSON bool) error {
	store, err := remote.DialStores(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // nothing more is asked
	resp, err := find(ctx, store, text)
	if err != nil {
		return err
	}
	marks, trouble := readMarks(ctx, e)
	if trouble != nil {
		fmt.Fprintln(e.Stderr, "what people say of it is not known:", trouble)
	}
	if asJSON {
		return showJSON(e, resp, marks)
	}
	for i, k := range resp.GetDevices() {
		if i > 0 {
			fmt.Fprintln(e.Stdout)
		}
		if err := showDevice(e, k, marks.Of(k.GetDevice())); err != nil {
			return err
		}
	}
	return showHistory(e, resp.GetHistory())
}

// shownDevice is one of the devices that `amoskys devices show --json` prints: what a list
// has, and in whole all that is known.
type shownDevice struct {
	Device

	Whole json.RawMessage `json:"whole"`
}

func showJSON(e *cli.Env, resp *pb.FindDeviceResponse, marks tell.Marks) error {
	out := struct {
		Devices []shownDevice `json:"devices"`
		History []Change      `json:"history"`
	}{[]shownDevice{}, []Change{}}
	for _, k := range resp.GetDevices() {
		text, err := whole(k)
		if err != nil {
			return err
		}
		out.Devices = append(out.Devices, shownDevice{newDevice(k, marks.Of(k.GetDevice())), text})
	}
	for _, c := range resp.GetHistory() {
		out.History = append(out.History, Change{c.GetTime().AsTime(), c.GetDeviceUid(), c.GetType(), c.GetMessage(), c.GetOffset()})
	}
	return cli.WriteJSON(e.Stdout, out)
}

// showDevice prints facts, one a line, and then ports and interfaces as tables.
func showDevice(e *cli.Env, k *pb.KnownDevice, m *pb.DeviceMark) error {
	d := k.GetDevice()
	state := "down"
	if k.GetUp() {
		state = "up"
	}
	for _, f := range []struct{ name, value string }{
		{"name", tell.Name(d)},
		{"also called", strings.Join(d.GetNames(), ", ")},
		{"uid", d.GetUid()},
		{"state", state},
		{"addresses", strings.Join(slices.Concat(d.GetIp(), d.GetMac()), ", ")},
		{"vendor", d.GetVendor()},
		{"model", d.GetModel()},
		{"serial number", d.GetSerialNumber()},
		{"class", d.GetDeviceClass()},
		{"system", tell.System(d)},
		{"agents of host", k.GetHost()},
		{"seen", seen(d)},
		{"seen by", strings.Join(k.GetObservers(), ", ") + " (" + strings.Join(d.GetSources(), ", ") + ")"},
		{"findings", findings(k)},
		{"plugged in", tell.Where(d, time.Local)},
		{"owner", m.GetOwner()},
		{"known", known(m)},
		{"tags", strings.Join(m.GetTags(), ", ")},
		{"note", m.GetNote()},
		{"why", strings.Join(d.GetEvidence(), "; ")},
	} {
		if f.value != "" {
			fmt.Fprintf(e.Stdout, "%-15s %s\n", f.name, cli.Clean(f.value))
		}
	}
	return errors.Join(portTable(e.Stdout, d), interfaceTable(e.Stdout, k.GetSnmp()))
}

func seen(d *pb.DeviceInventory) string {
	if !d.GetLastSeenTime().IsValid() {
		return ""
	}
	return fmt.Sprintf("from %s to %s", d.GetFirstSeenTime().AsTime().Local().Format(time.DateTime), d.GetLastSeenTime().AsTime().Local().Format(time.DateTime))
}

func findings(k *pb.KnownDevice) string {
	if k.GetFindings() == 0 {
		return ""
	}
	return fmt.Sprintf("%d in the last 24 hours", k.GetFindings())
}

func known(m *pb.DeviceMark) string {
	if !m.GetKnown() {
		return "nobody has said so"
	}
	return "yes"
}

func portTable(w io.Writer, d *pb.DeviceInventory) error {
	if len(d.GetPorts()) == 0 {
		return nil
	}
	t := cli.NewTable("PORT", "SERVICE", "PRODUCT", "VERSION", "MORE")
	for _, p := range d.GetPorts() {
		more := slices.Concat([]string{p.GetTitle(), p.GetTlsVersion(), p.GetCertificateSubject()}, p.GetRemarks())
		more = slices.DeleteFunc(more, func(s string) bool { return s == "" })
		t.Row(fmt.Sprintf("%d/%s", p.GetPort(), p.GetProtocol()), p.GetService(), p.GetProduct(), p.GetVersion(), cli.Truncate(strings.Join(more, ", "), 60))
	}
	fmt.Fprintln(w)
	return t.Write(w)
}

func interfaceTable(w io.Writer, r *pb.SnmpReading) error {
	if len(r.GetInterfaces()) == 0 {
		return nil
	}
	t := cli.NewTable(">INDEX", "INTERFACE", "ALIAS", "STATE", ">SPEED", ">IN/S", ">OUT/S", ">ERRORS")
	for _, i := range r.GetInterfaces() {
		speed := ""
		if i.GetSpeedBps() > 0 {
			speed = fmt.Sprintf("%d Mb/s", i.GetSpeedBps()/1_000_000)
		}
		t.Row(i.GetIndex(), i.GetName(), i.GetAlias(), i.GetOperStatus(), speed, cli.Bytes(uint64(max(i.GetBytesInPerSecond(), 0))),
			cli.Bytes(uint64(max(i.GetBytesOutPerSecond(), 0))), cli.Count(i.GetErrorsIn()+i.GetErrorsOut()))
	}
	fmt.Fprintln(w)
	return t.Write(w)
}

func showHistory(e *cli.Env, history []*pb.DeviceChange) error {
	if len(history) == 0 {
		return nil
	}
	t := cli.NewTable("TIME", "TYPE", "WHAT")
	for _, c := range history[:min(len(history), shownHistory)] {
		t.Row(c.GetTime().AsTime().Local().Format(time.DateTime), c.GetType(), c.GetMessage())
	}
	fmt.Fprintln(e.Stdout)
	if err := t.Write(e.Stdout); err != nil {
		return err
	}
	if n := len(history) - shownHistory; n > 0 {
		fmt.Fprintf(e.Stderr, "and %d older changes: --json shows them\n", n)
	}
	return nil
}

// MarkOptions are the arguments of `amoskys devices mark`. What is nil stays as it is.
type MarkOptions struct {
	Devices     []string // texts that name one device each
	Filter      string   // or all devices that match
	Known       *bool
	Owner, Note *string
	Tags, Untag []string
	JSON        bool
}

// markedAtOnce is how many devices one call marks.
const markedAtOnce = 10_000

// SetMarks says of devices what the options say.
func SetMarks(ctx context.Context, e *cli.Env, o MarkOptions) error {
	switch {
	case len(o.Devices) == 0 && o.Filter == "":
		return cli.Usagef("name devices, or choose them with --filter")
	case len(o.Devices) > 0 && o.Filter != "":
		return cli.Usagef("name devices or choose them with --filter, not both")
	}
	filter, said, err := tell.SplitFilter(o.Filter)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	store, err := remote.DialStores(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // nothing more is asked
	var marks tell.Marks
	if said.Asks() {
		if marks, err = readMarks(ctx, e); err != nil {
			return err
		}
	}
	var devices []*pb.DeviceInventory
	for _, text := range o.Devices {
		d, err := oneOf(ctx, store, text)
		if err != nil {
			return err
		}
		devices = append(devices, d)
	}
	for req := (&pb.ListDevicesRequest{Filter: filter, Limit: pageSize}); o.Filter != ""; {
		found, err := page(ctx, store, req)
		if err != nil {
			return store.Explain(err)
		}
		for _, k := range found.GetDevices() {
			if said.Takes(marks.Of(k.GetDevice())) {
				devices = append(devices, k.GetDevice())
			}
		}
		if req.PageToken = found.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if len(devices) == 0 {
		return errors.New("no device matches")
	}
	changed, err := setMarks(ctx, e, o, devices)
	if err != nil {
		return err
	}
	if o.JSON {
		return cli.WriteJSON(e.Stdout, map[string]int{"devices": len(devices), "changed": changed})
	}
	_, err = fmt.Fprintf(e.Stdout, "%s, of which %d changed\n", cli.Counted(uint64(len(devices)), "device", "devices"), changed)
	return err
}

func setMarks(ctx context.Context, e *cli.Env, o MarkOptions, devices []*pb.DeviceInventory) (changed int, err error) {
	c, err := remote.Dial(e, "")
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	said, err := readMarks(ctx, e)
	if err != nil {
		return 0, err
	}
	for part := range slices.Chunk(devices, markedAtOnce) {
		var uids []string
		var formers []*pb.FormerUids
		for _, d := range part {
			uids = append(uids, d.GetUid())
			if f := said.Before(d); f != nil {
				formers = append(formers, f)
			}
		}
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		resp, err := c.Marks.SetMarks(asking, &pb.SetMarksRequest{
			DeviceUids: uids, Known: o.Known, Owner: o.Owner, Note: o.Note, AddTags: o.Tags, RemoveTags: o.Untag, Formers: formers,
		})
		cancel()
		if err != nil {
			return changed, c.Explain(err)
		}
		changed += int(resp.GetChanged())
	}
	return changed, nil
}
