package event

import (
	"fmt"
	"strconv"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// maxSummary bounds a summary, in bytes.
const maxSummary = 300

// Summary is one line for people that says what happened, at most 300 bytes.
func Summary(ev *pb.Event) string {
	s := ev.GetMessage()
	if s == "" {
		s = bodySummary(ev)
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxSummary {
		s = strings.ToValidUTF8(s[:maxSummary-3], "") + "…"
	}
	return s
}

func bodySummary(ev *pb.Event) string {
	switch b := ev.GetBody().(type) {
	case *pb.Event_Process:
		return processSummary(b.Process)
	case *pb.Event_Network:
		return networkSummary(b.Network)
	case *pb.Event_File:
		f := b.File
		verb := enumText(f.GetAction().Descriptor(), f.GetAction().Number())
		if to := f.GetFileResult().GetPath(); to != "" {
			return verb + " " + f.GetFile().GetPath() + " → " + to
		}
		return verb + " " + f.GetFile().GetPath()
	case *pb.Event_Authentication:
		a := b.Authentication
		s := fmt.Sprintf("%s of %s by %s", enumText(a.GetStatus().Descriptor(), a.GetStatus().Number()),
			enumText(a.GetAction().Descriptor(), a.GetAction().Number()), a.GetUser().GetName())
		if from := a.GetSrcEndpoint().GetIp(); from != "" {
			s += " from " + from
		}
		if svc := a.GetService(); svc != "" {
			s += " (" + svc + ")"
		}
		return s
	case *pb.Event_Device:
		d := b.Device
		return join(strings.Join(d.GetIp(), " "), d.GetHostname(), d.GetVendor(), d.GetOsName(), d.GetDeviceClass())
	case *pb.Event_Snmp:
		return join(b.Snmp.GetTarget(), b.Snmp.GetSysName(), b.Snmp.GetHardware(), b.Snmp.GetError())
	case *pb.Event_Metrics:
		return fmt.Sprintf("%d metrics", len(b.Metrics.GetMetrics()))
	case *pb.Event_Finding:
		return join(b.Finding.GetTitle(), strings.Join(b.Finding.GetTechniques(), " "))
	case *pb.Event_AgentHealth:
		h := b.AgentHealth
		return join(ev.GetAgent().GetId(), enumText(h.GetState().Descriptor(), h.GetState().Number()), h.GetDetail())
	case *pb.Event_HubHealth:
		return hubSummary(b.HubHealth)
	case *pb.Event_Audit:
		a := b.Audit
		s := join(a.GetActor(), a.GetOperation(), a.GetTarget())
		if !a.GetSuccess() {
			s += " (refused)"
		}
		return join(s, a.GetDetail())
	default:
		return ev.GetType()
	}
}

func processSummary(p *pb.ProcessActivity) string {
	proc := p.GetProcess()
	what := proc.GetCmdLine()
	if what == "" {
		what = proc.GetName()
	}
	pid := strconv.FormatUint(uint64(proc.GetPid()), 10)
	switch p.GetAction() {
	case pb.ProcessAction_PROCESS_ACTION_LAUNCH:
		return "started " + what + " (pid " + pid + ")"
	case pb.ProcessAction_PROCESS_ACTION_TERMINATE:
		return "ended " + what + " (pid " + pid + ")"
	case pb.ProcessAction_PROCESS_ACTION_SAMPLE, pb.ProcessAction_PROCESS_ACTION_UNSPECIFIED:
	}
	u := p.GetUsage()
	return fmt.Sprintf("%s (pid %s) %.1f%% CPU, %s", proc.GetName(), pid, u.GetCpuPercent(), bytesText(u.GetRssBytes()))
}

func networkSummary(n *pb.NetworkActivity) string {
	end := func(e *pb.Endpoint) string {
		host := e.GetIp()
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return host + ":" + strconv.FormatUint(uint64(e.GetPort()), 10)
	}
	s := join(n.GetProtocolName(), end(n.GetSrcEndpoint()), "→", end(n.GetDstEndpoint()))
	if app := n.GetAppName(); app != "" {
		s += " " + app
	}
	total := n.GetBytesIn() + n.GetBytesOut()
	switch rate := n.GetSamplingRate(); {
	case total > 0 && rate > 1:
		s += ", about " + trafficText(total) + " (1 packet in " + strconv.FormatUint(rate, 10) + " counted)"
	case total > 0:
		s += ", " + trafficText(total)
	}
	return s
}

func hubSummary(h *pb.HubHealth) string {
	if !h.GetReachable() {
		return join("hub", h.GetEndpoint(), "unreachable:", h.GetError())
	}
	return fmt.Sprintf("hub %s %s, %.0f ev/s, queue %.0f, probe %.1f ms", h.GetEndpoint(), h.GetStatus(),
		h.GetThroughputEps(), h.GetQueueDepth(), h.GetProbeLatency().AsDuration().Seconds()*1e3)
}

// join puts a blank between the parts that are not empty.
func join(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, " ")
}

// bytesText prints a size in binary units.
func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, i := float64(n), -1
	for v >= unit && i < 4 {
		v /= unit
		i++
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + string("KMGTP"[i]) + "iB"
}

// trafficText prints what went over a network in powers of 1000, as pages and links count.
func trafficText(n uint64) string {
	const unit, highest = 1000, 4
	if n < unit {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < highest {
		v /= unit
		i++
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + string("kMGTP"[i]) + "B"
}
