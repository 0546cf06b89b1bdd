package main

// scraped says of a row that its metrics are those that a Prometheus gets from a port.
const scraped = "Of a Prometheus that scrapes it with deploy/prometheus/prometheus.yml: choose that as the data source."

// overview shows the hub and its log: in the first rows as its monitor tells, which both
// data sources have, then as the hub itself does.
func overview() board {
	return board{
		name: "overview", title: "Overview",
		about: "The hub, its log, and who reports to it.",
		rows: []row{
			{"Now", []panel{
				figure{"Hub", "1 while the hub answers its monitor.", plain, "min(amoskys_eventbus_reachable)", 1, 0, true},
				figure{"Events a second", "Events that the hub takes in.", eventsASecond, "sum(eventbus_throughput_eps)", 0, 0, false},
				figure{"Events waiting", "Events received and not yet acknowledged.", plain, "sum(eventbus_queue_depth)", 10_000, 100_000, false},
				figure{"Log", "Size of the log on disk.", bytesOf, "max(amoskys_eventbus_log_bytes) or max(amoskys_wal_size_bytes)", 0, 0, false},
				figure{"Agents", "Agents that told how they are in the last minutes.", plain, "count(amoskys_agent_uptime_seconds)", 0, 0, false},
				figure{"Agents with trouble", "Agents of which something needs attention.", plain, "sum(amoskys_agent_degraded)", 1, 0, false},
			}},
			{"The hub, as its monitor sees it", []panel{
				chart{title: "Events a second", unit: eventsASecond, queries: []query{{"eventbus_throughput_eps", "events"}}},
				chart{
					title: "Latency", unit: milliseconds, about: "Of the monitor's last probe, and of all batches, from receipt to acknowledgement. Points are single ones, by their offset in the log.",
					exemplars: true,
					queries: []query{
						{"eventbus_latency_ms", "probe"},
						{"histogram_quantile(0.5, sum by (le) (rate(eventbus_latency_ms_bucket[$__rate_interval])))", "p50"},
						{"histogram_quantile(0.99, sum by (le) (rate(eventbus_latency_ms_bucket[$__rate_interval])))", "p99"},
					},
				},
				chart{title: "Events waiting", unit: plain, queries: []query{{"eventbus_queue_depth", "received, not acknowledged"}}},
				chart{title: "Connections", unit: plain, queries: []query{{"eventbus_connections", "connections"}}},
				chart{title: "Errors", unit: perSecond, queries: []query{{"sum(rate(eventbus_errors_total[$__rate_interval]))", "errors"}}},
				chart{title: "Events of agents", unit: eventsASecond, every: healthEvery, stacked: true, about: "What agents publish, by kind.", queries: []query{
					{"sum by (kind) (rate(amoskys_agent_events_total[$__rate_interval]))", "{{kind}}"},
				}},
			}},
			{"The hub's own", []panel{
				chart{title: "Refused events", unit: perSecond, about: scraped, queries: []query{{"sum by (reason) (rate(eventbus_refused_events_total[$__rate_interval]))", "{{reason}}"}}},
				chart{title: "Readers behind the log", unit: plain, about: scraped, queries: []query{{"amoskys_reader_lag_events", "{{reader}}"}}},
				chart{title: "Written to the log", unit: bytesPerSecond, about: scraped, queries: []query{{"rate(amoskys_wal_written_bytes_total[$__rate_interval])", "written"}}},
				chart{title: "Time of a sync", unit: seconds, about: scraped, queries: []query{
					{"histogram_quantile(0.5, sum by (le) (rate(amoskys_wal_sync_seconds_bucket[$__rate_interval])))", "p50"},
					{"histogram_quantile(0.99, sum by (le) (rate(amoskys_wal_sync_seconds_bucket[$__rate_interval])))", "p99"},
				}},
				chart{title: "Disk of the log", unit: bytesOf, about: scraped, queries: []query{{"amoskys_wal_size_bytes", "log"}, {"amoskys_wal_free_bytes", "free"}}},
				chart{title: "Hosts", unit: plain, about: scraped, stacked: true, queries: []query{{"amoskys_nodes", "{{state}}"}}},
				chart{title: "Damage of the log", unit: plain, about: scraped, queries: []query{
					{"amoskys_wal_open_losses", "losses nobody accepted"}, {"amoskys_wal_quarantined_segments", "segments set aside"},
				}},
				chart{title: "Days to the end of certificates", unit: "d", about: scraped, queries: []query{
					{"(amoskys_certificate_expiry_timestamp_seconds - time()) / 86400", "{{certificate}}"},
				}},
			}},
		},
	}
}

