package snmp

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/place"
)

// metrics export the last reading of each device, up to the bounds of the configuration,
// and counts of all.
type metrics struct {
	a   *Agent
	who labels // that all of devices have: agent and host

	uptime, cpu, memory, up, response           *prometheus.Desc
	bytesIn, bytesOut, errors, discards, linkUp *prometheus.Desc
	poe                                         *prometheus.Desc
	devices, leftOut, polls, pollTime, requests *prometheus.Desc
	probes, refused, traps, trapNames, moves    *prometheus.Desc
	macs, placesLeft, silent                    *prometheus.Desc

	mu     sync.Mutex // guards what follows
	well   uint64
	bad    uint64
	spent  time.Duration
	wire   snmp.Counts
	named  map[string]uint64
	byMove map[place.Kind]uint64
}

// maxTrapLabels is how many names of traps have a count of their own.
const maxTrapLabels = 100

func newMetrics(a *Agent) *metrics {
	who := prometheus.Labels{"agent": a.o.ID, "host": a.o.Host}
	of := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"device", "ip"}, labels...), who)
	}
	own := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("amoskys_snmp_"+name, help, labels, nil)
	}
	port := []string{"ifIndex", "ifName", "ifAlias"}
	return &metrics{
		a: a, who: newLabels("agent", a.o.ID, "host", a.o.Host), named: map[string]uint64{}, byMove: map[place.Kind]uint64{},
		uptime:     of("snmp_system_uptime", "Seconds since the device has started, as it says."),
		cpu:        of("snmp_system_cpu_load", "Mean load of its processors, in percent."),
		memory:     of("snmp_system_memory", "Bytes of memory, by kind: used or total.", "memory", "kind"),
		up:         of("snmp_up", "1 while the device answers."),
		response:   of("snmp_response_seconds", "How long the last poll took."),
		bytesIn:    of("snmp_interface_bytes_in", "Bytes that the interface received.", port...),
		bytesOut:   of("snmp_interface_bytes_out", "Bytes that the interface sent.", port...),
		errors:     of("snmp_interface_errors", "Packets with errors, by direction.", append(port, "direction")...),
		discards:   of("snmp_interface_discards", "Packets that were dropped, by direction.", append(port, "direction")...),
		linkUp:     of("snmp_interface_up", "1 while the interface is up.", port...),
		poe:        of("snmp_interface_poe_watts", "Power that the interface gives.", port...),
		devices:    own("devices", "Devices that are known, by state.", "state"),
		leftOut:    own("left_out", "What is known and not shown or not kept, for the bounds of the configuration.", "what"),
		polls:      own("polls_total", "Polls, by result.", "result"),
		pollTime:   own("poll_seconds_total", "Time that polls took, together."),
		requests:   own("requests_total", "Messages between the agent and devices it polls, by what became of them.", "what"),
		probes:     own("probes_total", "Requests that the search for devices sent."),
		refused:    own("credentials_refused_total", "How often a device has refused a credential."),
		silent:     own("silent_addresses", "Addresses of scan_subnets that do not answer."),
		traps:      own("traps_total", "Datagrams at the port of traps, by what became of them.", "what"),
		trapNames:  own("trap_names_total", "Traps by name.", "name"),
		moves:      own("moves_total", "MAC addresses that appeared at a port, moved or flap.", "kind"),
		macs:       own("placed_macs", "MAC addresses that are known, by what is known of them.", "what"),
		placesLeft: own("places_left_out_total", "MAC addresses that found no room."),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.uptime, m.cpu, m.memory, m.up, m.response, m.bytesIn, m.bytesOut, m.errors, m.discards, m.linkUp, m.poe,
		m.devices, m.leftOut, m.polls, m.pollTime, m.requests, m.probes, m.refused, m.silent, m.traps, m.trapNames, m.moves, m.macs, m.placesLeft,
	} {
		ch <- d
	}
}

// polled counts a poll.
func (m *metrics) polled(err error, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spent += took
	if err != nil {
		m.bad++
		return
	}
	m.well++
}

// asked adds what a client has counted.
func (m *metrics) asked(c snmp.Counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wire.Requests += c.Requests
	m.wire.Variables += c.Variables
	m.wire.Timeouts += c.Timeouts
	m.wire.Strangers += c.Strangers
	m.wire.Strays += c.Strays
	m.wire.Unreadable += c.Unreadable
	m.wire.Malformed += c.Malformed
}

// trapped counts a trap by name.
func (m *metrics) trapped(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name == "" || m.named[name] == 0 && len(m.named) >= maxTrapLabels {
		name = "other"
	}
	m.named[name]++
}

