package event

import "slices"

// row maps one attribute. Path is where it lies in the Event message, with
// dots between field names; ECS and OCSF are its names in those schemas, empty
// where they have none. Short is what people type in a query, where that is
// another word.
type row struct {
	Path, ECS, OCSF, Short string
}

// rows returns the whole mapping, envelope first. A test checks that every
// leaf of the Event message is in it once.
func rows() []row {
	return slices.Concat(
		envelopeRows(), processActivityRows(), networkRows(), fileRows(), authRows(),
		deviceRows(), snmpRows(), metricRows(), findingRows(), healthRows(), auditRows(),
	)
}

func envelopeRows() []row {
	return []row{
		{"id", "event.id", "metadata.uid", "id"},
		{"time", "@timestamp", "time", "time"},
		{"type", "event.action", "type_name", "type"},
		{"severity", "log.level", "severity", "severity"},
		{"message", "message", "message", "message"},
		{"agent.id", "agent.id", "metadata.product.uid", "agent"},
		{"agent.kind", "agent.type", "metadata.product.name", ""},
		{"agent.version", "agent.version", "metadata.product.version", ""},
		{"host.name", "host.name", "device.hostname", "host"},
		{"host.id", "host.id", "device.uid", ""},
		{"host.ip", "host.ip", "device.ip", ""},
		{"host.os_type", "host.os.type", "device.os.type", ""},
		{"host.os_version", "host.os.version", "device.os.version", ""},
		{"host.arch", "host.architecture", "device.hw_info.cpu_architecture", ""},
		{"labels", "labels", "metadata.labels", ""},
		{"observer.name", "observer.name", "observer.hostname", "observer"},
		{"observer.id", "observer.id", "observer.uid", ""},
		{"observer.ip", "observer.ip", "", ""},
		{"observer.os_type", "observer.os.type", "", ""},
		{"observer.os_version", "observer.os.version", "", ""},
		{"observer.arch", "observer.architecture", "", ""},
		{"about.uid", "about.id", "", ""},
		{"about.name", "about.name", "", "about"},
		{"about.ip", "about.ip", "", ""},
		{"about.mac", "about.mac", "", ""},
		{"about.type", "about.type", "", ""},
		{"publisher", "publisher", "metadata.log_provider", "publisher"},
		{"metrics_only", "metrics_only", "", ""},
	}
}

func processActivityRows() []row {
	const u, p = "process.usage.", "process.process.usage."
	return slices.Concat(
		[]row{{"process.action", "event.type", "activity_name", "action"}},
		processRows("process.process", "process", "process", "pid"),
		processRows("process.parent", "process.parent", "process.parent_process", ""),
		[]row{
			{"process.exit_code", "process.exit_code", "exit_code", ""},
			{"process.exit_signal", "process.exit_signal", "exit_signal", ""},
			{u + "cpu_percent", "process.cpu.percent", p + "cpu_percent", "cpu"},
			{u + "rss_bytes", "process.memory.rss.bytes", p + "rss_bytes", "rss"},
			{u + "vsz_bytes", "process.memory.size.bytes", p + "vsz_bytes", "vsz"},
			{u + "file_descriptors", "process.open_file_descriptors", p + "file_descriptors", "fds"},
			{u + "threads", "process.thread.count", p + "threads", "threads"},
			{u + "state", "process.state", p + "state", "state"},
			{u + "cpu_user", "process.cpu.user.seconds", p + "cpu_user", ""},
			{u + "cpu_system", "process.cpu.system.seconds", p + "cpu_system", ""},
			{u + "read_bytes", "process.io.read_bytes", p + "read_bytes", ""},
			{u + "write_bytes", "process.io.write_bytes", p + "write_bytes", ""},
		})
}

// processRows maps a Process message found at path.
func processRows(path, ecs, ocsf, short string) []row {
	rs := []row{
		{path + ".pid", ecs + ".pid", ocsf + ".pid", short},
		{path + ".uid", ecs + ".entity_id", ocsf + ".uid", ""},
		{path + ".ppid", ecs + ".ppid", ocsf + ".ppid", ""},
		{path + ".name", ecs + ".name", ocsf + ".name", ""},
		{path + ".executable", ecs + ".executable", ocsf + ".file.path", ""},
		{path + ".cmd_line", ecs + ".command_line", ocsf + ".cmd_line", ""},
		{path + ".args", ecs + ".args", ocsf + ".args", ""},
		{path + ".working_directory", ecs + ".working_directory", ocsf + ".working_directory", ""},
		{path + ".created_time", ecs + ".start", ocsf + ".created_time", ""},
		{path + ".session_id", ecs + ".session_id", ocsf + ".session.uid", ""},
		{path + ".tty", ecs + ".tty", ocsf + ".session.terminal", ""},
		{path + ".container_id", ecs + ".container.id", ocsf + ".container.uid", ""},
		{path + ".pod_uid", ecs + ".pod.uid", ocsf + ".container.pod_uuid", ""},
		{path + ".cgroup", ecs + ".cgroup", ocsf + ".cgroup", ""},
	}
	rs = append(rs, userRows(path+".user", ecs+".user", ocsf+".user")...)
	return append(rs, hashRows(path+".hash", ecs+".hash", ocsf+".file.hashes")...)
}

