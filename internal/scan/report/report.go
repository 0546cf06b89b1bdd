// Package report writes what a scan found as JSON lines, CSV, a table or nmap's XML, and
// reads nmap's XML into the same form.
package report

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

// Device is a host as scans print it.
type Device struct {
	IP       string `json:"ip"`
	MAC      string `json:"mac,omitempty"`
	Vendor   string `json:"vendor,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	OS       string `json:"os,omitempty"`
	Class    string `json:"class,omitempty"`
	// Ports are the open ones, in order.
	Ports []Port `json:"ports"`
	// Names are all names, Hostname the first of them.
	Names []string `json:"names,omitempty"`
	// How are the ways by which it answered.
	How []string `json:"how,omitempty"`
	// RTTMS is the time of its quickest answer in milliseconds.
	RTTMS float64 `json:"rtt_ms,omitempty"`
	// AllOpen marks one that accepts on all ports, which are not listed then.
	AllOpen bool `json:"all_ports_open,omitempty"`
	// Route are the routers on the way to it that answered, those next to us first.
	Route []Hop `json:"route,omitempty"`
	// Closed and Filtered count ports of TCP.
	Closed   int      `json:"closed,omitempty"`
	Filtered int      `json:"filtered,omitempty"`
	CPE      []string `json:"cpe,omitempty"`
}

// Hop is a router on the way to a host.
type Hop struct {
	// TTL is its place, 1 for the first.
	TTL int    `json:"ttl"`
	IP  string `json:"ip"`
	// RTTMS is the time of its answer in milliseconds.
	RTTMS float64 `json:"rtt_ms,omitempty"`
}

// Port is an open port.
type Port struct {
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"`
	Service  string `json:"service,omitempty"`
	Product  string `json:"product,omitempty"`
	Version  string `json:"version,omitempty"`
	CPE      string `json:"cpe,omitempty"`
	// Remarks are what else is to be said, such as Unproven.
	Remarks []string `json:"remarks,omitempty"`
	Title   string   `json:"title,omitempty"`
}

// Unproven is the remark of a service that only the number of its port suggests.
const Unproven = stack.UnprovenByPort

func (p *Port) unproven() bool { return slices.Contains(p.Remarks, Unproven) }

// Of is what is told of a host before anything is known of its services.
func Of(h *scan.Host) Device {
	d := Device{
		IP: h.IP.String(), How: h.How, RTTMS: float64(h.RTT.Microseconds()) / 1000, AllOpen: h.AllOpen,
		Closed: h.Closed, Filtered: h.Filtered, Ports: make([]Port, 0, len(h.Ports)),
	}
	if h.MAC != nil {
		d.MAC = h.MAC.String()
	}
	for _, n := range h.Names {
		d.Names = append(d.Names, n.Name)
	}
	if len(d.Names) > 0 {
		d.Hostname = d.Names[0]
	}
	for _, hop := range h.Route.Hops {
		d.Route = append(d.Route, Hop{hop.TTL, hop.IP.String(), float64(hop.RTT.Microseconds()) / 1000})
	}
	for _, p := range h.Ports {
		d.Ports = append(d.Ports, Port{Port: p.Port, Protocol: p.Protocol})
	}
	return d
}

// Sort puts devices in the order of their addresses.
func Sort(devices []Device) {
	slices.SortStableFunc(devices, func(a, b Device) int {
		x, errX := netip.ParseAddr(a.IP)
		y, errY := netip.ParseAddr(b.IP)
		if errX != nil || errY != nil {
			return cmp.Compare(a.IP, b.IP)
		}
		return x.Compare(y)
	})
}

// Summary is the ports of a device for one cell of a table.
func (d *Device) Summary() string {
	if d.AllOpen && len(d.Ports) == 0 {
		return "accepts on all ports"
	}
	out := make([]string, 0, len(d.Ports))
	for _, p := range d.Ports {
		text := strconv.Itoa(int(p.Port))
		if p.Protocol != "tcp" {
			text += "/" + p.Protocol
		}
		if name := strings.TrimSpace(cmp.Or(p.Product, p.Service) + " " + p.Version); name != "" {
			text += " " + name
			if p.unproven() {
				text += "?"
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// WriteCSV writes devices as CSV does.
func WriteCSV(w io.Writer, devices []Device) error {
	c := NewCSV(w)
	for i := range devices {
		if err := c.Device(&devices[i]); err != nil {
			return err
		}
	}
	return c.End()
}

// CSV writes a heading and a row for each open port, device after device; one without any
// has one row with no port. Cells that a spreadsheet would take for a formula begin with an
// apostrophe, since they come from strangers.
type CSV struct{ out *csv.Writer }

// NewCSV returns a writer of CSV, which has the heading.
func NewCSV(w io.Writer) *CSV {
	c := &CSV{csv.NewWriter(w)}
	// An error stays, and comes with the next row or the end.
	_ = c.out.Write([]string{"ip", "mac", "vendor", "hostname", "os", "class", "port", "protocol", "service", "product", "version", "remarks"})
	return c
}

// Device writes the rows of a device.
func (c *CSV) Device(d *Device) error {
	ports := d.Ports
	if len(ports) == 0 {
		ports = []Port{{}}
	}
	for _, p := range ports {
		number := ""
		if p.Port != 0 {
			number = strconv.Itoa(int(p.Port))
		}
		row := []string{d.IP, d.MAC, d.Vendor, d.Hostname, d.OS, d.Class, number, p.Protocol, p.Service, p.Product, p.Version, strings.Join(p.Remarks, "; ")}
		for j, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				row[j] = "'" + cell
			}
		}
		if err := c.out.Write(row); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	return nil
}

// End writes what was not written yet.
func (c *CSV) End() error {
	c.out.Flush()
	if err := c.out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}