// How far apart readings of agents are that do not come each few seconds.
const (
	healthEvery = "30s"
	deviceEvery = "1m"
)

// processes shows hosts and what runs there.
func processes() board {
	const of = `{host=~"$host"}`
	return board{
		name: "processes", title: "Hosts and processes",
		about: "What runs on hosts. Of the processes of an agent those have series that use most CPU and most memory, and those that it was told to watch.",
		by:    []choice{{"host", "process_cpu_percent", "Host"}},
		rows: []row{
			{"Hosts", []panel{
				chart{title: "CPU of the processes shown", unit: percent, about: "In percent of one core.", stacked: true, queries: []query{{"sum by (host) (process_cpu_percent" + of + ")", "{{host}}"}}},
				chart{title: "Memory of the processes shown", unit: bytesOf, stacked: true, queries: []query{{"sum by (host) (process_memory_bytes" + of + ")", "{{host}}"}}},
			}},
			{"Processes", []panel{
				topOver("CPU of the busiest", percent, "process_cpu_percent"+of),
				ranking{"CPU, mean of the time range", "In percent of one core.", percent, "topk(10, avg_over_time(process_cpu_percent" + of + "[$__range]))", "{{process}} {{pid}} · {{host}}"},
				topOver("Memory of the largest", bytesOf, "process_memory_bytes"+of),
				ranking{"Memory, most in the time range", "", bytesOf, "topk(10, max_over_time(process_memory_bytes" + of + "[$__range]))", "{{process}} {{pid}} · {{host}}"},
				topOver("Open file descriptors", plain, "process_file_descriptors"+of),
				topOver("Threads", plain, "process_thread_count"+of),
				chart{title: "Read from disks", unit: bytesPerSecond, about: "Only in the store.", queries: []query{{"topk(10, rate(process_read_bytes_total" + of + "[$__rate_interval]) > 0)", "{{process}} {{pid}} · {{host}}"}}},
				chart{title: "Written to disks", unit: bytesPerSecond, about: "Only in the store.", queries: []query{{"topk(10, rate(process_write_bytes_total" + of + "[$__rate_interval]) > 0)", "{{process}} {{pid}} · {{host}}"}}},
				chart{title: "Processes by state", unit: plain, wide: true, stacked: true, queries: []query{{"sum by (state) (process_state" + of + ")", "{{state}}"}}},
			}},
		},
	}
}

// topOver are the ten processes with the highest mean of the time range, over time: the
// same ones at each moment.
func topOver(title, unit, metric string) chart {
	return chart{title: title, unit: unit, queries: []query{
		{metric + " and topk(10, avg_over_time(" + metric + "[$__range] @ end()))", "{{process}} {{pid}} · {{host}}"},
	}}
}