func userRows(path, ecs, ocsf string) []row {
	return []row{
		{path + ".name", ecs + ".name", ocsf + ".name", ""},
		{path + ".uid", ecs + ".id", ocsf + ".uid", ""},
		{path + ".group_name", ecs + ".group.name", ocsf + ".groups.name", ""},
		{path + ".gid", ecs + ".group.id", ocsf + ".groups.uid", ""},
	}
}

func hashRows(path, ecs, ocsf string) []row {
	return []row{
		{path + ".sha256", ecs + ".sha256", ocsf + ".sha256", ""},
		{path + ".sha1", ecs + ".sha1", ocsf + ".sha1", ""},
		{path + ".md5", ecs + ".md5", ocsf + ".md5", ""},
	}
}

func endpointRows(path, ecs, ocsf string) []row {
	return []row{
		{path + ".ip", ecs + ".ip", ocsf + ".ip", ""},
		{path + ".port", ecs + ".port", ocsf + ".port", ""},
		{path + ".hostname", ecs + ".domain", ocsf + ".hostname", ""},
		{path + ".mac", ecs + ".mac", ocsf + ".mac", ""},
		{path + ".interface_name", ecs + ".interface.name", ocsf + ".interface_name", ""},
		{path + ".vlan_id", ecs + ".vlan.id", ocsf + ".vlan_uid", ""},
		{path + ".country", ecs + ".geo.country_iso_code", ocsf + ".location.country", ""},
		{path + ".as_number", ecs + ".as.number", ocsf + ".autonomous_system.number", ""},
		{path + ".as_organization", ecs + ".as.organization.name", ocsf + ".autonomous_system.name", ""},
	}
}

func networkRows() []row {
	return slices.Concat(
		endpointRows("network.src_endpoint", "source", "src_endpoint"),
		endpointRows("network.dst_endpoint", "destination", "dst_endpoint"),
		[]row{
			{"network.protocol_name", "network.transport", "connection_info.protocol_name", "protocol"},
			{"network.protocol_number", "network.iana_number", "connection_info.protocol_num", ""},
			{"network.direction", "network.direction", "connection_info.direction", ""},
			{"network.community_id", "network.community_id", "connection_info.community_uid", ""},
			{"network.start_time", "event.start", "start_time", ""},
			{"network.end_time", "event.end", "end_time", ""},
			{"network.bytes_in", "destination.bytes", "traffic.bytes_in", ""},
			{"network.bytes_out", "source.bytes", "traffic.bytes_out", ""},
			{"network.packets_in", "destination.packets", "traffic.packets_in", ""},
			{"network.packets_out", "source.packets", "traffic.packets_out", ""},
			{"network.app_name", "network.application", "app_name", "app"},
			{"network.category", "network.category", "category", ""},
			{"network.tcp_state", "network.tcp_state", "connection_info.tcp_state", ""},
			{"network.tls.version", "tls.version", "tls.version", ""},
			{"network.tls.sni", "tls.client.server_name", "tls.sni", ""},
			{"network.tls.alpn", "tls.next_protocol", "tls.alpn", ""},
			{"network.tls.cipher", "tls.cipher", "tls.cipher", ""},
			{"network.tls.ja4", "tls.client.ja4", "tls.ja4_fingerprint", ""},
			{"network.tls.ja4s", "tls.server.ja4s", "tls.ja4s_fingerprint", ""},
			{"network.tls.certificate_subject", "tls.server.subject", "tls.certificate.subject", ""},
			{"network.tls.certificate_issuer", "tls.server.issuer", "tls.certificate.issuer", ""},
			{"network.tls.certificate_not_after", "tls.server.not_after", "tls.certificate.expiration_time", ""},
			{"network.tls.certificate_sha256", "tls.server.hash.sha256", "tls.certificate.fingerprints.value", ""},
			{"network.dns_answers.type", "dns.answers.type", "answers.type", ""},
			{"network.dns_answers.rdata", "dns.answers.data", "answers.rdata", ""},
			{"network.dns_answers.ttl", "dns.answers.ttl", "answers.ttl", ""},
			{"network.dns_query", "dns.question.name", "query.hostname", ""},
			{"network.end_reason", "event.reason", "status_detail", ""},
		},
		flowRows(),
		protocolRows(),
		processRows("network.process", "network.process", "actor.process", ""),
	)
}

