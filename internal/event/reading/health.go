package reading

import pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"

// agentHealth reads what an agent says of itself.
func (r *Reader) agentHealth(b []byte) bool {
	var state pb.AgentState
	var n [11]uint64 // by number of the field
	var uptime []byte
	cpu := 0.0
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.number == 1 && f.isNumber():
			state = pb.AgentState(f.value)
		case f.number == 3 && f.isText():
			uptime = f.bytes
		case f.number == 8 && f.isFloat():
			cpu = f.float()
		case f.isNumber() && f.number < 11:
			n[f.number] = f.value
		}
	}
	if !f.ok() {
		return false
	}
	r.set.Source = SourceAgent
	labels := r.labelled(Label{"kind", label(r.head.kind)})
	degraded := 0.0
	if state == pb.AgentState_AGENT_STATE_DEGRADED {
		degraded = 1
	}
	stopping := 0.0
	if state == pb.AgentState_AGENT_STATE_STOPPING {
		stopping = 1
	}
	r.add("amoskys_agent_degraded", Gauge, labels, degraded)
	r.add("amoskys_agent_stopping", Gauge, labels, stopping)
	r.add("amoskys_agent_uptime_seconds", Gauge, labels, span(uptime))
	r.add("amoskys_agent_events_total", Counter, labels, float64(n[4]))
	r.add("amoskys_agent_events_dropped_total", Counter, labels, float64(n[5]))
	r.add("amoskys_agent_spool_bytes", Gauge, labels, float64(n[6]))
	r.add("amoskys_agent_spool_events", Gauge, labels, float64(n[7]))
	r.add("amoskys_agent_cpu_percent", Gauge, labels, cpu)
	r.add("amoskys_agent_memory_bytes", Gauge, labels, float64(n[9]))
	r.add("amoskys_agent_errors_total", Counter, labels, float64(n[10]))
	return true
}

// hubHealth reads what the monitor sees of the hub: its copy of the hub's own metrics.
// What a hub that does not answer cannot tell is absent.
func (r *Reader) hubHealth(b []byte) bool {
	var n [12]uint64 // by number of the field
	var latency []byte
	queue, throughput := 0.0, 0.0
	told := false
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.number == 4 && f.isFloat():
			queue = f.float()
		case f.number == 8 && f.isFloat():
			throughput = f.float()
		case f.number == 5 && f.isText():
			latency = f.bytes
		case f.number == 9 && f.isText():
			told = len(f.bytes) > 0 // the state of the log is of the report that has all
		case f.isNumber() && f.number < 12:
			n[f.number] = f.value
		}
	}
	if !f.ok() {
		return false
	}
	r.set.Source = SourceHub
	reachable := 0.0
	if n[2] != 0 {
		reachable = 1
	}
	r.add("amoskys_eventbus_reachable", Gauge, nil, reachable)
	if latency != nil {
		r.add("eventbus_latency_ms", Gauge, nil, span(latency)*1e3)
	}
	if !told {
		return true
	}
	r.add("eventbus_queue_depth", Gauge, nil, queue)
	r.add("eventbus_connections", Gauge, nil, float64(n[6]))
	r.add("eventbus_errors_total", Counter, nil, float64(n[7]))
	r.add("eventbus_throughput_eps", Gauge, nil, throughput)
	r.add("amoskys_eventbus_log_bytes", Gauge, nil, float64(n[10]))
	return true
}

func healthFamilies() []Family {
	kind := []string{"kind"}
	return []Family{
		{Name: "amoskys_agent_degraded", Help: "1 while something of an agent needs attention.", Kind: Gauge, Labels: kind},
		{Name: "amoskys_agent_stopping", Help: "1 in the last that an agent tells before it ends in order.", Kind: Gauge, Labels: kind},
		{Name: "amoskys_agent_uptime_seconds", Help: "Time since an agent has started.", Unit: "s", Kind: Gauge, Labels: kind},
		{Name: "amoskys_agent_events_total", Help: "Events that an agent published since it started.", Unit: "{event}", Kind: Counter, Labels: kind},
		{Name: "amoskys_agent_events_dropped_total", Help: "Events that an agent lost on its machine since it started.", Unit: "{event}", Kind: Counter, Labels: kind},
		{Name: "amoskys_agent_spool_bytes", Help: "Size of the spool of an agent on disk.", Unit: "By", Kind: Gauge, Labels: kind},
		{Name: "amoskys_agent_spool_events", Help: "Events that wait in the spool of an agent.", Unit: "{event}", Kind: Gauge, Labels: kind},
		{Name: "amoskys_agent_cpu_percent", Help: "CPU use of an agent, in percent of one core.", Unit: "%", Kind: Gauge, Labels: kind},
		{Name: "amoskys_agent_memory_bytes", Help: "Resident memory of an agent.", Unit: "By", Kind: Gauge, Labels: kind},
		{Name: "amoskys_agent_errors_total", Help: "Events of an agent that were lost or refused since it started.", Unit: "{event}", Kind: Counter, Labels: kind},
	}
}

func hubFamilies() []Family {
	return []Family{
		{Name: "amoskys_eventbus_reachable", Help: "1 while the hub answers its monitor.", Kind: Gauge},
		{Name: "amoskys_eventbus_log_bytes", Help: "Size of the log of the hub, as its monitor sees it.", Unit: "By", Kind: Gauge},
		{Name: "eventbus_latency_ms", Help: "Milliseconds that the hub took to answer the last probe of its monitor.", Unit: "ms", Kind: Gauge},
		{Name: "eventbus_queue_depth", Help: "Events that the hub has received and not yet acknowledged, as its monitor sees it.", Unit: "{event}", Kind: Gauge},
		{Name: "eventbus_connections", Help: "Connections that the hub holds, as its monitor sees it.", Kind: Gauge},
		{Name: "eventbus_errors_total", Help: "Errors that the hub has counted since it started, as its monitor sees it.", Kind: Counter},
		{Name: "eventbus_throughput_eps", Help: "Events a second that the hub takes in, as its monitor sees it.", Unit: "{event}/s", Kind: Gauge},
	}
}

// flowFamilies are told in batches by whoever sees the flows, who alone knows what they
// had together: an event tells of one flow what it had since it began.
func flowFamilies() []Family {
	labels := []string{"category", "interface"}
	return []Family{
		{Name: "flow_created", Help: "Flows that began, since the agent started.", Unit: "{flow}", Kind: Unknown},
		{Name: "flow_ended", Help: "Flows that ended, since the agent started, by reason.", Unit: "{flow}", Kind: Unknown, Labels: []string{"reason"}},
		{Name: "flow_duration_seconds", Help: "Time from the first to the last packet of flows that ended.", Unit: "s", Kind: Histogram, Labels: []string{"le"}},
		{Name: "flow_bytes_in", Help: "Bytes of IP packets that the initiators of flows received, since the agent started.", Unit: "By", Kind: Unknown, Labels: labels},
		{Name: "flow_bytes_out", Help: "Bytes of IP packets that the initiators of flows sent, since the agent started.", Unit: "By", Kind: Unknown, Labels: labels},
		{Name: "flow_packets_in", Help: "Packets that the initiators of flows received, since the agent started.", Unit: "{packet}", Kind: Unknown, Labels: labels},
		{Name: "flow_packets_out", Help: "Packets that the initiators of flows sent, since the agent started.", Unit: "{packet}", Kind: Unknown, Labels: labels},
		{Name: "flow_packets_dropped", Help: "Packets that the kernel dropped before the agent saw them, since it started.", Unit: "{packet}", Kind: Unknown},
	}
}
