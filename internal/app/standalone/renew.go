package standalone

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// renewEvery is how often certificates are looked at while up runs. They are due
// for the last third of their life, so a missed hour is nothing.
const renewEvery = time.Hour

// renewDue replaces the certificates that are past two thirds of their life, and
// returns a line for people, empty when nothing was due. Running roles take the
// new files up by themselves.
func renewDue(e *cli.Env) string {
	done, err := identity.Renew(e.Home.Certs(), identity.RenewOptions{Due: true, Now: e.Now})
	var names []string
	for _, d := range done {
		if !d.Skipped {
			names = append(names, d.Name)
		}
	}
	switch {
	case err != nil:
		return fmt.Sprintf("certificates are due and could not be renewed: %v", err)
	case len(names) == 0:
		return ""
	}
	return "renewed certificates: " + strings.Join(names, ", ")
}

// renew keeps the certificates fresh until ctx ends.
func (s *system) renew(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		report, err := identity.EnsureLayout(s.e.Home.Certs(), identity.LayoutOptions{Now: s.e.Now})
		if err != nil {
			s.logger.ErrorContext(ctx, "certificates cannot be looked at", obs.KeyError, err)
			continue
		}
		if len(report.Due) == 0 {
			continue
		}
		if text := renewDue(s.e); text != "" {
			s.logger.InfoContext(ctx, "certificates were due", obs.KeyReason, text)
			s.model.note(text)
			s.notify()
		}
	}
}