// flowRows are what a flow agent measures beyond a connection's ends and sizes.
func flowRows() []row {
	const n, c = "network.", "connection_info."
	return []row{
		{n + "payload_bytes_in", "destination.payload_bytes", "traffic.payload_bytes_in", ""},
		{n + "payload_bytes_out", "source.payload_bytes", "traffic.payload_bytes_out", ""},
		{n + "tcp_flags_in", "destination.tcp_flags", c + "tcp_flags_in", ""},
		{n + "tcp_flags_out", "source.tcp_flags", c + "tcp_flags_out", ""},
		{n + "retransmissions_in", "destination.retransmissions", "traffic.retransmissions_in", ""},
		{n + "retransmissions_out", "source.retransmissions", "traffic.retransmissions_out", ""},
		{n + "round_trip_time", "network.round_trip_time", c + "round_trip_time", "rtt"},
		{n + "closed_by", "network.closed_by", c + "closed_by", ""},
		{n + "one_sided", "network.one_sided", c + "one_sided", ""},
		{n + "midstream", "network.midstream", c + "midstream", ""},
		{n + "app_confidence", "network.application_confidence", "app_confidence", ""},
		{n + "tunnels", "network.tunnels", c + "tunnels", ""},
		{n + "icmp_type", "network.icmp.type", c + "icmp_type", ""},
		{n + "icmp_code", "network.icmp.code", c + "icmp_code", ""},
		{n + "payload_entropy", "network.payload_entropy", "traffic.payload_entropy", ""},
		{n + "payload_lengths", "network.payload_lengths", "traffic.payload_lengths", ""},
		{n + "sampling_rate", "network.sampling_rate", "traffic.sampling_rate", ""},
		{n + "exporter_ip", "network.exporter.ip", c + "exporter_ip", ""},
	}
}

// protocolRows are what a flow agent reads in the payload.
func protocolRows() []row {
	const n = "network."
	return []row{
		{n + "tls.certificate_not_before", "tls.server.not_before", "tls.certificate.created_time", ""},
		{n + "tls.ja3", "tls.client.ja3", "tls.ja3_hash.value", ""},
		{n + "tls.ech", "tls.client.ech", "tls.ech", ""},
		{n + "tls.certificate_self_signed", "tls.server.self_signed", "tls.certificate.is_self_signed", ""},
		{n + "http.version", "http.version", "http_request.version", ""},
		{n + "http.method", "http.request.method", "http_request.http_method", ""},
		{n + "http.host", "url.domain", "http_request.url.hostname", ""},
		{n + "http.url", "url.original", "http_request.url.url_string", "url"},
		{n + "http.user_agent", "user_agent.original", "http_request.user_agent", ""},
		{n + "http.status_code", "http.response.status_code", "http_response.code", ""},
		{n + "http.server", "http.response.server", "http_response.server", ""},
		{n + "http.content_type", "http.response.mime_type", "http_response.content_type", ""},
		{n + "ssh.client_version", "ssh.client.version", "ssh.client_version", ""},
		{n + "ssh.server_version", "ssh.server.version", "ssh.server_version", ""},
		{n + "ssh.hassh", "ssh.client.hassh", "client_hassh.fingerprint.value", ""},
		{n + "ssh.hassh_server", "ssh.server.hassh", "server_hassh.fingerprint.value", ""},
		{n + "dhcp.message_type", "dhcp.message_type", "dhcp.type", ""},
		{n + "dhcp.client_mac", "dhcp.client.mac", "dhcp.client_mac", ""},
		{n + "dhcp.hostname", "dhcp.client.hostname", "dhcp.hostname", ""},
		{n + "dhcp.vendor_class", "dhcp.client.vendor_class", "dhcp.vendor_class", ""},
		{n + "dhcp.requested_ip", "dhcp.requested_ip", "dhcp.requested_ip", ""},
		{n + "dhcp.assigned_ip", "dhcp.assigned_ip", "dhcp.assigned_ip", ""},
		{n + "dhcp.server_ip", "dhcp.server.ip", "dhcp.server_ip", ""},
		{n + "dhcp.parameters", "dhcp.client.parameters", "dhcp.parameters", ""},
		{n + "quic.version", "quic.version", "quic.version", ""},
		{n + "quic.user_agent", "quic.user_agent", "quic.user_agent", ""},
		{n + "dns_query_type", "dns.question.type", "query.type", ""},
		{n + "dns_response_code", "dns.response_code", "rcode", ""},
		{n + "dns_latency", "dns.latency", "query.latency", ""},
	}
}

