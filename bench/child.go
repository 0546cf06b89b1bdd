package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// serveArg makes this program the server that its next argument names.
const serveArg = "-serve"

// order is what the parent tells a server, as the first line of its input. The server
// ends with its input.
type order struct {
	Dir string `json:"dir"` // for its files
	TLS files  `json:"tls"`
}

// serve runs a server until its parent lets it go.
func serve(ctx context.Context, name string) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the process at the latest
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	ready := func(addr string) error { return json.NewEncoder(os.Stdout).Encode(addr) }
	switch name {
	case "jetstream":
		return serveJetStream(ctx, &o, ready)
	case "collector":
		return serveCollector(ctx, &o, ready)
	}
	return fmt.Errorf("no server is called %q", name)
}

// child is a server's process as its parent sees it.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	addr  string
	dir   string
	tls   files
}

// start runs a server with files in a new folder and waits until it serves.
func start(ctx context.Context, s *settings, name string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.dir, "amoskys-peer-")
	if err != nil {
		return nil, err
	}
	c := &child{dir: dir, cmd: exec.CommandContext(ctx, self, serveArg, name)} //nolint:gosec // our own program
	c.cmd.Stderr = os.Stderr
	fail := func(err error) (*child, error) {
		c.stop()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if c.tls, err = writeCertificates(filepath.Join(dir, "tls")); err != nil {
		return fail(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return fail(err)
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return fail(err)
	}
	if err := c.cmd.Start(); err != nil {
		return fail(err)
	}
	if err := json.NewEncoder(c.stdin).Encode(order{Dir: filepath.Join(dir, "data"), TLS: c.tls}); err != nil {
		return fail(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.addr)
	}
	if err != nil {
		return fail(err)
	}
	return c, nil
}

// stop ends the process at once and removes its folder: what it holds is of no use.
func (c *child) stop() {
	if c.cmd.Process != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
	_ = os.RemoveAll(c.dir)
}

// ticks is how many of the kernel's clock are in a second of /proc's CPU times.
const ticks = 100

// cpuSeconds is what the process used so far.
func (c *child) cpuSeconds() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var sum float64
	for _, i := range []int{11, 12} { // utime and stime, without pid and name
		v, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		sum += v / ticks
	}
	return sum, nil
}

// rssBytes is the memory it holds, 0 where the kernel does not say.
func (c *child) rssBytes() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.cmd.Process.Pid))
	if f := strings.Fields(string(b)); len(f) > 1 {
		pages, _ := strconv.ParseInt(f[1], 10, 64)
		return pages * int64(os.Getpagesize())
	}
	return 0
}
