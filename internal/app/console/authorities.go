package console

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Authority is what `amoskys certs status --json` prints of one. Keys are only ever
// added: docs/cli.md promises them.
type Authority struct {
	Fingerprint string    `json:"fingerprint_sha256"`
	Subject     string    `json:"subject"`
	NotAfter    time.Time `json:"not_after"`
	Issuing     bool      `json:"issuing"`
	OfHub       bool      `json:"of_hub"`
	Connections uint32    `json:"connections"`
}

// Authorities is what `amoskys certs status --json` prints.
type Authorities struct {
	Stage       string        `json:"stage"` // "", trusting, switched
	BegunTime   *time.Time    `json:"begun_time,omitempty"`
	Authorities []Authority   `json:"authorities"`
	OldUsers    []Certificate `json:"old_users"` // who still uses the old one, at most 1,000
	Total       uint32        `json:"old_users_total"`
}

func authoritiesOf(r *pb.AuthorityStatusResponse, now time.Time) Authorities {
	out := Authorities{
		Stage: r.GetStage(), Authorities: []Authority{}, OldUsers: certificatesOf(r.GetOldUsers(), now), Total: r.GetOldUsersTotal(),
	}
	if r.GetBegunTime() != nil {
		out.BegunTime = instant(r.GetBegunTime())
	}
	for _, a := range r.GetAuthorities() {
		out.Authorities = append(out.Authorities, Authority{
			Fingerprint: a.GetFingerprint(), Subject: a.GetSubject(), NotAfter: a.GetNotAfter().AsTime(),
			Issuing: a.GetIssuing(), OfHub: a.GetOfHub(), Connections: a.GetConnections(),
		})
	}
	return out
}

func askAuthorities(ctx context.Context, e *cli.Env) (out Authorities, err error) {
	err = withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Certificates.AuthorityStatus(ctx, &pb.AuthorityStatusRequest{})
		if err != nil {
			return c.Explain(err)
		}
		out = authoritiesOf(resp, e.Now())
		return nil
	})
	return out, err
}

// AuthorityStatus prints which authorities the hub trusts, and who uses one that goes.
func AuthorityStatus(ctx context.Context, e *cli.Env, asJSON bool) error {
	s, err := askAuthorities(ctx, e)
	if err != nil {
		return err
	}
	if asJSON {
		return cli.WriteJSON(e.Stdout, s)
	}
	table := cli.NewTable("AUTHORITY", "SHA-256", "NOT AFTER", ">CONNECTIONS", "ISSUES", "HUB'S OWN")
	for _, a := range s.Authorities {
		table.Row(cli.Truncate(a.Subject, 40), a.Fingerprint[:min(16, len(a.Fingerprint))], a.NotAfter.Local().Format("2006-01-02"), a.Connections, yes(a.Issuing), yes(a.OfHub))
	}
	if err := table.Write(e.Stdout); err != nil {
		return err
	}
	switch identity.Stage(s.Stage) {
	case identity.StageTrusting:
		fmt.Fprintln(e.Stdout, "\nA new authority is trusted beside the old one; nodes and agents go over to it.")
	case identity.StageSwitched:
		fmt.Fprintln(e.Stdout, "\nHub, store and dashboard have certificates of the new authority; the old one is still trusted.")
	case identity.StageNone:
		return nil
	}
	return printOldUsers(e, s)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func printOldUsers(e *cli.Env, s Authorities) error {
	if s.Total == 0 {
		_, err := fmt.Fprintln(e.Stdout, "Nobody uses the old one any more.")
		return err
	}
	fmt.Fprintf(e.Stdout, "%s the old one:\n\n", cli.Counted(int(s.Total), "certificate still uses", "certificates still use"))
	if err := certificateTable(s.OldUsers).Write(e.Stdout); err != nil {
		return err
	}
	if int(s.Total) > len(s.OldUsers) {
		fmt.Fprintf(e.Stdout, "and %d more\n", int(s.Total)-len(s.OldUsers))
	}
	return nil
}

// RotateOptions say how to replace the authority.
type RotateOptions struct {
	Force bool
	Wait  time.Duration // 0: one step
	TTL   time.Duration // of the new authority; 0: the default
	JSON  bool
}

// RotationStep is what `amoskys certs rotate-ca --json` prints of each step.
type RotationStep struct {
	Step    string   `json:"step"` // begun, switched, finished
	Renewed []string `json:"renewed,omitempty"`
	Aside   string   `json:"set_aside,omitempty"`
}

// lookAgain is how often who waits asks the hub.
const lookAgain = time.Second

// RotateAuthority goes the next step in replacing the authority of this home, or all.
func RotateAuthority(ctx context.Context, e *cli.Env, o RotateOptions) error {
	dir := e.Home.Certs()
	if o.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Wait)
		defer cancel()
	}
	for {
		at, err := identity.ReadRotation(dir)
		if err != nil {
			return err
		}
		var awaited []string
		if at.Stage != identity.StageNone {
			if awaited, err = awaitOthers(ctx, e, o, &at); err != nil {
				return err
			}
		}
		if err := step(ctx, e, o, &at, awaited); err != nil {
			return err
		}
		if o.Wait == 0 || at.Stage == identity.StageSwitched {
			return nil
		}
	}
}

