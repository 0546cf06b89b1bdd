package identity

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Probed is what a connection to a server showed.
type Probed struct {
	Address  string    `json:"address"`
	Version  string    `json:"tls_version"`
	Suite    string    `json:"cipher_suite"`
	Protocol string    `json:"protocol"`
	Server   string    `json:"server_id"`
	Hosts    []string  `json:"server_hosts"`
	NotAfter time.Time `json:"server_not_after"`
	Answer   string    `json:"answer"` // first line of the answer to GET /health, if it speaks HTTP/1.1
}

// Probe connects to a server as a client with f would, verifies it and finds out
// whether it accepts the client, which in TLS 1.3 only its first answer shows. A
// refusal by either side is a *[Rejection]. ctx bounds the whole.
func Probe(ctx context.Context, address string, f Files, o ClientOptions) (Probed, error) {
	out := Probed{Address: address}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return out, fmt.Errorf("connect to %s: %w", address, err)
	}
	if o.ServerName == "" {
		o.ServerName = host
	}
	if o.ServerRole == "" {
		o.ServerRole = RoleHub
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
	}
	o.NextProtos = []string{"http/1.1", "h2"}
	cfg, err := ClientConfig(f, o)
	if err != nil {
		return out, err
	}
	raw, err := o.Dial(ctx, address)
	if err != nil {
		return out, fmt.Errorf("connect to %s: %w", address, err)
	}
	conn := tls.Client(raw, cfg)
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(deadline)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return out, ExplainHandshake(err, f, o.Now())
	}
	cs := conn.ConnectionState()
	leaf := cs.PeerCertificates[0]
	out.Version, out.Suite = tls.VersionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite)
	out.Protocol, out.Hosts, out.NotAfter = cs.NegotiatedProtocol, hostsOf(leaf), leaf.NotAfter
	if id, _, err := identify(leaf, o.ServerRole); err == nil {
		out.Server = id.String()
	}
	if out.Protocol != "h2" {
		_, err = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: "+address+"\r\nConnection: close\r\n\r\n")
	}
	if err == nil {
		out.Answer, err = firstAnswer(conn, out.Protocol)
	}
	if err != nil {
		return out, ExplainHandshake(err, f, o.Now())
	}
	return out, nil
}

// firstAnswer waits for the server's first bytes: HTTP/2 settings or a status line.
func firstAnswer(conn net.Conn, protocol string) (string, error) {
	r := bufio.NewReader(io.LimitReader(conn, 4096))
	if protocol == "h2" {
		_, err := r.ReadByte()
		return "", err
	}
	line, err := r.ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	return nameOf(strings.TrimSpace(line)), nil
}
