package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	publisher "github.com/amoskys/amoskys/internal/app/replay"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/track"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// lastAnswers is how long answers of the hub are waited for after Ctrl-C.
const lastAnswers = 3 * time.Second

// publication is the way of the flows of one replay to the hub.
type publication struct {
	*publisher.Publisher
	host, hub, path string
	again           bool // the same file can be read again, and is known then
	stopped         bool // nothing more is sent
	ended           chan error
	cut             context.CancelFunc
}

// publishedReport is what --publish --json prints.
type publishedReport struct {
	File    string `json:"file"`
	Hub     string `json:"hub"`
	Host    string `json:"host"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	// Flows ended so far; those of a batch that was not full are not sent when the
	// replay is interrupted.
	Flows uint64 `json:"flows"`
	publisher.Counts
	Complete bool   `json:"complete"`
	Error    string `json:"error,omitempty"`
}

// startPublishing gets the certificate and begins to send.
func (r *replay) startPublishing(ctx context.Context, path string, progress *cli.Progress) (*publication, error) {
	hub, err := remote.Address(r.env)
	if err != nil {
		return nil, err
	}
	files, host, err := publisher.Certificate(ctx, r.env, hub)
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("timeout %s vlan %t seed %d filter %s", r.timeout, r.vlan, r.seed, r.filter)
	if r.atlas != nil {
		how += " geo " + r.atlas.Version()
	}
	key, again, err := publisher.KeyOf(path, how, func(done, total int64) {
		progress.Update("read "+path, done, total)
	})
	progress.Done()
	if err != nil {
		return nil, err
	}
	if !again {
		fmt.Fprintln(r.env.Stderr, "note: what comes through a pipe is not known again: published twice it is stored twice")
	}
	dialer, err := dial.ForCommand(r.env.Lookup, r.env.Home)
	if err != nil {
		return nil, err
	}
	p := &publication{host: host, hub: hub, path: path, again: again, ended: make(chan error, 1)}
	var add func(*pb.NetworkActivity)
	if r.atlas != nil {
		add = r.atlas.Fill
	}
	p.Publisher = publisher.NewPublisher(publisher.Options{
		Add: add,
		Hub: hub, Host: host, Files: files, Dial: dialer.Dial, Key: key, Path: path, Patience: r.wait, Now: r.env.Now,
		Away: func(err error) {
			progress.Done()
			fmt.Fprintf(r.env.Stderr, "%v; trying again for %s\n", err, r.wait)
		},
	})
	// It outlives an interruption for a moment, so that what was sent is counted.
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	p.cut = cut
	go func() { p.ended <- p.Run(sending) }()
	return p, nil
}

// add sends a flow, unless nothing more is sent.
func (p *publication) add(f *track.Flow) error {
	if p.stopped {
		return nil
	}
	return p.Flow(f)
}

// finding sends what was found, unless nothing more is sent.
func (p *publication) finding(ev *pb.Event) error {
	if p.stopped {
		return nil
	}
	return p.Finding(ev)
}

// pace tells the publisher the time of each packet, beside who else wants it.
func (p *publication) pace(then func(context.Context, int64) error) func(context.Context, int64) error {
	return func(ctx context.Context, at int64) error {
		if then != nil {
			if err := then(ctx, at); err != nil {
				return err
			}
		}
		return p.Pass(at)
	}
}

// label is what progress shows.
func (r *replay) label(path string) string {
	if r.publication == nil {
		return path
	}
	c, _ := r.publication.Counts()
	return fmt.Sprintf("%s, %s stored", path, cli.Counted(c.Stored+c.Duplicates, "flow", "flows"))
}

// published ends publishing, and says what became of the flows.
func (r *replay) published(ctx context.Context, l *lane.Lane, s capture.Stats, size int64, readErr error, began time.Time) error {
	p := r.publication
	defer p.cut()
	interrupted := ctx.Err() != nil
	if interrupted || r.err != nil {
		p.stopped = true
	}
	l.Close() // Flows that are open end here.
	switch {
	case p.stopped:
		p.Abandon()
		stop := time.AfterFunc(lastAnswers, p.cut)
		defer stop.Stop()
	default:
		if err := p.Finish(); err != nil && r.err == nil {
			r.err = err
		}
	}
	sendErr := <-p.ended
	r.summary(l.Counts(), s, r.env.Now().Sub(began))
	counts, refusal := p.Counts()
	report := publishedReport{
		File: p.path, Hub: p.hub, Host: p.host, Packets: s.Frames, Bytes: s.Bytes, Flows: r.told, Counts: counts,
	}
	err := p.verdict(interrupted, errors.Join(readErr, r.err), sendErr, refusal, counts)
	if err != nil {
		err = fmt.Errorf("%w; %s", err, p.soFar(counts, s, size))
	}
	report.Complete = err == nil
	if err != nil {
		report.Error = err.Error()
	}
	if r.asJSON {
		if writeErr := cli.WriteJSON(r.env.Stdout, report); writeErr != nil {
			return writeErr
		}
		return err
	}
	if err == nil {
		fmt.Fprintln(r.env.Stdout, p.told(counts, s))
	}
	return err
}

// verdict is what kept the capture from being published whole, or nil.
func (p *publication) verdict(interrupted bool, readErr, sendErr error, refusal string, c publisher.Counts) error {
	switch {
	case interrupted:
		return errors.New("interrupted")
	case sendErr != nil:
		return fmt.Errorf("publish %s: %w", p.path, sendErr)
	case readErr != nil:
		return readErr
	case c.Refused+c.Findings.Refused > 0:
		return fmt.Errorf("publish %s: the hub refused %s: %s", p.path, counted(c.Refused, c.Findings.Refused), cli.Clean(refusal))
	}
	return nil
}

// soFar says how far a replay came that did not get to its end, and how to go on.
func (p *publication) soFar(c publisher.Counts, s capture.Stats, size int64) string {
	text := cli.Counted(c.Stored+c.Duplicates, "flow is", "flows are") + " stored"
	if n := c.Findings.Stored + c.Findings.Duplicates; n > 0 {
		text += ", and " + cli.Counted(n, "finding", "findings")
	}
	text += ", of " + cli.Counted(s.Frames, "packet", "packets") + " read"
	if size > 0 {
		text += fmt.Sprintf(" (%d%% of %s)", min(100, int64(s.Bytes)*100/size), cli.Bytes(size))
	}
	if p.again {
		return text + ". To go on, run the same command again: what is stored is known, and not stored twice"
	}
	return text + ". It came through a pipe: a replay of the same capture from a file stores these again"
}

// counted says how many flows, and findings where there are any.
func counted(flows, found uint64) string {
	text := cli.Counted(flows, "flow", "flows")
	if found > 0 {
		text += " and " + cli.Counted(found, "finding", "findings")
	}
	return text
}

// told says what was published.
func (p *publication) told(c publisher.Counts, s capture.Stats) string {
	text := fmt.Sprintf("%s of %s stored at %s as seen by %s", counted(c.Stored, c.Findings.Stored), cli.Counted(s.Frames, "packet", "packets"), p.hub, p.host)
	if n := c.Duplicates + c.Findings.Duplicates; n > 0 {
		were := " were"
		if n == 1 {
			were = " was"
		}
		text += "; " + counted(c.Duplicates, c.Findings.Duplicates) + were + " stored before, by the same replay of the same file"
	}
	return text + "\nsee them: amoskys query 'labels.capture:=\"" + p.Capture() + "\"'"
}
