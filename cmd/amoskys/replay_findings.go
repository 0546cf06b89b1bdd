package main

import (
	"fmt"
	"strings"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/findings"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/track"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// detect has the flow agent's detectors look at the capture, by the time of its packets.
func (r *replay) detect(o *lane.Options) {
	r.watch = findings.New(findings.DefaultConfig(), r.found)
	o.Identify.OnDNS = r.watch.DNS
	// The detectors want to see what goes on as well as what has ended.
	o.Table.OpenAfter, o.Table.Update = 0, 0
}

// found takes what a detector tells.
func (r *replay) found(ev *pb.Event) {
	if r.err != nil {
		return
	}
	if r.publication != nil {
		r.err = r.publication.finding(ev)
		return
	}
	f := ev.GetFinding()
	if f.GetStatus() != "new" && !r.asJSON {
		return // A line says it once; JSON has each update.
	}
	r.findings++
	if r.asJSON {
		line, err := event.FlatJSON(ev, event.SchemaNative)
		if err == nil {
			_, err = fmt.Fprintf(r.out, "%s\n", line)
		}
		r.err = err
		return
	}
	_, r.err = fmt.Fprintf(r.out, findingColumns, event.Time(ev).Format(replayTime), event.SeverityText(ev.GetSeverity()),
		strings.TrimPrefix(ev.GetType(), findings.TypePrefix), strings.Join(f.GetTechniques(), " "), cli.Clean(f.GetDescription()))
}

const findingColumns = "%-26s  %-13s  %-26s  %-20s  %s\n"

// Opened implements track.Consumer.
func (r *replay) Opened(f *track.Flow) {
	if r.watch != nil {
		r.watch.Opened(f)
	}
}

// Updated implements track.Consumer.
func (r *replay) Updated(f *track.Flow) {
	if r.watch != nil {
		r.watch.Updated(f)
	}
}

// Ended implements track.Consumer: it shows or sends the flow.
func (r *replay) Ended(f *track.Flow) {
	if r.watch != nil {
		r.watch.Ended(f)
	}
	if r.err != nil {
		return
	}
	r.told++
	if !r.findingsOnly {
		r.flow(f)
	}
}

var _ track.Consumer = (*replay)(nil)
