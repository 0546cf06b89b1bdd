package task

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Client asks the Server in an agent's process. It may be used concurrently.
type Client struct {
	http *http.Client
}

// maxLine bounds one line of progress.
const maxLine = 8 << 10

// Socket is where the agent with this data folder answers.
func Socket(dataDir string) string { return filepath.Join(dataDir, "tasks.sock") }

// Listen opens the socket of an agent, for its own user alone: the data folder is
// closed to others, and so is the socket. The caller has made sure that no other
// process is this agent.
func Listen(ctx context.Context, dataDir string) (net.Listener, error) {
	path := Socket(dataDir)
	if err := os.Chmod(dataDir, 0o700); err != nil { //nolint:gosec // a folder, for its owner alone
		return nil, fmt.Errorf("listen for tasks: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen for tasks: %w", err)
	}
	short, done, err := shorten(path)
	if err != nil {
		return nil, fmt.Errorf("listen for tasks: %w", err)
	}
	defer done()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", short)
	if err != nil {
		return nil, fmt.Errorf("listen for tasks: %w", err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the short name is gone by then
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for tasks: %w", err), l.Close())
	}
	return l, nil
}

// NewClient returns a client of the agent with this data folder. Nothing is
// connected yet.
func NewClient(dataDir string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		short, done, err := shorten(Socket(dataDir))
		if err != nil {
			return nil, err
		}
		defer done()
		var d net.Dialer
		return d.DialContext(ctx, "unix", short)
	}
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: dial, DisableKeepAlives: true, DisableCompression: true, ResponseHeaderTimeout: 10 * time.Second,
	}}}
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask agent: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, explain(err)
	}
	if resp.StatusCode < http.StatusMultipleChoices {
		return resp, nil
	}
	defer resp.Body.Close()
	var p problem
	if json.NewDecoder(io.LimitReader(resp.Body, maxLine)).Decode(&p) != nil || p.Error == "" {
		p.Error = "it answers " + resp.Status
	}
	if resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusNotFound && method == http.MethodPost {
		return nil, fmt.Errorf("%w%s", ErrBadRequest, plain(p.Error))
	}
	return nil, errors.New(plain(p.Error))
}

// ErrBadRequest says that what was asked is wrong, such as a task or a parameter: the same again
// fails again. It has no words of its own: the agent's follow.
var ErrBadRequest = errors.New("")

// explain says in plain words why an agent cannot be asked.
func explain(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("the agent does not take tasks: is it running? (%w)", op.Err)
	}
	return fmt.Errorf("ask agent: %w", err)
}

// Run starts a task and returns once it runs. Each progress goes to emit until a
// final one has; the run is cancelled when ctx ends. The returned function does
// the waiting; it must be called.
func (c *Client) Run(ctx context.Context, runID, task string, parameters map[string]string) (wait func(emit func(Progress)) error, err error) {
	body, err := json.Marshal(request{RunID: runID, Task: task, Parameters: parameters})
	if err != nil {
		return nil, fmt.Errorf("ask agent: %w", err)
	}
	resp, err := c.do(ctx, http.MethodPost, "/runs", bytes.NewReader(body)) //nolint:bodyclose // wait closes it
	if err != nil {
		return nil, err
	}
	return func(emit func(Progress)) error {
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			var p Progress
			if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
				return fmt.Errorf("read progress of task: %w", err)
			}
			emit(p)
			if p.State.Final() {
				return nil
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("the agent went away while the task ran: %w", err)
		}
		return errors.New("the agent went away while the task ran")
	}, nil
}

// Cancel asks a run to end; its progress tells when it has.
func (c *Client) Cancel(ctx context.Context, runID string) error {
	resp, err := c.do(ctx, http.MethodDelete, "/runs/"+runID, http.NoBody)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Unavailable says, by name, why the agent cannot do tasks as it is set up.
func (c *Client) Unavailable(ctx context.Context) (map[string]string, error) {
	resp, err := c.do(ctx, http.MethodGet, "/tasks", http.NoBody)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var l lacks
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxLacks)).Decode(&l); err != nil {
		return nil, fmt.Errorf("read what tasks lack: %w", err)
	}
	return l.Unavailable, nil
}

// maxLacks bounds the answer to GET /tasks.
const maxLacks = 256 << 10

// Result opens the result of a run. The caller closes it.
func (c *Client) Result(ctx context.Context, runID string) (*pb.TaskResultInfo, io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, "/results/"+runID, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	made, err := time.Parse(time.RFC3339Nano, resp.Header.Get(headerMade))
	if err != nil || resp.ContentLength < 0 || resp.ContentLength > MaxResultBytes {
		_ = resp.Body.Close() // the answer is of no use
		return nil, nil, errors.New("the agent's result is none that it could have")
	}
	return &pb.TaskResultInfo{
		RunId: runID, Task: resp.Header.Get(headerTask), ResultType: resp.Header.Get("Content-Type"),
		Bytes: uint64(resp.ContentLength), CreatedTime: timestamppb.New(made),
	}, resp.Body, nil
}
