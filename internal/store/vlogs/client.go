package vlogs

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
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds on what is read of an answer that is not rows.
const (
	maxRefusal = 4 << 10
	maxAnswer  = 64 << 20
)

// maxLine bounds a row of an answer: what is longer is none.
const maxLine = maxAnswer

// Options say where an engine is, and how it is spoken to. Address is required.
type Options struct {
	Address string // "unix:/path/to.sock", "http://host:port" or "https://host:port", with a path or without
	TLS     *tls.Config
	// Authorization is the header of that name of each request, "" for none; nil: none.
	Authorization func() (string, error)
	// Project is the part of the engine that is spoken of (ProjectID): each knows nothing of
	// the others.
	Project uint32
	// Cluster says that others answer behind the address, which may be away (Query.Partial).
	Cluster bool
	// Timeout is how long the engine may take to take rows and to do what it is told; 0 for
	// as long as the caller waits. Queries have one of their own.
	Timeout time.Duration
	// Wrap puts something around what sends the requests; nil: nothing.
	Wrap func(http.RoundTripper) http.RoundTripper
}

// Client speaks to one engine. Its methods may be called at the same time; see Barrier
// for what that means.
type Client struct {
	o    Options
	base string
	http *http.Client
	idle *http.Transport // what http sends with, whatever is around it

	mu    sync.Mutex          // guards dirty
	dirty map[string]struct{} // days inserted into since the last Barrier, as YYYYMMDD
}

// New returns a client of the engine at addr: "unix:/path/to.sock" or
// "http://host:port". Nothing is opened yet.
func New(addr string) *Client { return NewClient(Options{Address: addr}) }

// dialTimeout is how long an address may take to be connected to.
const dialTimeout = 5 * time.Second

// NewClient is New with more than an address.
func NewClient(o Options) *Client {
	addr := o.Address
	transport := &http.Transport{
		MaxIdleConns: 8, MaxIdleConnsPerHost: 8, IdleConnTimeout: 10 * time.Second, DisableCompression: true,
		WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10, TLSClientConfig: o.TLS, TLSHandshakeTimeout: dialTimeout,
		DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
	}
	base := strings.TrimSuffix(addr, "/")
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		base = "http://store"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
	}
	wrapped := http.RoundTripper(transport)
	if o.Wrap != nil {
		wrapped = o.Wrap(transport)
	}
	return &Client{o: o, base: base, idle: transport, http: &http.Client{Transport: wrapped, CheckRedirect: stay}, dirty: map[string]struct{}{}}
}

// stay follows no redirect: rows and what shows who we are go to the address that was
// given, and nowhere else.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close lets go of idle connections.
func (c *Client) Close() { c.idle.CloseIdleConnections() }

// Health returns nil once the engine serves.
func (c *Client) Health(ctx context.Context) error {
	_, err := c.get(ctx, "/health", nil)
	return err
}

// get asks for path and returns the whole answer, at most maxAnswer.
func (c *Client) get(ctx context.Context, path string, args url.Values) ([]byte, error) {
	ctx, cancel := c.soon(ctx)
	defer cancel()
	body, err := c.open(ctx, path, args, "", nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err != nil {
		// Where it came too late to be a status, the engine's word is the last line.
		if at := bytes.LastIndexByte(bytes.TrimSpace(b), '\n'); at >= 0 && ctx.Err() == nil {
			return nil, refusal(http.StatusOK, b[at+1:])
		}
		return nil, broken(ctx, err)
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("%w: the answer to %s is larger than %d MiB", ErrBroken, path, maxAnswer>>20)
	}
	return b, nil
}

// errSlowEngine says that an engine took longer than Options.Timeout.
var errSlowEngine = errors.New("it did not answer in time")

// soon bounds a request that is no query.
func (c *Client) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.o.Timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, c.o.Timeout, fmt.Errorf("%w: %w", ErrAway, errSlowEngine))
}

// getJSON is get for an answer in JSON.
func (c *Client) getJSON(ctx context.Context, path string, args url.Values, into any) error {
	b, err := c.get(ctx, path, args)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return refusal(http.StatusOK, b)
	}
	return nil
}

// open sends a request and returns the body of a good answer. Arguments go in the body
// as a form, as queries may be longer than a request line; with data they go in the
// address.
func (c *Client) open(ctx context.Context, path string, args url.Values, kind string, data []byte) (io.ReadCloser, error) {
	address := c.base + path
	if data == nil {
		data, kind = []byte(args.Encode()), "application/x-www-form-urlencoded"
	} else if len(args) > 0 {
		address += "?" + args.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("ask the store's engine: %w", err)
	}
	r.Header.Set("Content-Type", kind)
	if err := c.sign(r.Header); err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, away(ctx, err)
	}
	if answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusNoContent {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	return nil, refusal(answer.StatusCode, text)
}

// sign adds who asks, and of what.
func (c *Client) sign(h http.Header) error {
	if c.o.Project != 0 {
		h.Set("ProjectID", strconv.FormatUint(uint64(c.o.Project), 10)) //nolint:canonicalheader // as its makers write it
	}
	if c.o.Authorization == nil {
		return nil
	}
	text, err := c.o.Authorization()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	if text != "" {
		h.Set("Authorization", text)
	}
	return nil
}

// refusal makes an error of what the engine says.
func refusal(status int, text []byte) error {
	text = bytes.TrimSpace(text[:min(len(text), maxRefusal)])
	e := &RefusedError{Status: status, Text: string(text)}
	switch {
	case status == http.StatusTooManyRequests:
		return fmt.Errorf("%w (%w)", ErrReadOnly, e)
	case bytes.Contains(text, []byte("-search.maxConcurrentRequests")):
		return fmt.Errorf("%w (%w)", ErrBusy, e)
	case bytes.Contains(text, []byte("-search.maxQueryDuration")):
		return fmt.Errorf("%w (%w)", ErrDeadline, e)
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		return fmt.Errorf("%w: its address leads to another (HTTP %d), which is not followed: give the address of the server itself", ErrAway, status)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w: it does not let us in: look at the name, password or token for it (HTTP %d)", ErrAway, status)
	case isNodeAway(status, text):
		return fmt.Errorf("%w: %w (%w)", ErrAway, ErrNodeAway, e)
	}
	return e
}

// isNodeAway reports whether it is a cluster's word that one of its storage nodes is not
// there (app/vlstorage/netselect), or that of a proxy before one.
func isNodeAway(status int, text []byte) bool {
	if status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout {
		return true
	}
	return status == http.StatusBadGateway &&
		(!bytes.Contains(text, []byte("unexpected response status code")) || bytes.Contains(text, []byte("cannot connect to storage node")))
}

// away tells a caller who gave up from an engine that is not there.
func away(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ask the store's engine: %w", context.Cause(ctx))
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err // without the address of a request, which is not the caller's
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// broken is away for an answer that had begun.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read the store's answer: %w", context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}