func fileRows() []row {
	one := func(path, ecs, ocsf string) []row {
		rs := []row{
			{path + ".path", ecs + ".path", ocsf + ".path", ""},
			{path + ".name", ecs + ".name", ocsf + ".name", ""},
			{path + ".size_bytes", ecs + ".size", ocsf + ".size", ""},
			{path + ".mode", ecs + ".mode", ocsf + ".mode", ""},
			{path + ".modified_time", ecs + ".mtime", ocsf + ".modified_time", ""},
			{path + ".type", ecs + ".type", ocsf + ".type", ""},
		}
		rs = append(rs, userRows(path+".owner", ecs+".owner", ocsf+".owner")...)
		return append(rs, hashRows(path+".hash", ecs+".hash", ocsf+".hashes")...)
	}
	return slices.Concat(
		[]row{{"file.action", "file.action", "file.activity_name", ""}},
		one("file.file", "file", "file"),
		one("file.file_result", "file.target", "file_result"),
		processRows("file.actor", "file.process", "file.actor.process", ""),
	)
}

func authRows() []row {
	return slices.Concat(
		[]row{
			{"authentication.action", "authentication.action", "authentication.activity_name", ""},
			{"authentication.status", "event.outcome", "status", "outcome"},
			{"authentication.status_detail", "error.message", "authentication.status_detail", ""},
			{"authentication.service", "service.name", "service.name", "service"},
			{"authentication.auth_protocol", "authentication.protocol", "auth_protocol", ""},
			{"authentication.logon_type", "authentication.logon_type", "logon_type", ""},
		},
		userRows("authentication.user", "user", "user"),
		endpointRows("authentication.src_endpoint", "client", "authentication.src_endpoint"),
		processRows("authentication.actor", "authentication.process", "authentication.actor.process", ""),
	)
}

func deviceRows() []row {
	const d = "device."
	rs := []row{
		{d + "uid", "device.id", "device.inventory.uid", ""},
		{d + "ip", "device.ip", "device.inventory.ip", ""},
		{d + "mac", "device.mac", "device.mac", "device.mac_address"},
		{d + "hostname", "device.hostname", "device.inventory.hostname", ""},
		{d + "vendor", "device.manufacturer", "device.vendor_name", "vendor"},
		{d + "os_name", "device.os.name", "device.inventory.os.name", "device.os_type"},
		{d + "os_version", "device.os.version", "device.inventory.os.version", ""},
		{d + "device_class", "device.class", "device.type", ""},
		{d + "ports.port", "device.ports.port", "device.open_ports.port", "device.open_ports"},
		{d + "ports.protocol", "device.ports.protocol", "device.open_ports.protocol", ""},
		{d + "ports.service", "device.ports.service", "device.open_ports.service", "device.services"},
		{d + "ports.product", "device.ports.product", "device.open_ports.product", ""},
		{d + "ports.version", "device.ports.version", "device.open_ports.version", ""},
		{d + "ports.banner", "device.ports.banner", "device.open_ports.banner", ""},
		{d + "first_seen_time", "device.first_seen", "device.first_seen_time", ""},
		{d + "last_seen_time", "device.last_seen", "device.last_seen_time", ""},
		{d + "changed", "device.changed", "device.changed", ""},
		{d + "confidence", "device.confidence", "confidence", ""},
		{d + "subnet", "device.subnet", "device.subnet", ""},
		{d + "model", "device.model.name", "device.model", ""},
		{d + "serial_number", "device.serial_number", "device.hw_info.serial_number", ""},
	}
	return slices.Concat(rs,
		plainRows(d,
			"engine_id", "names", "sources", "mac_randomized", "cpe", "aliases", "evidence", "former_uids",
			"ports.cpe", "ports.title", "ports.server", "ports.favicon_sha256", "ports.host_key", "ports.remarks",
			"ports.tls_version", "ports.certificate_subject", "ports.certificate_issuer", "ports.certificate_not_after",
			"ports.certificate_sha256", "ports.certificate_self_signed"),
		plainRows(d+"plugged.",
			"device_uid", "device_name", "device_ip", "if_index", "port", "vlan", "mac", "source", "since_time", "until_time"),
		linkRows(d+"links"),
	)
}

