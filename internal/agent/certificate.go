package agent

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/agent/renewal"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
)

// Files are the certificate files of this agent under home: those that the section
// hub names. Where that is the one that agents share, and this agent has one of its
// own beside it (see identity.AgentName), it is that one.
func (c *Common) Files(home config.Home) identity.Files {
	f := c.Hub.Files(home)
	shared := dial.DefaultHub("agent")
	if c.Hub.CertFile != shared.CertFile || c.Hub.KeyFile != shared.KeyFile {
		return f
	}
	own := identity.FilesFor(filepath.Dir(f.Cert), identity.AgentName(c.ID))
	if _, err := os.Stat(own.Cert); err != nil {
		return f
	}
	return identity.Files{CA: f.CA, Cert: own.Cert, Key: own.Key}
}

// certificateFault says when the certificate ends, once it should have been renewed;
// nil while there is time.
func certificateFault(f identity.Files, now time.Time) error {
	held, err := identity.Hold(f)
	if err != nil {
		return nil //nolint:nilerr // the connection says so, in better words
	}
	end := held.Cert.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case now.After(held.Cert.NotAfter):
		return errors.New(f.Cert + " expired on " + end + ": " + identity.EnrolAgain)
	case !now.Before(identity.RenewLate(held.Cert)):
		return errors.New(f.Cert + " ends on " + end + " and was not renewed: the log of the node says why, or of the agent if it was started by hand")
	default:
		return nil
	}
}

// renewer keeps this agent's own certificate alive, where no node does.
func (r *runner) renewer(f identity.Files) *renewal.Renewer {
	return renewal.New(renewal.Options{
		Files: func() []identity.Files { return []identity.Files{f} },
		Dial: func() (*grpc.ClientConn, error) {
			return renewal.Dial(r.common.Hub.Addr(), r.common.Hub.Name(), f, r.dial)
		},
		Condition: func(err error) { r.state.condition("renewal", err) },
		Now:       r.now, Logger: r.log,
	})
}
