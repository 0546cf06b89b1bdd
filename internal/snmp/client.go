package snmp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/gosnmp/gosnmp"
)

// maxRepetitions is the most rows that a GETBULK may ask for.
const maxRepetitions = 10_000

// maxRetries is the most often that a request is sent again.
const maxRetries = 20

// Client asks one device. It is safe for concurrent use: requests wait for each
// other, as a device that is asked two things at once drops one.
type Client struct {
	target  Target
	limits  Limits
	mu      sync.Mutex // guards what follows
	library *gosnmp.GoSNMP
	line    *line
	manners Manners
	counts  Counts
	closed  bool
}

// Open makes a Client for a device. It sends nothing: whether the device is there,
// the first request tells. Close it in the end.
func Open(ctx context.Context, t Target) (*Client, error) {
	if err := t.Credential.Check(); err != nil {
		return nil, fmt.Errorf("ask %s: %w", t.Addr, err)
	}
	if !t.Addr.IsValid() || t.Addr.Port() == 0 || t.Addr.Addr().IsMulticast() {
		return nil, fmt.Errorf("ask %s: this is not the address and port of one device", t.Addr)
	}
	t.Timeout = cmp.Or(t.Timeout, DefaultTimeout)
	t.Retries = min(max(t.Retries, 0), maxRetries)
	t.MaxRepetitions = min(max(cmp.Or(t.MaxRepetitions, DefaultRepetitions), 1), maxRepetitions)
	c := &Client{target: t, limits: t.Limits.withDefaults(), manners: t.Manners}
	if err := c.connect(ctx); err != nil {
		return nil, fmt.Errorf("ask %s: %w", t.Addr, err)
	}
	return c, nil
}

// connect opens the socket and prepares the library.
func (c *Client) connect(ctx context.Context) error {
	addr := c.target.Addr
	v6 := !addr.Addr().Unmap().Is4()
	library := &gosnmp.GoSNMP{
		Target: addr.Addr().Unmap().WithZone("").String(), Port: addr.Port(), Transport: "udp4",
		Timeout: c.target.Timeout, Context: ctx, MaxOids: gosnmp.MaxOids, UseUnconnectedUDPSocket: true,
	}
	if v6 {
		library.Transport = "udp6"
	}
	open(library, c.target.Credential)
	if err := library.Connect(); err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	sock, ok := library.Conn.(*net.UDPConn)
	if !ok {
		return errors.Join(errors.New("open a socket: the library gave none of UDP"), library.Close())
	}
	if err := hearRefusals(sock, v6); err != nil {
		return errors.Join(fmt.Errorf("open a socket: %w", err), library.Close())
	}
	c.line = &line{sock: sock, to: unmapped(addr), discovery: map[int64]bool{}, counts: &c.counts}
	library.Conn, library.Context = c.line, context.Background()
	c.library = library
	return nil
}

// open sets the library's credential.
func open(library *gosnmp.GoSNMP, c Credential) {
	switch c.version() {
	case V1:
		library.Version, library.Community = gosnmp.Version1, c.Community
		return
	case V3:
	default:
		library.Version, library.Community = gosnmp.Version2c, c.Community
		return
	}
	library.Version, library.SecurityModel, library.ContextName = gosnmp.Version3, gosnmp.UserSecurityModel, c.Context
	library.MsgFlags = gosnmp.NoAuthNoPriv
	if c.Auth != NoAuth {
		library.MsgFlags = gosnmp.AuthNoPriv
	}
	if c.Privacy != NoPrivacy {
		library.MsgFlags = gosnmp.AuthPriv
	}
	library.SecurityParameters = security(c)
}

// security makes new parameters, which know of no engine yet.
func security(c Credential) *gosnmp.UsmSecurityParameters {
	p := &gosnmp.UsmSecurityParameters{UserName: c.User, AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv}
	if c.Auth != NoAuth {
		p.AuthenticationPassphrase = c.AuthPassword
		p.AuthenticationProtocol = map[Auth]gosnmp.SnmpV3AuthProtocol{
			MD5: gosnmp.MD5, SHA: gosnmp.SHA, SHA224: gosnmp.SHA224, SHA256: gosnmp.SHA256, SHA384: gosnmp.SHA384, SHA512: gosnmp.SHA512,
		}[c.Auth]
	}
	if c.Privacy != NoPrivacy {
		p.PrivacyPassphrase = c.PrivacyPassword
		p.PrivacyProtocol = map[Privacy]gosnmp.SnmpV3PrivProtocol{
			DES: gosnmp.DES, AES: gosnmp.AES, AES192: gosnmp.AES192, AES256: gosnmp.AES256, AES192Cisco: gosnmp.AES192C, AES256Cisco: gosnmp.AES256C,
		}[c.Privacy]
	}
	return p
}