// step goes on from where a rotation is.
func step(ctx context.Context, e *cli.Env, o RotateOptions, from *identity.Rotation, awaited []string) error {
	ro := identity.RotateOptions{TTL: o.TTL, Now: e.Now, Awaited: awaited, Force: o.Force}
	var done RotationStep
	switch from.Stage {
	case identity.StageNone:
		if _, err := identity.BeginRotation(e.Home.Certs(), ro); err != nil {
			return err
		}
		done.Step = "begun"
	case identity.StageTrusting:
		if err := pause(ctx, from.Issues().Sub(e.Now())); err != nil { // seconds
			return err
		}
		renewed, err := identity.SwitchAuthority(e.Home.Certs(), ro)
		if err != nil {
			return err
		}
		done.Step = "switched"
		for _, r := range renewed {
			done.Renewed = append(done.Renewed, r.File)
		}
	case identity.StageSwitched:
		aside, err := identity.FinishRotation(e.Home.Certs(), ro)
		if err != nil {
			return err
		}
		done.Step, done.Aside = "finished", aside
	}
	if o.JSON {
		return cli.WriteJSON(e.Stdout, done)
	}
	_, err := fmt.Fprint(e.Stdout, done.text())
	return err
}

func (s RotationStep) text() string {
	switch s.Step {
	case "begun":
		return "A new authority is trusted beside the old one. Nodes and agents get certificates of it by themselves, some hundred hosts\n" +
			"in ten seconds; hosts that are away when they come back. Where certificates were copied to other machines, as for a\n" +
			"store or a dashboard, copy ca.crt there now. amoskys certs status shows who is left; then: amoskys certs rotate-ca\n"
	case "switched":
		return fmt.Sprintf("%s in certs/ are of the new authority. Where they were copied to other machines, copy them again.\n"+
			"Join tokens that were made before are for the old one: make others. Then: amoskys certs rotate-ca\n",
			cli.Counted(len(s.Renewed), "certificate", "certificates"))
	default:
		return "The old authority is trusted no more. It lies in " + s.Aside + " with its key: remove that.\n"
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// awaitOthers returns once nobody is left behind by the next step, or says who is. Awaited
// are those of this home that are connected, and are to be again after the step.
func awaitOthers(ctx context.Context, e *cli.Env, o RotateOptions, at *identity.Rotation) (awaited []string, err error) {
	for {
		s, err := askAuthorities(ctx, e)
		own := ownIdentities(e)
		if err == nil {
			awaited = connectedOf(s, own)
		}
		if o.Force {
			return awaited, nil
		}
		if err == nil {
			if identity.Stage(s.Stage) != at.Stage {
				return nil, fmt.Errorf("the hub that answers is at another step (%q, here %q): is it the one of %s?", s.Stage, at.Stage, e.Home)
			}
			left := leftBehind(s, own, at.Stage)
			if len(left) > 0 || int(s.Total) > len(s.OldUsers) {
				err = leftError(left, s)
			} else if err = askBack(ctx, e, at.Awaited); err == nil {
				return awaited, nil
			}
		}
		if o.Wait == 0 {
			return nil, err
		}
		if pause(ctx, lookAgain) != nil {
			return nil, fmt.Errorf("after %s: %w", o.Wait, err)
		}
	}
}

// connectedOf are the identities of this home's certificates that are connected with the old
// authority's. An operator's are commands, which come and go.
func connectedOf(s Authorities, own map[string]bool) []string {
	var ids []string
	for _, c := range s.OldUsers {
		if id, err := identity.Parse(c.ID); err == nil && own[c.ID] && c.Connections > 0 && id.Role != identity.RoleOperator {
			ids = append(ids, c.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// askBack says who of those that were connected before the hub went over has not come back.
// A store or a dashboard elsewhere refuses the hub where it does not trust the new
// authority, so that nothing else is seen of it.
func askBack(ctx context.Context, e *cli.Env, awaited []string) error {
	if len(awaited) == 0 {
		return nil
	}
	var away []string
	err := withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Certificates.ListCertificates(ctx, &pb.ListCertificatesRequest{})
		if err != nil {
			return c.Explain(err)
		}
		back := map[string]bool{}
		for _, one := range resp.GetCertificates() {
			if one.GetConnections() > 0 {
				back[one.GetIdentity()] = true
			}
		}
		away = slices.DeleteFunc(slices.Clone(awaited), func(id string) bool { return back[id] || resp.GetTruncated() })
		return nil
	})
	if err != nil || len(away) == 0 {
		return err
	}
	return fmt.Errorf("not connected since the hub has a certificate of the new authority: %s; where certificates were copied to other machines, "+
		"copy ca.crt and the pairs again; where it is stopped, say --force", strings.ReplaceAll(strings.Join(away, ", "), "spiffe://", ""))
}

func leftError(left []Certificate, s Authorities) error {
	names := make([]string, 0, len(left))
	for _, c := range left {
		names = append(names, strings.TrimPrefix(c.ID, "spiffe://"))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if most := 5; len(names) > most {
		names, more = names[:most], " and others"
	}
	return fmt.Errorf("%s of the old authority in use, by %s%s: amoskys certs status shows all; wait until they have come over, "+
		"or say --force, and they have to enrol again", cli.Counted(max(len(left), int(s.Total)-len(s.OldUsers)), "certificate is", "certificates are"),
		strings.Join(names, ", "), more)
}

// ownIdentities are those whose certificates lie in this home's certs/ folder, which the
// steps themselves replace.
func ownIdentities(e *cli.Env) map[string]bool {
	own := map[string]bool{}
	infos, err := identity.List(e.Home.Certs(), e.Now())
	if err != nil {
		return own // then all count
	}
	for _, i := range infos {
		own[i.ID] = true
	}
	return own
}

// leftBehind are those who would be by the step from a stage. Certificates of this home
// are replaced by it; from then on they count only while a connection is open with one.
func leftBehind(s Authorities, own map[string]bool, stage identity.Stage) []Certificate {
	return slices.DeleteFunc(slices.Clone(s.OldUsers), func(c Certificate) bool {
		return own[c.ID] && (stage == identity.StageTrusting || c.Connections == 0)
	})
}