// flows shows the traffic that flow agents see.
func flows() board {
	const of = `{host=~"$host"}`
	by := func(label, metric string) string {
		return "sum by (" + label + ") (rate(" + metric + of + "[$__rate_interval]))"
	}
	const of2 = `{host=~"$host", interface=~"$interface"}`
	each := func(label, metric string) string {
		return "sum by (" + label + ") (rate(" + metric + of2 + "[$__rate_interval]))"
	}
	return board{
		name: "flows", title: "Network flows",
		about: "What flow agents see: in is what those who began a flow received, out what they sent.",
		by:    []choice{{"host", "flow_created", "Host"}, {"interface", "flow_bytes_in", "Interface"}},
		rows: []row{
			{"Traffic", []panel{
				chart{title: "In, by interface", unit: bytesPerSecond, every: deviceEvery, stacked: true, queries: []query{{each("host, interface", "flow_bytes_in"), "{{host}} {{interface}}"}}},
				chart{title: "Out, by interface", unit: bytesPerSecond, every: deviceEvery, stacked: true, queries: []query{{each("host, interface", "flow_bytes_out"), "{{host}} {{interface}}"}}},
				chart{title: "In, by what it is", unit: bytesPerSecond, every: deviceEvery, stacked: true, queries: []query{{each("category", "flow_bytes_in"), "{{category}}"}}},
				chart{title: "Out, by what it is", unit: bytesPerSecond, every: deviceEvery, stacked: true, queries: []query{{each("category", "flow_bytes_out"), "{{category}}"}}},
				chart{title: "Packets in", unit: packetsASecond, every: deviceEvery, queries: []query{{each("host, interface", "flow_packets_in"), "{{host}} {{interface}}"}}},
				chart{title: "Packets out", unit: packetsASecond, every: deviceEvery, queries: []query{{each("host, interface", "flow_packets_out"), "{{host}} {{interface}}"}}},
			}},
			{"Flows", []panel{
				chart{title: "Begun", unit: perSecond, every: deviceEvery, queries: []query{{by("host", "flow_created"), "{{host}}"}}},
				chart{title: "Ended, by reason", unit: perSecond, every: deviceEvery, stacked: true, queries: []query{{by("reason", "flow_ended"), "{{reason}}"}}},
				chart{title: "How long they lasted", unit: seconds, every: deviceEvery, wide: true, queries: []query{
					{"histogram_quantile(0.5, sum by (le) (rate(flow_duration_seconds_bucket" + of + "[$__rate_interval])))", "p50"},
					{"histogram_quantile(0.9, sum by (le) (rate(flow_duration_seconds_bucket" + of + "[$__rate_interval])))", "p90"},
					{"histogram_quantile(0.99, sum by (le) (rate(flow_duration_seconds_bucket" + of + "[$__rate_interval])))", "p99"},
				}},
			}},
		},
	}
}

