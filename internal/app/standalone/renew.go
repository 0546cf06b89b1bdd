package standalone

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// renewEvery is how often certificates are looked at while up runs. They are due
// for the last third of their life, so a missed hour is nothing.
const renewEvery = time.Hour

// renewDue replaces those of the named certificates that are past two thirds of
// their life, or older than a kind of agent that watches other hosts, and returns a
// line for people, empty when nothing was due. Running roles take the new files up
// by themselves.
func renewDue(e *cli.Env, due []string) string {
	if len(due) == 0 {
		return ""
	}
	done, err := identity.Renew(e.Home.Certs(), identity.RenewOptions{Names: due, Due: true, Observes: endpoint.Observing(), Now: e.Now})
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
	slices.Sort(names)
	return "renewed certificates: " + strings.Join(names, ", ")
}

// withoutHosts leaves out what the node renews over the hub, like every other node:
// its own certificate and its agents', as long as they let it in there.
func withoutHosts(e *cli.Env, due []string) []string {
	infos, err := identity.List(e.Home.Certs(), e.Now())
	if err != nil {
		return due
	}
	return slices.DeleteFunc(slices.Clone(due), func(name string) bool {
		return slices.ContainsFunc(infos, func(i identity.Info) bool {
			return i.Name == name && i.State == identity.StateDue && (i.Role == identity.RoleNode || i.Role == identity.RoleAgent)
		})
	})
}

// renew keeps the certificates of hub, dashboard and operator fresh until ctx ends.
func (s *system) renew(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		report, err := identity.EnsureLayout(s.e.Home.Certs(), identity.LayoutOptions{Now: s.e.Now, Observes: endpoint.Observing()})
		if err != nil {
			s.logger.ErrorContext(ctx, "certificates cannot be looked at", obs.KeyError, err)
			continue
		}
		if text := renewDue(s.e, withoutHosts(s.e, report.Due)); text != "" {
			s.logger.InfoContext(ctx, "certificates were due", obs.KeyReason, text)
			s.model.note(text)
			s.notify()
		}
	}
}
