package console

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Token is the object that `amoskys token … --json` prints. Keys are only ever
// added: docs/cli.md promises them.
type Token struct {
	ID          string     `json:"id"`
	Host        string     `json:"host"` // empty: any
	State       string     `json:"state"`
	CreatedTime time.Time  `json:"created_time"`
	ExpiresTime time.Time  `json:"expires_time"`
	CreatedBy   string     `json:"created_by"`
	UsedTime    *time.Time `json:"used_time,omitempty"` // of the last use
	UsedBy      string     `json:"used_by,omitempty"`
	Uses        uint32     `json:"uses"`
	UsesLeft    uint32     `json:"uses_left"`
	HostPattern string     `json:"host_pattern,omitempty"`
	Kinds       []string   `json:"kinds,omitempty"` // observing kinds that it is restricted to
	// Token and Command are there only when the token has just been made.
	Token   string `json:"token,omitempty"`
	Command string `json:"command,omitempty"`
	// Hub is where the new host most likely reaches the hub, Note what cannot be known of it.
	Hub  string `json:"hub,omitempty"`
	Note string `json:"note,omitempty"`
}

func tokenOf(t *pb.EnrollmentToken, now time.Time) Token {
	out := Token{
		ID: t.GetId(), Host: t.GetHost(), State: "open", CreatedTime: t.GetCreatedTime().AsTime(),
		ExpiresTime: t.GetExpiresTime().AsTime(), CreatedBy: t.GetCreatedBy(), UsedBy: t.GetUsedBy(),
		Uses: max(t.GetUses(), 1), HostPattern: t.GetHostPattern(), Kinds: t.GetKinds(),
	}
	out.UsesLeft = out.Uses - min(t.GetUsedCount(), out.Uses)
	if t.GetUsedTime() != nil {
		out.UsedTime = instant(t.GetUsedTime())
		if t.GetUses() == 0 { // a hub that knows one-time tokens alone
			out.UsesLeft = 0
		}
	}
	switch {
	case out.UsesLeft == 0:
		out.State = "used"
	case !now.Before(out.ExpiresTime):
		out.State = "ended"
	}
	return out
}

func instant(t *timestamppb.Timestamp) *time.Time {
	at := t.AsTime()
	return &at
}

// withHub calls do with a connection to the hub.
func withHub(ctx context.Context, e *cli.Env, do func(context.Context, *remote.Client) error) error {
	c, err := remote.Dial(e, "")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return do(ctx, c)
}

// TokenOptions say what a token is for.
type TokenOptions struct {
	Host        string // the one host that may use it
	HostPattern string // or those that may
	TTL         time.Duration
	Uses        int
	Kinds       []string // observing kinds that it may give; any when empty
}

// CreateToken has the hub make a token and prints it with the command to use it.
func CreateToken(ctx context.Context, e *cli.Env, o TokenOptions, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Enrollment.CreateToken(ctx, &pb.CreateTokenRequest{
			Host: o.Host, Ttl: durationpb.New(o.TTL), Uses: uint32(o.Uses), HostPattern: o.HostPattern, Kinds: o.Kinds, Actor: actor(),
		})
		if err != nil {
			return c.Explain(err)
		}
		t := tokenOf(resp.GetInfo(), e.Now())
		t.Token = resp.GetToken()
		t.Hub, t.Note = reachable(c.Addr, resp)
		t.Command = "amoskys-agent enroll --hub " + t.Hub + " --token " + t.Token
		if o.Host != "" {
			t.Command += " --host " + o.Host
		}
		if asJSON {
			return cli.WriteJSON(e.Stdout, t)
		}
		often, where := "once", "On the new host"
		if t.Uses > 1 {
			often, where = fmt.Sprintf("%d times", t.Uses), "On each new host"
		}
		_, err = fmt.Fprintf(e.Stdout, "token %s works %s, until %s. %s:\n\n  %s\n",
			t.ID, often, t.ExpiresTime.Local().Format("2006-01-02 15:04:05"), where, t.Command)
		if err == nil && t.Note != "" {
			_, err = fmt.Fprintf(e.Stdout, "\n%s\n", cli.Clean(t.Note))
		}
		return err
	})
}

// reachable is where other hosts may dial the hub: as it was dialled from here, unless
// that is this machine itself; then what the hub says, and what cannot be known.
func reachable(dialled string, resp *pb.CreateTokenResponse) (addr, note string) {
	host, port, err := net.SplitHostPort(dialled)
	switch {
	case err != nil || !obs.IsLoopback(host):
		return dialled, ""
	case resp.GetHub() != "":
		return resp.GetHub(), resp.GetHubNote()
	}
	name, err := os.Hostname() // a hub of before says nothing
	if err != nil {
		name = host
	}
	return net.JoinHostPort(name, port), "whether other hosts can look up " + name + " cannot be known from here"
}

// ListTokens prints what the hub keeps of tokens.
func ListTokens(ctx context.Context, e *cli.Env, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Enrollment.ListTokens(ctx, &pb.ListTokensRequest{})
		if err != nil {
			return c.Explain(err)
		}
		tokens := make([]Token, 0, len(resp.GetTokens()))
		table := cli.NewTable("ID", "STATE", "HOST", ">USES LEFT", "UNTIL", "CREATED BY", "LAST USED BY")
		for _, p := range resp.GetTokens() {
			t := tokenOf(p, e.Now())
			tokens = append(tokens, t)
			host := cmp.Or(t.Host, t.HostPattern, "any")
			table.Row(t.ID, t.State, host, fmt.Sprintf("%d of %d", t.UsesLeft, t.Uses), t.ExpiresTime.Local().Format("2006-01-02 15:04"), t.CreatedBy, t.UsedBy)
		}
		switch {
		case asJSON:
			return cli.WriteJSON(e.Stdout, map[string]any{"tokens": tokens})
		case len(tokens) == 0:
			_, err := fmt.Fprintln(e.Stdout, "there are no tokens: amoskys token create makes one")
			return err
		}
		return table.Write(e.Stdout)
	})
}

// RevokeToken makes a token useless that has uses left.
func RevokeToken(ctx context.Context, e *cli.Env, id string) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		if _, err := c.Enrollment.RevokeToken(ctx, &pb.RevokeTokenRequest{Id: id}); err != nil {
			return c.Explain(err)
		}
		_, err := fmt.Fprintf(e.Stdout, "token %s is revoked\n", id)
		return err
	})
}
