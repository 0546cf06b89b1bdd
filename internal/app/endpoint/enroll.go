package endpoint

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/hostname"
)

// TokenVariable holds a token for those who want it in neither the process list
// nor a pipe.
const TokenVariable = "AMOSKYS_TOKEN" //nolint:gosec // the name of a variable, no token

const enrollTimeout = 30 * time.Second

// EnrollOptions say where to enrol and as whom.
type EnrollOptions struct {
	Hub   string // host:port
	Token string
	// Host is the host's name; $AMOSKYS_NODE_NAME or else this machine's when empty.
	Host  string
	Force bool // replace certificates that are there
	// PerAgent gives each agent a certificate of its own.
	PerAgent bool
	// Kinds are the agents that the node will run; those of its configuration when nil.
	Kinds []string
	// Wait is for how long it is tried again; 0 is once.
	Wait time.Duration
}

// Joined is what came of an enrolment.
type Joined struct {
	Host string // in the certificates
	// Warnings are the hub's, for people.
	Warnings []string
}

// Enroll makes this host's keys, has the hub certify them against a token, and
// writes certificates and keys under e.Home. The token is sent only to a hub of
// the authority that it pins.
func Enroll(ctx context.Context, e *cli.Env, o EnrollOptions) (Joined, error) {
	token, err := identity.ParseToken(o.Token)
	if err != nil {
		return Joined{}, err
	}
	if o.Host == "" {
		if o.Host, err = wantedName(e); err != nil {
			return Joined{}, err
		}
	}
	if err := identity.CanEnroll(e.Home.Certs(), o.Force); err != nil {
		return Joined{}, err
	}
	f, err := newForm(e, o)
	if err != nil {
		return Joined{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, enrollTimeout)
	defer cancel()
	f.request.Token = token.Text()
	resp, err := askToEnroll(ctx, e, o.Hub, token, f.request)
	if err != nil {
		return Joined{}, fmt.Errorf("enrol at %s: %w", describe(e, o.Hub, err), asked(o.Hub, err))
	}
	got, err := f.filled(resp)
	if err == nil {
		err = got.Verify(token, o.Host, e.Now())
	}
	if err != nil {
		return Joined{}, fmt.Errorf("enrol at %s: %w", o.Hub, err)
	}
	joined := Joined{Host: hostname.Normal(o.Host)}
	for _, w := range resp.Warnings {
		joined.Warnings = append(joined.Warnings, cli.Clean(w))
	}
	return joined, identity.WriteEnrolled(e.Home.Certs(), got, o.Force)
}

// NodeNameVariable names this host in its certificates: replicas and pods whose host
// names say nothing set it.
const NodeNameVariable = "AMOSKYS_NODE_NAME"

// wantedName is the name that this host enrols under.
func wantedName(e *cli.Env) (string, error) {
	if e.Lookup != nil {
		if name, ok := e.Lookup(NodeNameVariable); ok && name != "" {
			return name, nil
		}
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find this machine's name: %w", err)
	}
	return name, nil
}

// describe is the hub's address with the proxy on the way there, unless why names
// it already.
func describe(e *cli.Env, hub string, why error) string {
	dialer, err := dial.ForCommand(e.Lookup, e.Home)
	if _, named := dial.ProxyFault(why); named || err != nil {
		return hub
	}
	return dialer.Describe(hub)
}

// askError is why a hub that was asked has not let this host in: it said no, or was not
// heard.
type askError struct {
	status int // of HTTP; 0: it did not answer
	err    error
}

func (a *askError) Error() string { return a.err.Error() }
func (a *askError) Unwrap() error { return a.err }

// asked tells what came of asking the hub from what is wrong here.
func asked(hub string, err error) error {
	if a, ok := errors.AsType[*askError](err); ok {
		return a
	}
	return &askError{err: unreached(hub, err)}
}

// unreached adds to an error why a hub may not be had at its address. Nothing was sent
// then, so that the token still works.
func unreached(hub string, err error) error {
	if _, named := dial.ProxyFault(err); named {
		return err
	}
	if _, unknown := errors.AsType[*net.DNSError](err); unknown {
		return fmt.Errorf("%w: this host does not know that name; --hub takes another name of the hub, or an address "+
			"that its certificate names, such as amoskys token create prints there", err)
	}
	if o, ok := errors.AsType[*net.OpError](err); ok && o.Op == "dial" {
		return fmt.Errorf("%w: does the hub run, is %s its address as this host reaches it, and does no firewall close the port? "+
			"The token still works; --hub names another address", err, hub)
	}
	return err
}

// askToEnroll sends one request over a connection whose other end is verified
// before the first byte of it.
func askToEnroll(ctx context.Context, e *cli.Env, hub string, token identity.Token, req identity.EnrollRequest) (*identity.EnrollResponse, error) {
	dialled, _, err := net.SplitHostPort(hub)
	if err != nil {
		return nil, err
	}
	dialer, err := dial.ForCommand(e.Lookup, e.Home)
	if err != nil {
		return nil, err
	}
	secure := identity.EnrollClientConfig(token, dialled, e.Now)
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			raw, err := dialer.Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, secure)
			if err := conn.HandshakeContext(ctx); err != nil {
				_ = raw.Close() // the handshake's error says more
				return nil, identity.ExplainHandshake(err, identity.Files{}, e.Now())
			}
			return conn, nil
		},
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+hub+identity.EnrollPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	post.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(post)
	if err != nil {
		return nil, plainError(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, identity.MaxEnrollBytes))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		var no identity.EnrollError
		if err := json.Unmarshal(text, &no); err != nil || no.Error == "" {
			no.Error = "the hub answered " + answer.Status
		}
		return nil, &askError{status: answer.StatusCode, err: errors.New(cli.Clean(no.Error))}
	}
	var resp identity.EnrollResponse
	if err := json.Unmarshal(text, &resp); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return &resp, nil
}

// plainError takes off what net/http puts around an error.
func plainError(err error) error {
	if r, ok := errors.AsType[*identity.Rejection](err); ok {
		return r
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
