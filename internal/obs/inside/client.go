package inside

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
	"os"
	"strconv"
	"syscall"
	"time"
)

// ErrNotRunning says that nobody listens: the process does not run.
var ErrNotRunning = errors.New("it does not run, or is of another build")

// Client asks a process. It may be used concurrently.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client for a socket. Nothing is connected yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		short, done, err := shorten(socket)
		if err != nil {
			return nil, err
		}
		defer done()
		return (&net.Dialer{}).DialContext(ctx, "unix", short)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}}}
}

// Level returns the level of the process's log.
func (c *Client) Level(ctx context.Context) (l Levels, err error) {
	return l, c.exchange(ctx, http.MethodGet, "/level", nil, &l)
}

// SetLevel sets it; an empty level is the configured one.
func (c *Client) SetLevel(ctx context.Context, level string) (l Levels, err error) {
	return l, c.exchange(ctx, http.MethodPut, "/level", Levels{Level: level}, &l)
}

// Tell notes an act in the audit trail, if the process is one that keeps it.
func (c *Client) Tell(ctx context.Context, act Act) error {
	return c.exchange(ctx, http.MethodPost, "/act", act, nil)
}

// Profile writes a profile to w. Seconds count for cpu and trace.
func (c *Client) Profile(ctx context.Context, name string, seconds int, w io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(seconds)*time.Second+profileTime, errSilent)
	defer cancel()
	resp, err := c.send(ctx, http.MethodGet, "/profile/"+url.PathEscape(name)+"?seconds="+strconv.Itoa(seconds), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("take profile %s: %w", name, inTime(ctx, err))
	}
	if why := resp.Trailer.Get(failedTrailer); why != "" {
		return fmt.Errorf("take profile %s: %s", name, why)
	}
	return nil
}

// errSilent says that a process is there and does not answer.
var errSilent = errors.New("it runs and does not answer in time: it may hang")

// inTime is err, or why the time for it was over.
func inTime(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return cause
	}
	return err
}

func (c *Client) exchange(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, errSilent)
	defer cancel()
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.socket, inTime(ctx, err))
	}
	return nil
}

// send returns an answer that is no refusal.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://process"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%s: %w", c.socket, ErrNotRunning)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s is another user's: call as the one that the process runs as, or as root", c.socket)
	case err != nil:
		return nil, fmt.Errorf("ask over %s: %w", c.socket, inTime(ctx, err))
	case resp.StatusCode < http.StatusMultipleChoices:
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // it has been read
	var p struct {
		Error string `json:"error"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&p) != nil || p.Error == "" {
		p.Error = "it answers " + resp.Status
	}
	return nil, errors.New(p.Error)
}
