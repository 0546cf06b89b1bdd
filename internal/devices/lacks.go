package devices

import (
	"fmt"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
)

// scanSilent is after what silence nobody scans: a scanner tells of every device it knows
// once a day.
const scanSilent = 25 * time.Hour

// howToScan is what to do where nobody scans.
const howToScan = "name networks in discovery.subnets of device_scanner_config.yaml, or scan one now: " +
	"Scan now on the page Devices, or the task device_scan of a scanner"

// behind says why the inventory is not of all that the log has, empty where it is, and
// whether that is a fault.
func (in *Inventory) behind() (why string, fault bool) {
	in.mu.Lock()
	opened, unsaved := in.state.opened, in.state.unsaved
	in.mu.Unlock()
	r := in.reader.Load()
	switch {
	case !opened || r == nil:
		return "the inventory is being opened", false
	case unsaved != "":
		return "its file cannot be written, so that after a restart it is made again from the log: " + unsaved, true
	}
	switch s := r.Status(); s.State {
	case stream.ReaderBehind:
		return fmt.Sprintf("the inventory catches up with the log, of which %d events are left", s.Lag), false
	case stream.ReaderStopped:
		return "the log is not read any more", true
	case stream.ReaderWaiting:
		return "the log cannot be read for now: " + s.Reason, true
	case stream.ReaderOK:
	}
	return "", false
}

// lacks are why something may lack, one sentence each, and what to do.
func (in *Inventory) lacks() []string {
	var list []string
	if why, _ := in.behind(); why != "" {
		list = append(list, why)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	s, now := &in.state, in.o.Now()
	switch {
	case !s.opened:
		return list
	case now.Sub(s.scanned) < scanSilent:
	case now.Sub(s.heard) < scanSilent:
		list = append(list, "no scan found anything within a day, scanners only listen: "+howToScan)
	default:
		list = append(list, "no scan found anything within a day: "+howToScan)
	}
	if s.lost > 0 {
		list = append(list, fmt.Sprintf("the log lost %d events before they were read, of which some may have told of devices", s.lost))
	}
	if n := s.book.Stats().Refused; n > 0 {
		list = append(list, fmt.Sprintf("%d devices had no room: the inventory holds %d", n, in.o.MaxDevices))
	}
	return append(list, slices.Clone(s.notes)...)
}
