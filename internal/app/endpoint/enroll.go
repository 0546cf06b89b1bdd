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
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
)

// TokenVariable holds a token for those who want it in neither the process list
// nor a pipe.
const TokenVariable = "AMOSKYS_TOKEN" //nolint:gosec // the name of a variable, no token

const enrollTimeout = 30 * time.Second

// EnrollOptions say where to enrol and as whom.
type EnrollOptions struct {
	Hub   string // host:port
	Token string
	Host  string // this machine's name when empty
	Force bool   // replace certificates that are there
}

// Enroll makes this host's keys, has the hub certify them against a token, and
// writes certificates and keys under e.Home. The token is sent only to a hub of
// the authority that it pins. It returns the host's name in the certificates.
func Enroll(ctx context.Context, e *cli.Env, o EnrollOptions) (host string, err error) {
	token, err := identity.ParseToken(o.Token)
	if err != nil {
		return "", err
	}
	if o.Host == "" {
		if o.Host, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("find this machine's name: %w", err)
		}
	}
	if err := identity.CanEnroll(e.Home.Certs(), o.Force); err != nil {
		return "", err
	}
	node, err := identity.NewSigningRequest()
	if err != nil {
		return "", err
	}
	agent, err := identity.NewSigningRequest()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, enrollTimeout)
	defer cancel()
	resp, err := askToEnroll(ctx, e, o.Hub, token, identity.EnrollRequest{
		Token: token.Text(), Host: o.Host, CSRNode: string(node.CSRPEM), CSRAgent: string(agent.CSRPEM),
	})
	if err != nil {
		return "", fmt.Errorf("enrol at %s: %w", o.Hub, err)
	}
	got := &identity.Enrolled{
		CA:    []byte(resp.CA),
		Node:  identity.KeyPair{CertPEM: []byte(resp.NodeCert), KeyPEM: node.KeyPEM},
		Agent: identity.KeyPair{CertPEM: []byte(resp.AgentCert), KeyPEM: agent.KeyPEM},
	}
	if err := got.Verify(token, o.Host, e.Now()); err != nil {
		return "", fmt.Errorf("enrol at %s: %w", o.Hub, err)
	}
	return o.Host, identity.WriteEnrolled(e.Home.Certs(), got, o.Force)
}

// askToEnroll sends one request over a connection whose other end is verified
// before the first byte of it.
func askToEnroll(ctx context.Context, e *cli.Env, hub string, token identity.Token, req identity.EnrollRequest) (*identity.EnrollResponse, error) {
	dialled, _, err := net.SplitHostPort(hub)
	if err != nil {
		return nil, err
	}
	dialer := &tls.Dialer{Config: identity.EnrollClientConfig(token, dialled, e.Now)}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			return conn, identity.ExplainHandshake(err, identity.Files{}, e.Now())
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
			return nil, fmt.Errorf("the hub answered %s", cli.Clean(answer.Status))
		}
		return nil, errors.New(cli.Clean(no.Error))
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

// NewEnrollCommand is "enroll" of the program called name.
func NewEnrollCommand(e *cli.Env, name string) *cobra.Command {
	var o EnrollOptions
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Join this host to a hub with a one-time token",
		Long: `Makes this host's keys, sends the hub signing requests for them with the token that
amoskys token create printed, and writes ca.crt, node.crt and agent.crt with their
keys to certs/. Keys never leave the host, and the token is sent only to the hub
that made it. The token may also come from standard input (--token -) or from
$` + TokenVariable + `, where other users of the host do not see it.`,
		Example: "  " + name + " enroll --hub hub1:5000 --token amk1_…\n  " + name + " enroll --hub hub1:5000 --token - < token",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.Hub, "hub", "", "the hub, as HOST:PORT")
	f.StringVar(&o.Token, "token", "", "the token; - reads it from standard input (default $"+TokenVariable+")")
	f.StringVar(&o.Host, "host", "", "name of this host in its certificates (default the machine's)")
	f.BoolVar(&o.Force, "force", false, "replace certificates that are there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, _, err := net.SplitHostPort(o.Hub); err != nil {
			return cli.Usagef("--hub must be HOST:PORT, such as hub1:5000")
		}
		if err := readToken(e, &o.Token); err != nil {
			return err
		}
		host, err := Enroll(cmd.Context(), e, o)
		if err != nil {
			return err
		}
		hub, port, _ := net.SplitHostPort(o.Hub)
		_, err = fmt.Fprintf(e.Stdout, "%s has joined: its certificates are in %s\nnext: EVENTBUS_HOST=%s EVENTBUS_PORT=%s %s node --home %s\n",
			host, e.Home.Certs(), hub, port, name, e.Home)
		return err
	}
	return cmd
}

func readToken(e *cli.Env, token *string) error {
	switch *token {
	case "":
		if e.Lookup != nil {
			*token, _ = e.Lookup(TokenVariable)
		}
		if *token == "" {
			return cli.Usagef("name a token with --token or $%s: amoskys token create makes one on the hub", TokenVariable)
		}
	case "-":
		text, err := io.ReadAll(io.LimitReader(e.Stdin, 4<<10))
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		*token = strings.TrimSpace(string(text))
	}
	return nil
}
