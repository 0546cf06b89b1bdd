package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// taskPackets is the task of a flow agent that saves packets.
const taskPackets = "packets_save"

// PacketsOptions say which packets are saved, and where.
type PacketsOptions struct {
	Agent, Host  string
	Flow         string // Community ID
	Address      string // of one end, instead of a flow
	Peer         string
	Since, Until string // as of cli.When; empty is any
	Output       string // file; "-" is stdout, empty is named after the time
}

// Packets has a flow agent save packets that it still has, and fetches them as a pcap
// file. What is in it, and what the agent no longer has, is said on stderr.
func Packets(ctx context.Context, e *cli.Env, o PacketsOptions) error {
	parameters := map[string]string{}
	for name, value := range map[string]string{"community_id": o.Flow, "address": o.Address, "peer": o.Peer} {
		if value != "" {
			parameters[name] = value
		}
	}
	if len(parameters) == 0 {
		return cli.Usagef("say which packets: --flow COMMUNITY_ID or --address IP")
	}
	now := e.Now()
	for name, text := range map[string]string{"since": o.Since, "until": o.Until} {
		if text == "" {
			continue
		}
		at, err := cli.When(text, now)
		if err != nil {
			return &cli.UsageError{Err: fmt.Errorf("--%s: %w", name, err)}
		}
		parameters[name] = at.UTC().Format(time.RFC3339Nano)
	}
	if o.Output == "" {
		o.Output = "packets-" + now.UTC().Format("20060102T150405") + ".pcap"
	}
	c, err := remote.Dial(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	t := TaskOptions{Task: taskPackets, Parameters: parameters, Output: o.Output}
	if t.Agent, t.Host, err = named(ctx, c, o.Agent, o.Host); err != nil {
		return err
	}
	last, err := runToEnd(ctx, e, c, t)
	if err != nil {
		return err
	}
	if last.GetState() != pb.TaskState_TASK_STATE_SUCCEEDED {
		return errors.New(cli.Clean(last.GetText()))
	}
	fmt.Fprintln(e.Stderr, cli.Clean(last.GetText()))
	if err := fetchResult(ctx, e, c, t, last.GetRunId()); err != nil {
		return err
	}
	if o.Output == "-" {
		return nil
	}
	// Whatever was said in the clear is in it.
	if err := os.Chmod(o.Output, 0o600); err != nil {
		return fmt.Errorf("close the file to others: %w", err)
	}
	return nil
}
