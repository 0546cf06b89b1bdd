package service

import (
	"maps"
	"slices"
	"time"
)

// decoder speaks a protocol on a connection on which nothing was said, and returns what
// it learnt: nothing where the peer does not speak it.
type decoder func(q *inquiry, l *line) Facts

const (
	decoderTLS    = "tls"
	decoderPJL    = "pjl"
	decoderBanner = "banner"
)

// decoders are the protocols that patterns over bytes cannot read.
func decoders() map[string]decoder {
	return map[string]decoder{
		decoderBanner: greeting,
		"http":        askHTTP,
		"tls":         askTLS,
		"ssh":         askHostKey,
		"starttls":    askSTARTTLS,
		"postgres":    askPostgres, "mssql": askMSSQL, "oracle": askOracle, "mongodb": askMongoDB,
		"mqtt": askMQTT, "smb": askSMB, "rpcbind": askRPCBind,
		"dns": askDNS, "mdns": askMDNS, "ntp": askNTP, "snmp": askSNMP, "netbios": askNetBIOS,
		"ldap": askLDAP, "kerberos": askKerberos, "rdp": askRDP, "quic": askQUIC,
		"modbus": askModbus, "s7": askS7, "pjl": askPJL,
	}
}

// Decoders are the names that Probe.Decoder may have.
func Decoders() []string { return slices.Sorted(maps.Keys(decoders())) }

// greeting listens. A port whose protocol greets first is waited for long; where it
// says nothing, the connection is kept for the next question.
func greeting(q *inquiry, l *line) Facts {
	wait := q.options.Greeting
	for _, p := range q.book.probes {
		if p.Name == bannerFact && q.hinted(p) {
			wait = long
		}
	}
	began := time.Now()
	heard := l.hear(wait, wholeLine)
	if len(heard) == 0 {
		if time.Since(began) >= wait { // It did not hang up.
			q.idle = l
		}
		return nil
	}
	if options, ok := telnetOptions(heard); ok {
		return readTelnet(l, heard, options)
	}
	f := Facts{}
	f.put(bannerFact, latin(heard))
	return f
}

// askPJL asks a printer for its model in its own language (PJL reference, INFO ID).
func askPJL(_ *inquiry, l *line) Facts {
	f := Facts{}
	f.put("pjl", latin(l.say([]byte("\x1b%-12345X@PJL INFO ID\r\n\x1b%-12345X"), nil)))
	return f
}
