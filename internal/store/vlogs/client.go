package vlogs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Bounds on what is read of an answer that is not rows.
const (
	maxRefusal = 4 << 10
	maxAnswer  = 64 << 20
)

// Client speaks to one engine. Its methods may be called at the same time; see Barrier
// for what that means.
type Client struct {
	base string
	http *http.Client

	mu    sync.Mutex          // guards dirty
	dirty map[string]struct{} // days inserted into since the last Barrier, as YYYYMMDD
}

// New returns a client of the engine at addr: "unix:/path/to.sock" or
// "http://host:port". Nothing is opened yet.
func New(addr string) *Client {
	transport := &http.Transport{
		MaxIdleConns: 8, MaxIdleConnsPerHost: 8, IdleConnTimeout: 10 * time.Second, DisableCompression: true,
		WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
	}
	base := strings.TrimSuffix(addr, "/")
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		base = "http://store"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
	}
	return &Client{base: base, http: &http.Client{Transport: transport}, dirty: map[string]struct{}{}}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Health returns nil once the engine serves.
func (c *Client) Health(ctx context.Context) error {
	_, err := c.get(ctx, "/health", nil)
	return err
}

// get asks for path and returns the whole answer, at most maxAnswer.
func (c *Client) get(ctx context.Context, path string, args url.Values) ([]byte, error) {
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
	}
	return e
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