// moved counts moves.
func (m *metrics) moved(moves []place.Move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mv := range moves {
		if mv.Kind != 0 {
			m.byMove[mv.Kind]++
		}
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	w := sink{ch}
	m.collectDevices(w)
	m.mu.Lock()
	defer m.mu.Unlock()
	w.counter(m.polls, float64(m.well), "ok")
	w.counter(m.polls, float64(m.bad), "failed")
	w.counter(m.pollTime, m.spent.Seconds())
	w.counter(m.requests, float64(m.wire.Requests), "sent")
	w.counter(m.requests, float64(m.wire.Timeouts), "timeout")
	w.counter(m.requests, float64(m.wire.Strangers), "stranger")
	w.counter(m.requests, float64(m.wire.Strays), "stray")
	w.counter(m.requests, float64(m.wire.Unreadable), "unreadable")
	w.counter(m.requests, float64(m.wire.Malformed), "malformed")
	w.counter(m.requests, float64(m.wire.Variables), "variables")
	for name, n := range m.named {
		w.counter(m.trapNames, float64(n), name)
	}
	for kind, word := range map[place.Kind]string{place.Appeared: "appeared", place.Moved: "moved", place.Flapping: "flapping"} {
		w.counter(m.moves, float64(m.byMove[kind]), word)
	}
	m.collectParts(w)
}

// collectParts gives what the parts of the agent count. m is locked.
func (m *metrics) collectParts(w sink) {
	s := m.a.search
	w.counter(m.probes, float64(s.probes.Load()))
	w.counter(m.refused, float64(s.trials.refused.Load()))
	s.mu.Lock()
	silent := len(s.silent)
	s.mu.Unlock()
	w.gauge(m.silent, float64(silent))
	if t := m.a.traps; t != nil {
		c := &t.counts
		w.counter(m.traps, float64(c.received.Load()), "received")
		w.counter(m.traps, float64(c.malformed.Load()), "malformed")
		w.counter(m.traps, float64(c.refused.Load()), "refused")
		w.counter(m.traps, float64(c.limited.Load()), "limited")
		w.counter(m.traps, float64(c.dropped.Load()), "dropped")
		w.counter(m.traps, float64(c.secret.Load()), "no_credential")
		w.counter(m.traps, float64(c.replayed.Load()), "replayed")
		w.counter(m.traps, float64(c.informs.Load()), "confirmed")
	}
	if p := m.a.plugs; p != nil {
		st := p.stats()
		w.gauge(m.macs, float64(st.MACs), "macs")
		w.gauge(m.macs, float64(st.Addresses), "addresses")
		w.gauge(m.macs, float64(st.Switches), "switches")
		w.counter(m.placesLeft, float64(st.LeftOut))
	}
}

// collectDevices gives the last reading of each device, up to the bounds.
func (m *metrics) collectDevices(w sink) {
	c := m.a.book.count()
	w.gauge(m.devices, float64(c.devices-c.silent), "up")
	w.gauge(m.devices, float64(c.silent), "silent")
	w.gauge(m.devices, float64(c.aliases), "alias")
	shown, hidden, ports, hiddenPorts := 0, 0, m.a.cfg.Metrics.MaxInterfaces, 0
	for _, d := range m.a.book.all() {
		d.mu.Lock()
		switch {
		case d.AliasOf != "" || d.reading == nil && d.fault == "":
		case shown >= m.a.cfg.Metrics.MaxDevices:
			hidden++
			hiddenPorts += existing(d.ports)
		default:
			shown++
			n := m.device(w, d, ports)
			ports -= n
			hiddenPorts += existing(d.ports) - n
		}
		d.mu.Unlock()
	}
	w.gauge(m.leftOut, float64(c.leftOut), "devices_beyond_max_devices")
	w.gauge(m.leftOut, float64(hidden), "devices_in_metrics")
	w.gauge(m.leftOut, float64(hiddenPorts), "interfaces_in_metrics")
}

// device gives one device and at most so many of its interfaces, those that are up first;
// it returns how many. d is locked.
func (m *metrics) device(w sink, d *device, most int) int {
	ip := d.at.Addr().String()
	if d.at.Port() != snmp.DefaultPort {
		ip = d.at.String() // several agents on one host
	}
	who := m.who.with("device", d.word(), "ip", ip)
	if d.failures > 0 || d.reading == nil {
		w.of(m.up, 0, who)
		return 0
	}
	w.of(m.up, 1, who)
	w.of(m.uptime, float64(d.Uptime)/100, who)
	w.of(m.response, d.took.Seconds(), who)
	if loads := d.reading.GetCpuPercent(); len(loads) > 0 {
		sum := 0.0
		for _, l := range loads {
			sum += l
		}
		w.of(m.cpu, sum/float64(len(loads)), who)
	}
	const mostMemory = 16
	seen := map[string]bool{}
	for _, mem := range d.reading.GetMemory() {
		if len(seen) == mostMemory || seen[mem.GetName()] {
			continue
		}
		seen[mem.GetName()] = true
		w.of(m.memory, float64(mem.GetUsedBytes()), who.with("memory", mem.GetName(), "kind", "used"))
		w.of(m.memory, float64(mem.GetTotalBytes()), who.with("memory", mem.GetName(), "kind", "total"))
	}
	n, named := 0, haveNames(d.ports)
	for _, up := range []bool{true, false} {
		for i := range d.ports {
			if p := &d.ports[i]; (p.oper == 1) == up && n < most && p.exists(named) {
				n++
				m.port(w, p, d.watts, who)
			}
		}
	}
	return n
}

func (m *metrics) port(w sink, p *port, power watts, who labels) {
	l := who.with("ifIndex", number32(p.index), "ifName", p.name.Value(), "ifAlias", p.alias.Value())
	in, out := l.with("direction", "in"), l.with("direction", "out")
	up := 0.0
	if p.oper == 1 {
		up = 1
	}
	w.of(m.linkUp, up, l)
	if given, ok := power[p.index]; ok {
		w.of(m.poe, float64(given), l)
	}
	if p.sample.has(gotOctets) {
		w.counted(m.bytesIn, float64(p.sample.in), l)
		w.counted(m.bytesOut, float64(p.sample.out), l)
	}
	w.counted(m.errors, float64(p.sample.errorsIn), in)
	w.counted(m.errors, float64(p.sample.errorsOut), out)
	w.counted(m.discards, float64(p.discardsIn), in)
	w.counted(m.discards, float64(p.discardsOut), out)
}
