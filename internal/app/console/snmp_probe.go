package console

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/identify"
)

// probeJSON is what a device is and says, as JSON has it.
type probeJSON struct {
	SysObjectID string          `json:"sys_object_id"`
	SysName     string          `json:"sys_name"`
	SysDescr    string          `json:"sys_descr"`
	Vendor      string          `json:"vendor"`
	OS          string          `json:"os"`
	OSVersion   string          `json:"os_version"`
	Hardware    string          `json:"hardware"`
	Serial      string          `json:"serial,omitempty"`
	Class       string          `json:"class,omitempty"`
	EngineID    string          `json:"engine_id,omitempty"`
	Uptime      float64         `json:"uptime_seconds,omitempty"`
	Interfaces  []interfaceJSON `json:"interfaces"`
	CPU         []float64       `json:"cpu_percent"`
	Memory      []memoryJSON    `json:"memory"`
	Storage     []memoryJSON    `json:"storage,omitempty"`
	Sensors     []sensorJSON    `json:"sensors,omitempty"`
	Neighbors   []neighborJSON  `json:"neighbors,omitempty"`
	Evidence    []string        `json:"evidence,omitempty"`
	Incomplete  []string        `json:"incomplete,omitempty"`
	Error       string          `json:"error,omitempty"`
}

type interfaceJSON struct {
	Index  uint32 `json:"index"`
	Name   string `json:"name"`
	Speed  uint64 `json:"speed"` // bits a second
	Alias  string `json:"alias,omitempty"`
	Type   string `json:"type,omitempty"`
	MAC    string `json:"mac,omitempty"`
	Admin  string `json:"admin_status,omitempty"`
	Oper   string `json:"oper_status,omitempty"`
	In     uint64 `json:"bytes_in"`
	Out    uint64 `json:"bytes_out"`
	Errors uint64 `json:"errors"`
}

type memoryJSON struct {
	Name  string `json:"name"`
	Used  uint64 `json:"used_bytes"`
	Total uint64 `json:"total_bytes"`
}

