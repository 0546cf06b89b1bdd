package dial

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// proxyTimeout bounds the way to the proxy and its answer; a shorter deadline
	// of the context counts before.
	proxyTimeout = 10 * time.Second
	// maxAnswer bounds what is read of a proxy's answer, in bytes.
	maxAnswer = 16 << 10
)

// ProxyError says that the proxy, and not the hub, is why there is no connection.
type ProxyError struct {
	Proxy   string // without credentials; empty when the setting is no URL
	Setting string // what names the proxy: hub.proxy or HTTPS_PROXY
	Addr    string // of the hub
	Status  int    // of the proxy's answer; 0 when there was none
	Err     error  // why there was none
}

// errNoTunnel quotes nothing of an answer, which can be anything.
var errNoTunnel = errors.New("does not answer as an HTTP proxy")

// proxyWords begin the text of every ProxyError, which is all that gRPC passes on.
const proxyWords = "the proxy "

// Error says what the proxy did and what to do.
func (e *ProxyError) Error() string {
	host, _, _ := net.SplitHostPort(e.Addr) // dialled already
	around := "set NO_PROXY=" + host + " or hub.proxy: none"
	from := proxyWords + e.Proxy + " (" + e.Setting + ") "
	switch {
	case e.Proxy == "":
		return proxyWords + "in " + e.Setting + " " + e.Err.Error() + ": mend it, or " + around
	case e.Status == http.StatusProxyAuthRequired:
		return from + "wants another user or password (407): give them in " + e.Setting + " as http://USER:PASSWORD@HOST:PORT, or " + around
	case e.Status == http.StatusForbidden, e.Status == http.StatusMethodNotAllowed:
		return fmt.Sprintf("%sforbids connections to %s (%d): have it allow CONNECT to there, or %s", from, e.Addr, e.Status, around)
	case e.Status == http.StatusBadGateway, e.Status == http.StatusServiceUnavailable, e.Status == http.StatusGatewayTimeout:
		return fmt.Sprintf("%scannot reach %s (%d %s): is the hub running and open to the proxy? Else %s", from, e.Addr, e.Status, http.StatusText(e.Status), around)
	case e.Status != 0:
		return fmt.Sprintf("%srefuses to connect to %s (%d %s): ask who runs it, or %s", from, e.Addr, e.Status, http.StatusText(e.Status), around)
	}
	return from + e.Err.Error() + ": mend " + e.Setting + ", or " + around
}

// Unwrap returns the cause, nil when the proxy answered.
func (e *ProxyError) Unwrap() error { return e.Err }

// ProxyFault finds the words of a [ProxyError] in the text of an error of gRPC.
func ProxyFault(err error) (string, bool) {
	if fault, ok := errors.AsType[*ProxyError](err); ok {
		return fault.Error(), true
	}
	if err == nil {
		return "", false
	}
	_, text, found := strings.Cut(err.Error(), "Error while dialing: "+proxyWords)
	return proxyWords + strings.TrimRight(text, `"`), found
}

// through opens a tunnel to addr.
func (d *Dialer) through(ctx context.Context, proxy *url.URL, addr string) (net.Conn, error) {
	fault := &ProxyError{Proxy: redact(proxy), Setting: d.setting, Addr: addr}
	if proxy.Scheme != "http" && proxy.Scheme != "https" {
		fault.Err = errors.New("speaks " + proxy.Scheme + ", of which only http and https are known")
		return nil, fault
	}
	reaching, cancel := context.WithTimeout(ctx, proxyTimeout)
	defer cancel()
	conn, err := Direct(reaching, "tcp", proxyAddr(proxy))
	if err != nil {
		fault.Err = fmt.Errorf("cannot be reached: %w", err)
		return nil, fault
	}
	tunnel, err := d.negotiate(ctx, conn, proxy, fault)
	if err != nil {
		_ = conn.Close() // the first error says more
		return nil, err
	}
	return tunnel, nil
}

// negotiate makes a tunnel of a fresh connection to the proxy, within proxyTimeout.
func (d *Dialer) negotiate(ctx context.Context, conn net.Conn, proxy *url.URL, fault *ProxyError) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, proxyTimeout)
	defer cancel()
	// A context that ends cuts short whatever waits for the proxy.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := d.connect(ctx, conn, proxy, fault)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return tunnel, nil
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		err = ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		err = errors.New("does not answer in time")
	}
	if fault.Status == 0 {
		fault.Err = err
	}
	return nil, fault
}

func proxyAddr(proxy *url.URL) string {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	return net.JoinHostPort(proxy.Hostname(), port)
}

// connect asks the proxy at the other end of conn for a tunnel. An answer that
// grants none is noted in fault.
func (d *Dialer) connect(ctx context.Context, conn net.Conn, proxy *url.URL, fault *ProxyError) (net.Conn, error) {
	if proxy.Scheme == "https" {
		secure, err := d.tlsTo(ctx, conn, proxy.Hostname())
		if err != nil {
			return nil, fmt.Errorf("cannot be trusted: %w", err)
		}
		conn = secure
	}
	request := "CONNECT " + fault.Addr + " HTTP/1.1\r\nHost: " + fault.Addr + "\r\nUser-Agent: amoskys\r\n"
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return nil, fmt.Errorf("hangs up: %w", err)
	}
	bounded := &io.LimitedReader{R: conn, N: maxAnswer}
	r := bufio.NewReader(bounded)
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // it is the tunnel
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, err
	case err != nil:
		return nil, errNoTunnel
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		fault.Status = answer.StatusCode // which may be 0, as of no HTTP
		return nil, errNoTunnel
	}
	if r.Buffered() == 0 {
		return conn, nil
	}
	early, err := r.Peek(r.Buffered())
	return &tunnel{Conn: conn, early: early}, err
}

// tunnel is a connection of which some bytes came with the proxy's answer.
type tunnel struct {
	net.Conn

	early []byte
}

// Read returns what came early, then what comes.
func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.early) == 0 {
		return t.Conn.Read(p)
	}
	n := copy(p, t.early)
	t.early = t.early[n:]
	return n, nil
}
