package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
)

// certsVerdict is what `certs verify --json` prints.
type certsVerdict struct {
	OK       bool               `json:"ok"`
	Files    []string           `json:"files"`
	Findings []identity.Finding `json:"findings"`
	Connect  *certsConnection   `json:"connect,omitempty"`
}

type certsConnection struct {
	identity.Probed
	OK     bool            `json:"ok"`
	Proxy  string          `json:"proxy,omitempty"` // on the way there, without credentials
	Reason identity.Reason `json:"reason,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// NewCertsVerifyCommand is "certs verify" of the program called name.
func NewCertsVerifyCommand(env *cli.Env, name string) *cobra.Command {
	var connect, as string
	var hosts []string
	var timeout time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every certificate, and say what to type against each fault",
		Long: "Checks each file in certs/: form, permissions, key, chain, dates, role and names. With --connect it also\n" +
			"makes a real connection to a hub and explains what either side says. Exits with 1 when something is wrong.",
		Example: "  " + name + " certs verify --connect localhost:5000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := env.Home.Check(); err != nil {
				return err
			}
			v := certsVerdict{}
			v.Files, v.Findings = identity.Verify(CertsDir(env), identity.VerifyOptions{
				Now: env.Now(), Command: Called(env, name), Obtain: obtain(env, name), Hosts: append([]string{"localhost"}, hosts...),
			})
			v.OK = true
			for _, f := range v.Findings {
				v.OK = v.OK && f.Warning
			}
			if connect != "" {
				ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
				defer cancel()
				v.Connect = tryConnect(ctx, env, connect, as)
				v.OK = v.OK && v.Connect.OK
			}
			if err := printVerdict(env, v, asJSON); err != nil {
				return err
			}
			if !v.OK {
				return cli.ErrSilent
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&connect, "connect", "", "also connect to a hub at HOST[:PORT]")
	f.StringVar(&as, "as", "agent", "certificate to connect with, by file name without .crt")
	f.StringSliceVar(&hosts, "host", nil, "a name or address that the hub's certificate should carry; may be repeated")
	f.DurationVar(&timeout, "timeout", 10*time.Second, "how long connecting may take")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func tryConnect(ctx context.Context, env *cli.Env, address, as string) *certsConnection {
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), "5000")
	}
	out := &certsConnection{}
	dialer, err := dial.ForCommand(env.Lookup, env.Home)
	if err == nil {
		out.Proxy = dialer.Via(address)
		out.Probed, err = identity.Probe(ctx, address, identity.FilesFor(CertsDir(env), as), identity.ClientOptions{Now: env.Now, Dial: dialer.Dial})
	}
	out.OK = err == nil
	if err != nil {
		out.Error = err.Error()
		if refused, ok := errors.AsType[*identity.Rejection](err); ok {
			out.Reason = refused.Reason
		}
	}
	return out
}

func printVerdict(env *cli.Env, v certsVerdict, asJSON bool) error {
	if asJSON {
		if v.Findings == nil {
			v.Findings = []identity.Finding{}
		}
		return cli.WriteJSON(env.Stdout, v)
	}
	var b strings.Builder
	for _, f := range v.Findings {
		mark := "wrong"
		if f.Warning {
			mark = "warning"
		}
		fmt.Fprintf(&b, "%s: %s %s\n    fix: %s\n", mark, f.File, cli.Clean(f.Problem), f.Fix)
	}
	if v.Connect != nil && v.Connect.Proxy != "" {
		fmt.Fprintf(&b, "connecting through the proxy %s\n", v.Connect.Proxy)
	}
	if len(v.Findings) == 0 {
		fmt.Fprintf(&b, "%s in %s checked, all well\n", cli.Counted(len(v.Files), "file", "files"), CertsDir(env))
	}
	switch c := v.Connect; {
	case c == nil:
	case !c.OK:
		fmt.Fprintf(&b, "wrong: %s: %s\n", c.Address, cli.Clean(c.Error))
	default:
		fmt.Fprintf(&b, "%s: %s, %s; the server is %s, valid until %s, and accepts this certificate\n",
			c.Address, c.Version, c.Suite, c.Server, c.NotAfter.Local().Format("2006-01-02 15:04"))
		if c.Answer != "" {
			fmt.Fprintf(&b, "    GET /health: %s\n", cli.Clean(c.Answer))
		}
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}