// linkRows are those of a DeviceLink at path.
func linkRows(path string) []row {
	return plainRows(path+".",
		"source", "if_index", "port", "device_uid", "name", "ip", "mac", "remote_port", "capabilities", "description")
}

// plainRows are of attributes whose path is their name everywhere.
func plainRows(prefix string, names ...string) []row {
	rs := make([]row, len(names))
	for i, n := range names {
		rs[i] = row{prefix + n, prefix + n, "", ""}
	}
	return rs
}

func snmpRows() []row {
	return slices.Concat(
		plainRows("snmp.",
			"target", "sys_name", "sys_object_id", "vendor", "os_name", "os_version", "hardware", "uptime",
			"cpu_percent", "response_time", "error", "location", "contact", "serial_number", "engine_id", "sys_descr",
			"memory.name", "memory.used_bytes", "memory.total_bytes",
			"storage.name", "storage.used_bytes", "storage.total_bytes",
			"sensors.name", "sensors.kind", "sensors.value", "sensors.unit", "sensors.status",
			"bgp_peers.ip", "bgp_peers.asn", "bgp_peers.state", "bgp_peers.established",
			"trap_oid", "trap_name", "trap_values", "incomplete"),
		plainRows("snmp.interfaces.",
			"index", "name", "alias", "speed_bps", "admin_status", "oper_status", "bytes_in", "bytes_out",
			"packets_in", "packets_out", "errors_in", "errors_out", "discards_in", "discards_out", "mac", "type",
			"bytes_in_per_second", "bytes_out_per_second", "errors_per_second", "poe_watts"),
		linkRows("snmp.neighbors"),
	)
}

func metricRows() []row {
	const m = "metrics.metrics."
	return []row{
		{m + "name", "metric.name", "", ""},
		{m + "labels", "metric.labels", "", ""},
		{m + "type", "metric.type", "", ""},
		{m + "value", "metric.value", "", ""},
		{m + "unit", "metric.unit", "", ""},
	}
}

func findingRows() []row {
	const f = "finding."
	return []row{
		{f + "uid", "finding.id", "finding_info.uid", ""},
		{f + "title", "finding.title", "finding_info.title", ""},
		{f + "description", "finding.description", "finding_info.desc", ""},
		{f + "rule_id", "rule.id", "finding_info.analytic.uid", ""},
		{f + "rule_name", "rule.name", "finding_info.analytic.name", "rule"},
		{f + "tactics", "threat.tactic.name", "finding_info.attacks.tactic.name", ""},
		{f + "techniques", "threat.technique.id", "finding_info.attacks.technique.uid", "technique"},
		{f + "risk_score", "event.risk_score", "risk_score", ""},
		{f + "confidence", "finding.confidence", "confidence_score", ""},
		{f + "evidence", "finding.evidence", "evidences.uid", ""},
		{f + "observables", "finding.observables", "observables", ""},
		{f + "model", "finding.model", "finding_info.analytic.type", ""},
		{f + "false_positives", "finding.false_positives", "finding_info.false_positives", ""},
		{f + "status", "finding.status", "finding.status", ""},
	}
}

func healthRows() []row {
	rs := make([]row, 0, 23)
	for _, n := range []string{
		"state", "detail", "uptime", "events_total", "events_dropped_total", "spool_bytes", "spool_events",
		"cpu_percent", "rss_bytes", "errors_total",
	} {
		rs = append(rs, row{"agent_health." + n, "agent_health." + n, "", ""})
	}
	for _, n := range []string{
		"endpoint", "reachable", "status", "queue_depth", "probe_latency", "connections", "errors_total",
		"throughput_eps", "log_state", "log_bytes", "log_next_offset", "error", "log_integrity",
	} {
		rs = append(rs, row{"hub_health." + n, "hub_health." + n, "", ""})
	}
	return rs
}

func auditRows() []row {
	const a = "audit."
	return []row{
		{a + "actor", "audit.actor", "actor.user.name", ""},
		{a + "operation", "audit.operation", "api.operation", ""},
		{a + "target", "audit.target", "resources.name", ""},
		{a + "success", "audit.success", "status_id", ""},
		{a + "detail", "audit.detail", "api.response.message", ""},
		{a + "src_ip", "audit.src_ip", "audit.src_endpoint.ip", ""},
	}
}