// Close closes the socket. Requests that run end with ErrClosed or a timeout.
func (c *Client) Close() {
	_ = c.line.Close() // a socket of UDP holds nothing back
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// Target is what the Client was opened with, its defaults filled in.
func (c *Client) Target() Target { return c.target }

// Manners is what was learnt of the device until now.
func (c *Client) Manners() Manners {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.manners
}

// Counts says what was sent and met until now.
func (c *Client) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// Engine is the id of the device's engine, "" until a request of version 3 was
// answered. It names the device for good (RFC 3411, section 5).
func (c *Client) Engine() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.library.SecurityParameters.(*gosnmp.UsmSecurityParameters); ok && p != nil {
		return []byte(p.AuthoritativeEngineID)
	}
	return nil
}

// question is one request.
type question struct {
	pdu         gosnmp.PDUType
	oids        []string
	repetitions int
	retries     int
}

// ask sends one request and returns the variables of its answer. A device that has
// changed its engine or its time is asked for them anew, once. c.mu is held.
func (c *Client) ask(ctx context.Context, q question) ([]gosnmp.SnmpPDU, error) {
	answer, err := c.send(ctx, q)
	if err != nil && c.line.resync && c.library.Version == gosnmp.Version3 {
		c.library.SecurityParameters, c.library.ContextEngineID = security(c.target.Credential), ""
		if answer, err = c.send(ctx, q); err != nil && c.line.resync {
			err = ErrEngine
		}
	}
	if errors.Is(err, ErrTimeout) {
		c.counts.Timeouts++
		tries := q.retries + 1
		if err == ErrTimeout { //nolint:errorlint // the bare one alone says nothing of tries yet
			err = fmt.Errorf("%w within %s, asked %s", ErrTimeout, c.target.Timeout, times(tries))
		}
	}
	if err != nil {
		return nil, err
	}
	variables, err := judge(answer)
	if err == nil && len(variables) == 0 && q.pdu != gosnmp.GetBulkRequest {
		return nil, fmt.Errorf("%w: the answer has nothing of what was asked", ErrMalformed)
	}
	return variables, err
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// judge turns an answer's error state into an error.
func judge(answer *gosnmp.SnmpPacket) ([]gosnmp.SnmpPDU, error) {
	switch {
	case answer == nil:
		return nil, ErrMalformed
	case answer.PDUType == gosnmp.Report:
		return nil, ErrEngine // all others have ended the request before
	case answer.PDUType != gosnmp.GetResponse:
		return nil, ErrMalformed
	case answer.Error != gosnmp.NoError:
		return nil, &StatusError{Status: int(answer.Error), Index: int(answer.ErrorIndex)}
	default:
		return answer.Variables, nil
	}
}

// send hands one request to the library. Its errors hold octets of the messages, and
// so perhaps secrets; ours say what line has seen. c.mu is held.
func (c *Client) send(ctx context.Context, q question) (answer *gosnmp.SnmpPacket, err error) {
	if c.closed {
		return nil, ErrClosed
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if c.limits.Total > 0 && c.counts.BytesIn >= c.limits.Total {
		return nil, fmt.Errorf("%w after %d bytes of it altogether", ErrEndless, c.counts.BytesIn)
	}
	c.library.Context, c.library.Retries = ctx, q.retries
	end := c.line.begin(ctx)
	defer func() {
		end()
		c.library.Context = context.Background()
		if recover() != nil {
			c.counts.Panics++
			answer, err = nil, ErrMalformed
		}
	}()
	switch q.pdu {
	case gosnmp.GetRequest:
		answer, err = c.library.Get(q.oids)
	case gosnmp.GetBulkRequest:
		answer, err = c.library.GetBulk(q.oids, 0, uint32(q.repetitions))
	default:
		answer, err = c.library.GetNext(q.oids)
	}
	if err == nil {
		return answer, nil
	}
	return nil, c.explain(ctx, err)
}

// explain says why the library has no answer.
func (c *Client) explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded): // the socket may notice before the context
		<-ctx.Done()
		return context.Cause(ctx)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, net.ErrClosed):
		return ErrClosed
	case c.line.verdict != nil:
		return c.line.verdict
	case errors.Is(err, gosnmp.ErrWrongDigest):
		return ErrPassword
	case errors.Is(err, gosnmp.ErrDecryption):
		return ErrPrivacy
	case errors.Is(err, gosnmp.ErrUnknownUsername):
		return ErrUser
	case errors.Is(err, gosnmp.ErrUnknownSecurityLevel):
		return ErrLevel
	case errors.Is(err, gosnmp.ErrUnknownEngineID), errors.Is(err, gosnmp.ErrNotInTimeWindow):
		return ErrEngine
	case strings.HasPrefix(err.Error(), "recover:"): // it catches its own panics
		c.counts.Panics++
		return ErrMalformed
	case strings.Contains(err.Error(), "not authentic"):
		return ErrPassword
	case strings.Contains(err.Error(), "timeout"):
		return c.line.cause()
	default:
		return ErrMalformed
	}
}