// snmp shows what SNMP reads of devices, and of their interfaces.
func snmp() board {
	const of = `{device=~"$device"}`
	const port = "{{device}} {{ifName}} {{ifAlias}}"
	rate := func(metric string) string { return "rate(" + metric + of + "[$__rate_interval])" }
	topRate := func(metric string) string { return "topk(10, " + rate(metric) + ")" }
	return board{
		name: "snmp", title: "SNMP devices and interfaces",
		about: "What SNMP agents read of devices.",
		by:    []choice{{"device", "snmp_up", "Device"}},
		rows: []row{
			{"Devices", []panel{
				list{"Devices", "", []string{"agent", "host"}, []column{
					{"Answers", plain, "max by (device, ip) (snmp_up" + of + ")"},
					{"Answers in", seconds, "max by (device, ip) (snmp_response_seconds" + of + ")"},
					{"Up for", seconds, "max by (device, ip) (snmp_system_uptime" + of + ")"},
					{"CPU", percent, "max by (device, ip) (snmp_system_cpu_load" + of + ")"},
					{"Interfaces up", plain, "sum by (device, ip) (snmp_interface_up" + of + ")"},
				}},
				chart{title: "CPU", unit: percent, every: deviceEvery, queries: []query{{"snmp_system_cpu_load" + of, "{{device}}"}}},
				chart{title: "Memory in use", unit: share, every: deviceEvery, queries: []query{
					{`snmp_system_memory{device=~"$device", kind="used"} / ignoring (kind) (snmp_system_memory{device=~"$device", kind="total"} > 0)`, "{{device}} {{memory}}"},
				}},
				chart{title: "Storage in use", unit: share, every: deviceEvery, about: "Only in the store.", queries: []query{
					{`snmp_storage_bytes{device=~"$device", kind="used"} / ignoring (kind) (snmp_storage_bytes{device=~"$device", kind="total"} > 0)`, "{{device}} {{storage}}"},
				}},
				chart{title: "Sensors", unit: plain, every: deviceEvery, about: "Each in its own unit. Only in the store.", queries: []query{{"snmp_sensor" + of, "{{device}} {{sensor}} {{unit}}"}}},
			}},
			{"Interfaces", []panel{
				chart{title: "In, the ten busiest", unit: bytesPerSecond, every: deviceEvery, queries: []query{{topRate("snmp_interface_bytes_in"), port}}},
				chart{title: "Out, the ten busiest", unit: bytesPerSecond, every: deviceEvery, queries: []query{{topRate("snmp_interface_bytes_out"), port}}},
				chart{title: "Errors", unit: packetsASecond, every: deviceEvery, queries: []query{{rate("snmp_interface_errors") + " > 0", port + " {{direction}}"}}},
				chart{title: "Dropped", unit: packetsASecond, every: deviceEvery, about: "Only in the store.", queries: []query{{rate("snmp_interface_discards") + " > 0", port + " {{direction}}"}}},
				chart{title: "Packets in, the ten busiest", unit: packetsASecond, every: deviceEvery, about: "Only in the store.", queries: []query{{topRate("snmp_interface_packets_in"), port}}},
				chart{title: "Packets out, the ten busiest", unit: packetsASecond, every: deviceEvery, about: "Only in the store.", queries: []query{{topRate("snmp_interface_packets_out"), port}}},
				chart{title: "Interfaces that are down", unit: plain, every: deviceEvery, wide: true, queries: []query{{"count by (device) (snmp_interface_up" + of + " == 0)", "{{device}}"}}},
			}},
		},
	}
}

// devices shows the inventory of devices.
func devices() board {
	return board{
		name: "devices", title: "Device inventory",
		about: "What is on the network, as scanners hear and find it.",
		by:    []choice{{"host", "device_count", "Scanner's host"}},
		rows: []row{
			{"Now", []panel{
				figure{"Devices", "That are not gone.", plain, `sum(device_count{host=~"$host"})`, 0, 0, false},
				figure{"Seen lately", "", plain, `sum(device_up{host=~"$host"})`, 0, 0, false},
				figure{"Not seen lately", "", plain, `count(device_up{host=~"$host"} == 0)`, 0, 0, false},
				figure{"Open ports", "Of all devices.", plain, `sum(device_open_ports{host=~"$host"})`, 0, 0, false},
				figure{"Classes", "Kinds of devices that there are.", plain, `count(count by (class) (device_count{host=~"$host"} > 0))`, 0, 0, false},
				figure{"Scanners", "Agents that tell of devices.", plain, `count(count by (agent, host) (device_count{host=~"$host"}))`, 0, 0, false},
			}},
			{"Devices", []panel{
				chart{title: "By class", unit: plain, every: deviceEvery, stacked: true, queries: []query{{`sum by (class) (device_count{host=~"$host"})`, "{{class}}"}}},
				chart{title: "Seen lately", unit: plain, every: deviceEvery, queries: []query{{`sum by (host) (device_up{host=~"$host"})`, "{{host}}"}, {`count by (host) (device_up{host=~"$host"} == 0)`, "{{host}}, not seen"}}},
				ranking{"Most open ports", "", plain, `topk(10, device_open_ports{host=~"$host"})`, "{{ip}} {{mac}}"},
				chart{title: "Open ports", unit: plain, every: deviceEvery, queries: []query{{`sum by (host) (device_open_ports{host=~"$host"})`, "{{host}}"}}},
				list{"All of them", "", []string{"agent"}, []column{
					{"Seen", plain, `max by (host, ip, mac) (device_up{host=~"$host"})`},
					{"Open ports", plain, `max by (host, ip, mac) (device_open_ports{host=~"$host"})`},
					{"Last seen before", seconds, `time() - max by (host, ip, mac) (device_last_seen_timestamp_seconds{host=~"$host"})`},
				}},
			}},
		},
	}
}

