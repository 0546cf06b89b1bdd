package findings

import (
	"fmt"
	"strconv"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// about writes an estimate.
func about(n float64) string {
	switch {
	case n >= sketchFull:
		return "more than " + strconv.Itoa(sketchFull)
	case n < 20:
		return strconv.Itoa(int(n))
	}
	return "about " + strconv.Itoa(int(n))
}

// span writes a time in seconds.
func span(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func endpoint(a packet.Addr, port uint16) string {
	addr := a.IP()
	if port == 0 {
		return addr.String()
	}
	return fmt.Sprintf("%s port %d", addr, port)
}

func (e *standing) so() string {
	return fmt.Sprintf(" Probes since %s: %d.", time.Unix(0, e.first).UTC().Format(time.RFC3339), e.count)
}

func describeScan(e *standing) string {
	within := span(e.numbers[2])
	switch {
	case e.name == "port_scan":
		return fmt.Sprintf("%s tried %s ports of %s by %s within %s, and most led to no conversation; the last was port %d.",
			e.source.IP(), about(e.numbers[0]), e.against.IP(), e.method, within, e.port) + e.so()
	case e.port != 0:
		return fmt.Sprintf("%s tried port %d of %s hosts by %s within %s, and most led to no conversation; the last was %s.",
			e.source.IP(), e.port, about(e.numbers[0]), e.method, within, e.against.IP()) + e.so()
	}
	return fmt.Sprintf("%s tried %s ports of %s hosts by %s within %s, and most led to no conversation; the last was %s.",
		e.source.IP(), about(e.numbers[3]), about(e.numbers[0]), e.method, within, e.against.IP()) + e.so()
}

func describeStealth(e *standing) string {
	return fmt.Sprintf("%s sent %s ports segments with neither SYN nor ACK (%s) within %s; the last was %s.",
		e.source.IP(), about(e.numbers[0]), e.method, span(e.numbers[2]), endpoint(e.against, e.port)) + e.so()
}

func describePing(e *standing) string {
	return fmt.Sprintf("%s pinged %s hosts within %s, of which %s answered; the last was %s.",
		e.source.IP(), about(e.numbers[0]), span(e.numbers[2]), about(e.numbers[1]), e.against.IP()) + e.so()
}

func describeFlood(e *standing) string {
	what := "packets that nobody answers"
	if e.kind == SYNFlood {
		what = "SYNs that open no connection"
	}
	return fmt.Sprintf("%s is sent %.0f %s a second, from %s sources, such as %s. Packets since %s: %d.",
		endpoint(e.target, e.shownPort()), e.numbers[0], what, about(e.numbers[1]), e.against.IP(),
		time.Unix(0, e.first).UTC().Format(time.RFC3339), e.count)
}

func (e *standing) shownPort() uint16 {
	if e.kind == ICMPFlood {
		return 0
	}
	return e.port
}

func describeLogin(e *standing) string {
	user := "without a name"
	if e.user != "" {
		user = fmt.Sprintf("as %q", e.user)
	}
	return fmt.Sprintf("%s logged in to %s by %s %s, and the password could be read on the way. Logins: %d. The password is not kept.",
		e.source.IP(), endpoint(e.target, e.port), e.method, user, e.count)
}

func describeCertificate(e *standing) string {
	what := "is signed by its own key"
	switch e.kind {
	case CertificateExpired:
		what = fmt.Sprintf("expired %.0f days before", e.numbers[0])
	case CertificateNotYetValid:
		what = fmt.Sprintf("becomes valid %.0f days later", e.numbers[0])
	default:
	}
	asked := ""
	if e.user != "" {
		asked = fmt.Sprintf(" (asked for as %s)", e.user)
	}
	return fmt.Sprintf("The certificate of %s%s, %q, %s. Connections: %d, such as from %s.",
		endpoint(e.target, e.port), asked, e.method, what, e.count, e.against.IP())
}

// observables name the things of a finding by the attributes of events.
func (e *standing) observables() map[string]string {
	o := map[string]string{}
	put := func(key, value string) {
		if value != "" {
			o[key] = value
		}
	}
	address := func(key string, a packet.Addr) {
		if a != (packet.Addr{}) {
			o[key] = a.IP().String()
		}
	}
	source, target := e.source, e.target
	if source == (packet.Addr{}) {
		source = e.against
	} else if target == (packet.Addr{}) {
		target = e.against
	}
	address("source.ip", source)
	address("destination.ip", target)
	if e.port != 0 && e.kind != ICMPFlood {
		o["destination.port"] = strconv.Itoa(int(e.port))
	}
	switch e.protocol {
	case protoTCP:
		o["network.transport"] = "tcp"
	case protoUDP:
		o["network.transport"] = "udp"
	case protoICMP, protoICMPv6:
		o["network.transport"] = "icmp"
	}
	switch e.kind {
	case DNSTunnel:
		put("dns.question.name", e.name)
	case GeneratedDomains:
		put("dns.question.name", e.method)
	case QuietInterface, OnlyBroadcasts, OneDirection:
		put("observer.ingress.interface.name", e.name)
	case CleartextLogin:
		put("user.name", e.user)
		put("network.protocol", e.method)
	case CertificateExpired, CertificateNotYetValid, CertificateSelfSigned:
		put("tls.server.hash.sha256", e.name)
		put("tls.server.subject", e.method)
		put("tls.client.server_name", e.user)
	default:
	}
	return o
}
