package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Run is what is said of a scan in nmap's XML.
type Run struct {
	Version     string
	Arguments   string
	Start, End  time.Time
	Total, Down uint64
}

// WriteNmapXML writes devices in the form that nmap -oX writes, for what reads that.
func WriteNmapXML(w io.Writer, run Run, devices []Device) error {
	x := NewNmapXML(w, run)
	for i := range devices {
		if err := x.Device(&devices[i]); err != nil {
			return err
		}
	}
	return x.End(run)
}

// NmapXML writes devices as nmap -oX does, one after the other.
type NmapXML struct {
	w   io.Writer
	e   *xml.Encoder
	up  int
	err error
}

// NewNmapXML returns a writer, which has written the beginning. Of run the version, the
// arguments and the start are needed.
func NewNmapXML(w io.Writer, run Run) *NmapXML {
	x := &NmapXML{w: w, e: xml.NewEncoder(w)}
	x.e.Indent(" ", " ")
	x.text(xml.Header + "<!DOCTYPE nmaprun>\n<nmaprun")
	for _, a := range [][2]string{
		{"scanner", "amoskys"},
		{"args", run.Arguments},
		{"start", strconv.FormatInt(run.Start.Unix(), 10)},
		{"version", run.Version},
		{"xmloutputversion", "1.05"},
	} {
		x.text(" " + a[0] + `="`)
		if x.err == nil {
			x.err = xml.EscapeText(w, []byte(a[1]))
		}
		x.text(`"`)
	}
	x.text(">\n")
	return x
}

func (x *NmapXML) text(s string) {
	if x.err == nil {
		_, x.err = io.WriteString(x.w, s)
	}
}

// Device writes a host.
func (x *NmapXML) Device(d *Device) error {
	x.up++
	if x.err == nil {
		x.err = x.e.Encode(nmapOf(d))
	}
	x.text("\n")
	return x.failed()
}

// End writes the end, with the counts and the time of run.
func (x *NmapXML) End(run Run) error {
	type finished struct {
		Time    int64  `xml:"time,attr"`
		TimeStr string `xml:"timestr,attr"`
		Elapsed string `xml:"elapsed,attr"`
		Exit    string `xml:"exit,attr"`
	}
	type hosts struct {
		Up    int    `xml:"up,attr"`
		Down  uint64 `xml:"down,attr"`
		Total uint64 `xml:"total,attr"`
	}
	type stats struct {
		XMLName  xml.Name `xml:"runstats"`
		Finished finished `xml:"finished"`
		Hosts    hosts    `xml:"hosts"`
	}
	if x.err == nil {
		x.err = x.e.Encode(stats{
			Finished: finished{run.End.Unix(), run.End.UTC().Format(time.RFC3339), strconv.FormatFloat(run.End.Sub(run.Start).Seconds(), 'f', 2, 64), "success"},
			Hosts:    hosts{x.up, run.Down, max(run.Total, uint64(x.up))},
		})
	}
	x.text("\n</nmaprun>\n")
	return x.failed()
}

func (x *NmapXML) failed() error {
	if x.err != nil {
		return fmt.Errorf("write XML: %w", x.err)
	}
	return nil
}