// agents shows how agents are.
func agents() board {
	const of = `{host=~"$host", kind=~"$kind"}`
	const who = "{{agent}} · {{host}}"
	return board{
		name: "agents", title: "Agents",
		about: "How agents are, as each tells of itself every half minute.",
		by:    []choice{{"host", "amoskys_agent_uptime_seconds", "Host"}, {"kind", "amoskys_agent_uptime_seconds", "Kind"}},
		rows: []row{
			{"Now", []panel{
				figure{"Agents", "That told how they are in the last minutes.", plain, "count(amoskys_agent_uptime_seconds" + of + ")", 0, 0, false},
				figure{"With trouble", "Of which something needs attention.", plain, "sum(amoskys_agent_degraded" + of + ")", 1, 0, false},
				figure{"Events a second", "", eventsASecond, "sum(rate(amoskys_agent_events_total" + of + "[$__rate_interval]))", 0, 0, false},
				figure{"Lost events", "In the time range: lost on their machines.", plain, "sum(increase(amoskys_agent_events_dropped_total" + of + "[$__range]))", 1, 0, false},
				figure{"Events in spools", "That wait for the hub.", plain, "sum(amoskys_agent_spool_events" + of + ")", 10_000, 1_000_000, false},
				figure{"Hosts", "", plain, "count(count by (host) (amoskys_agent_uptime_seconds" + of + "))", 0, 0, false},
			}},
			{"Events", []panel{
				chart{title: "Published", unit: eventsASecond, every: healthEvery, queries: []query{{"rate(amoskys_agent_events_total" + of + "[$__rate_interval])", who}}},
				chart{title: "Lost or refused", unit: eventsASecond, every: healthEvery, queries: []query{
					{"rate(amoskys_agent_events_dropped_total" + of + "[$__rate_interval]) > 0", who + ", lost"},
					{"rate(amoskys_agent_errors_total" + of + "[$__rate_interval]) > 0", who + ", lost or refused"},
				}},
				chart{title: "Events in spools", unit: plain, every: healthEvery, queries: []query{{"amoskys_agent_spool_events" + of, who}}},
				chart{title: "Spools on disk", unit: bytesOf, every: healthEvery, queries: []query{{"amoskys_agent_spool_bytes" + of, who}}},
			}},
			{"What they use", []panel{
				chart{title: "CPU", unit: percent, about: "In percent of one core.", every: healthEvery, queries: []query{{"amoskys_agent_cpu_percent" + of, who}}},
				chart{title: "Memory", unit: bytesOf, every: healthEvery, queries: []query{{"amoskys_agent_memory_bytes" + of, who}}},
				list{"All of them", "", []string{"kind"}, []column{
					{"Up for", seconds, "max by (agent, host) (amoskys_agent_uptime_seconds" + of + ")"},
					{"Trouble", plain, "max by (agent, host) (amoskys_agent_degraded" + of + ")"},
					{"Events a second", eventsASecond, "sum by (agent, host) (rate(amoskys_agent_events_total" + of + "[5m]))"},
					{"CPU", percent, "max by (agent, host) (amoskys_agent_cpu_percent" + of + ")"},
					{"Memory", bytesOf, "max by (agent, host) (amoskys_agent_memory_bytes" + of + ")"},
				}},
			}},
		},
	}
}