type sensorJSON struct {
	Name  string  `json:"name"`
	Kind  string  `json:"kind"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

type neighborJSON struct {
	Index  uint32 `json:"index"`
	Port   string `json:"port"`
	Name   string `json:"name"`
	Remote string `json:"remote_port"`
	Source string `json:"source"`
}

// SNMPProbe prints what a device is and says of itself: maker, system, interfaces, CPU
// and memory. What was read before a fault is printed too.
func SNMPProbe(ctx context.Context, e *cli.Env, o SNMPOptions) error {
	prober, err := identify.NewBuiltIn()
	if err != nil {
		return fmt.Errorf("load what is known of devices: %w", err)
	}
	ctx, end := o.bounded(ctx)
	defer end()
	c, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	progress := cli.NewProgress(e.Stderr, e.Now)
	reading, id, err := prober.Probe(ctx, &counted{Client: c, tell: func(n uint64) { progress.Count("probing "+o.Host, n, 0) }})
	progress.Done()
	if reading == nil {
		return advise(o, err)
	}
	p := newProbeJSON(reading, id)
	if o.JSON {
		return errors.Join(cli.WriteJSON(e.Stdout, p), advise(o, err))
	}
	return errors.Join(p.print(e), advise(o, err))
}

// counted tells how many variables were read until now.
type counted struct {
	*snmp.Client
	tell func(uint64)
}

// Walk walks and tells.
func (c *counted) Walk(ctx context.Context, root string, each func(snmp.Variable) error) error {
	c.tell(c.Counts().Variables)
	return c.Client.Walk(ctx, root, each)
}

func newProbeJSON(r *pb.SnmpReading, id identify.Identity) probeJSON {
	p := probeJSON{
		SysObjectID: r.GetSysObjectId(), SysName: r.GetSysName(), SysDescr: r.GetSysDescr(), Vendor: id.Maker(), OS: r.GetOsName(),
		OSVersion: r.GetOsVersion(), Hardware: r.GetHardware(), Serial: r.GetSerialNumber(), Class: id.Class, EngineID: r.GetEngineId(),
		Uptime: r.GetUptime().AsDuration().Seconds(), CPU: r.GetCpuPercent(), Evidence: id.Evidence, Incomplete: r.GetIncomplete(),
		Error: r.GetError(), Interfaces: []interfaceJSON{}, Memory: memories(r.GetMemory()), Storage: memories(r.GetStorage()),
	}
	if p.CPU == nil {
		p.CPU = []float64{}
	}
	for _, i := range r.GetInterfaces() {
		p.Interfaces = append(p.Interfaces, interfaceJSON{
			Index: i.GetIndex(), Name: i.GetName(), Speed: i.GetSpeedBps(), Alias: i.GetAlias(), Type: i.GetType(), MAC: i.GetMac(),
			Admin: i.GetAdminStatus(), Oper: i.GetOperStatus(), In: i.GetBytesIn(), Out: i.GetBytesOut(), Errors: i.GetErrorsIn() + i.GetErrorsOut(),
		})
	}
	for _, s := range r.GetSensors() {
		p.Sensors = append(p.Sensors, sensorJSON{Name: s.GetName(), Kind: s.GetKind(), Value: s.GetValue(), Unit: s.GetUnit()})
	}
	for _, n := range r.GetNeighbors() {
		p.Neighbors = append(p.Neighbors, neighborJSON{Index: n.GetIfIndex(), Port: n.GetPort(), Name: n.GetName(), Remote: n.GetRemotePort(), Source: n.GetSource()})
	}
	return p
}

func memories(list []*pb.SnmpMemory) []memoryJSON {
	out := make([]memoryJSON, 0, len(list))
	for _, m := range list {
		out = append(out, memoryJSON{Name: m.GetName(), Used: m.GetUsedBytes(), Total: m.GetTotalBytes()})
	}
	return out
}

// print writes the probe for people.
func (p probeJSON) print(e *cli.Env) error {
	facts := cli.NewTable("", "")
	for _, f := range []struct{ name, value string }{
		{"name", p.SysName},
		{"vendor", p.Vendor},
		{"os", strings.TrimSpace(p.OS + " " + p.OSVersion)},
		{"hardware", p.Hardware},
		{"class", p.Class},
		{"serial", p.Serial},
		{"describes itself as", cli.Truncate(strings.Join(strings.Fields(p.SysDescr), " "), 120)},
		{"sysObjectID", p.SysObjectID},
		{"engine id", p.EngineID},
		{"up since (seconds)", number(p.Uptime)},
		{"cpu %", percents(p.CPU)},
	} {
		if f.value != "" {
			facts.Row(f.name, f.value)
		}
	}
	lines := facts.Lines()[1:] // without the empty heading
	for _, t := range []*cli.Table{memoryTable("MEMORY", p.Memory), memoryTable("STORAGE", p.Storage), p.sensorTable(), p.neighborTable(), p.interfaceTable()} {
		if t.Len() > 0 {
			lines = append(append(lines, ""), t.Lines()...)
		}
	}
	for _, text := range p.Incomplete {
		fmt.Fprintln(e.Stderr, "not whole:", cli.Clean(text))
	}
	_, err := fmt.Fprintln(e.Stdout, strings.Join(lines, "\n"))
	return err
}

func number(x float64) string {
	if x == 0 {
		return ""
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

func percents(list []float64) string {
	texts := make([]string, len(list))
	for i, x := range list {
		texts[i] = strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strings.Join(texts, " ")
}

func memoryTable(title string, list []memoryJSON) *cli.Table {
	t := cli.NewTable(title, ">USED", ">TOTAL")
	for _, m := range list {
		t.Row(m.Name, cli.Bytes(m.Used), cli.Bytes(m.Total))
	}
	return t
}

func (p probeJSON) sensorTable() *cli.Table {
	t := cli.NewTable("SENSOR", "KIND", ">VALUE", "UNIT")
	for _, s := range p.Sensors {
		t.Row(s.Name, s.Kind, strconv.FormatFloat(s.Value, 'f', -1, 64), s.Unit)
	}
	return t
}

func (p probeJSON) neighborTable() *cli.Table {
	t := cli.NewTable("PORT", "NEIGHBOR", "ITS PORT", "TOLD BY")
	for _, n := range p.Neighbors {
		t.Row(n.Port, n.Name, n.Remote, n.Source)
	}
	return t
}

func (p probeJSON) interfaceTable() *cli.Table {
	t := cli.NewTable(">INDEX", "INTERFACE", "ALIAS", "STATE", ">BIT/S", ">IN", ">OUT", ">ERRORS")
	for _, i := range p.Interfaces {
		t.Row(i.Index, i.Name, i.Alias, i.Oper, cli.Count(i.Speed), cli.Bytes(i.In), cli.Bytes(i.Out), cli.Count(i.Errors))
	}
	return t
}
