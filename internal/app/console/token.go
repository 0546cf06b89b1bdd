package console

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
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
	UsedTime    *time.Time `json:"used_time,omitempty"`
	UsedBy      string     `json:"used_by,omitempty"`
	// Token and Command are there only when the token has just been made.
	Token   string `json:"token,omitempty"`
	Command string `json:"command,omitempty"`
}

func tokenOf(t *pb.EnrollmentToken, now time.Time) Token {
	out := Token{
		ID: t.GetId(), Host: t.GetHost(), State: "open", CreatedTime: t.GetCreatedTime().AsTime(),
		ExpiresTime: t.GetExpiresTime().AsTime(), CreatedBy: t.GetCreatedBy(), UsedBy: t.GetUsedBy(),
	}
	switch {
	case t.GetUsedTime() != nil:
		out.State, out.UsedTime = "used", instant(t.GetUsedTime())
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

// CreateToken has the hub make a token and prints it with the command to use it.
func CreateToken(ctx context.Context, e *cli.Env, host string, ttl time.Duration, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Enrollment.CreateToken(ctx, &pb.CreateTokenRequest{Host: host, Ttl: durationpb.New(ttl)})
		if err != nil {
			return c.Explain(err)
		}
		t := tokenOf(resp.GetInfo(), e.Now())
		t.Token = resp.GetToken()
		t.Command = "amoskys-agent enroll --hub " + reachable(c.Addr) + " --token " + t.Token
		if host != "" {
			t.Command += " --host " + host
		}
		if asJSON {
			return cli.WriteJSON(e.Stdout, t)
		}
		_, err = fmt.Fprintf(e.Stdout, "token %s works once, until %s. On the new host:\n\n  %s\n",
			t.ID, t.ExpiresTime.Local().Format("2006-01-02 15:04:05"), t.Command)
		return err
	})
}

// reachable is an address of the hub that other hosts may dial.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "localhost" || ip.IsLoopback() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, port)
}

// ListTokens prints what the hub keeps of tokens.
func ListTokens(ctx context.Context, e *cli.Env, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Enrollment.ListTokens(ctx, &pb.ListTokensRequest{})
		if err != nil {
			return c.Explain(err)
		}
		tokens := make([]Token, 0, len(resp.GetTokens()))
		table := cli.NewTable("ID", "STATE", "HOST", "UNTIL", "CREATED BY", "USED BY")
		for _, p := range resp.GetTokens() {
			t := tokenOf(p, e.Now())
			tokens = append(tokens, t)
			host := t.Host
			if host == "" {
				host = "any"
			}
			table.Row(t.ID, t.State, host, t.ExpiresTime.Local().Format("2006-01-02 15:04"), t.CreatedBy, t.UsedBy)
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

// RevokeToken makes an unused token useless.
func RevokeToken(ctx context.Context, e *cli.Env, id string) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		if _, err := c.Enrollment.RevokeToken(ctx, &pb.RevokeTokenRequest{Id: id}); err != nil {
			return c.Explain(err)
		}
		_, err := fmt.Fprintf(e.Stdout, "token %s is revoked\n", id)
		return err
	})
}