// store shows the store: events, metrics, devices, and who asks.
func store() board {
	rate := func(metric string) string { return "rate(" + metric + "[$__rate_interval])" }
	quantile := func(q, metric string) string {
		return "histogram_quantile(" + q + ", sum by (le) (rate(" + metric + "_bucket[$__rate_interval])))"
	}
	return board{
		name: "store", title: "Store",
		about: "The store of events, of metrics and of devices, as it tells on port 9092. " + scraped,
		rows: []row{
			{"Now", []panel{
				figure{"Stored events", "That are durable.", plain, "sum(amoskys_store_stored_events)", 0, 0, false},
				figure{"Events behind", "Of the log, that the store does not have yet.", plain, "sum(amoskys_store_lag_events)", 100_000, 10_000_000, false},
				figure{"Series", "In the head of the database of metrics, of those that have room (tsdb.max_series).", share, "max(amoskys_metrics_series / amoskys_metrics_series_limit)", 0.8, 1, false},
				figure{"Metrics on disk", "", bytesOf, "sum(amoskys_metrics_bytes)", 0, 0, false},
				figure{"Set aside", "Parts of the metrics that are damaged or of a newer version.", plain, "sum(amoskys_metrics_set_aside)", 1, 0, false},
				figure{"Takes nothing", "1 while its disk is nearly full.", plain, "max(amoskys_store_read_only)", 0, 1, false},
			}},
			{"Events", []panel{
				chart{title: "Taken in", unit: eventsASecond, queries: []query{
					{rate("amoskys_store_events_total"), "stored"}, {rate("amoskys_store_thinned_events_total"), "readings, in the metrics alone"},
				}},
				chart{title: "Behind the log", unit: plain, queries: []query{{"amoskys_store_lag_events", "events"}}},
				chart{title: "Until the engine has a batch", unit: seconds, queries: []query{
					{quantile("0.5", "amoskys_store_insert_seconds"), "p50"}, {quantile("0.99", "amoskys_store_insert_seconds"), "p99"},
				}},
				chart{title: "Until all is durable", unit: seconds, queries: []query{
					{quantile("0.5", "amoskys_store_barrier_seconds"), "p50"}, {quantile("0.99", "amoskys_store_barrier_seconds"), "p99"},
				}},
				chart{title: "Not stored", unit: eventsASecond, queries: []query{{"sum by (reason) (" + rate("amoskys_store_dropped_events_total") + ")", "{{reason}}"}}},
				chart{title: "Rows given to the engine", unit: bytesPerSecond, queries: []query{{rate("amoskys_store_ingest_bytes_total"), "rows"}}},
			}},
			{"Metrics", []panel{
				chart{title: "Samples", unit: perSecond, queries: []query{{rate("amoskys_metrics_samples_total"), "written"}}},
				chart{title: "Samples left out", unit: perSecond, queries: []query{{"sum by (reason) (" + rate("amoskys_metrics_dropped_samples_total") + ")", "{{reason}}"}}},
				chart{title: "Series in the head", unit: plain, queries: []query{{"amoskys_metrics_series", "series"}}},
				chart{title: "On disk", unit: bytesOf, queries: []query{{"amoskys_metrics_bytes", "all"}, {"amoskys_metrics_head_bytes", "of it the head"}}},
			}},
			{"Questions", []panel{
				chart{title: "About metrics, by what came of them", unit: perSecond, stacked: true, queries: []query{{"sum by (result) (" + rate("amoskys_promql_questions_total") + ")", "{{result}}"}}},
				chart{title: "Until a question is answered", unit: seconds, exemplars: true, about: "Of all calls. Points are single ones: those of a second and more are in the store's log under that name.", queries: []query{
					{quantile("0.5", "amoskys_store_question_seconds"), "p50"}, {quantile("0.99", "amoskys_store_question_seconds"), "p99"},
				}},
				chart{title: "Answers in memory", unit: bytesOf, queries: []query{{"amoskys_store_answer_bytes", "bytes"}}},
			}},
		},
	}
}
