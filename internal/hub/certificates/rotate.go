package certificates

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Pace at which a fleet goes over to another authority, so that a hub of many hosts does
// not have all of them make handshakes and keys at once.
const (
	turnEvery   = 2 * time.Second
	turnAtOnce  = 100         // nodes told, and identities cut, in one turn
	turnAgain   = time.Minute // before a node is told again
	maxOldUsers = 1_000
	maxLooked   = 1_000_000 // certificates that are looked through
)

// rotation is what the service remembers of authorities that change. It holds no more
// than there are connections, and certificates that were renewed while one changes.
type rotation struct {
	mu sync.Mutex // guards what follows
	// digest names the authorities of the last turn.
	digest string
	// has is what each connected node trusts, as it said, or as it was told since;
	// told is when that was.
	has  map[string]string
	told map[string]time.Time
	// succeeded are serials of certificates that have a successor, cut is when connections
	// of those were closed for the change.
	succeeded map[string]bool
	cut       map[string]time.Time
}

func newRotation() rotation {
	return rotation{has: map[string]string{}, told: map[string]time.Time{}, succeeded: map[string]bool{}, cut: map[string]time.Time{}}
}

// succeeds notes that a certificate has a successor while an authority is replaced.
func (r *rotation) succeeds(serial string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.succeeded) < maxLooked {
		r.succeeded[serial] = true
	}
}

// NodeTrusts notes which authorities a node trusts that has connected: what
// identity.AuthoritiesDigest makes of them, or nothing from a node that does not say.
func (s *Service) NodeTrusts(nodeID, digest string) {
	s.rotation.mu.Lock()
	defer s.rotation.mu.Unlock()
	delete(s.rotation.told, nodeID)
	if digest == "" {
		delete(s.rotation.has, nodeID)
		return
	}
	s.rotation.has[nodeID] = digest
}

// RunRotation follows the authorities on disk until ctx ends: it tells nodes when they
// change, and closes connections of certificates that have a successor of the new one,
// so that whoever holds that shows it. Whoever publishes loses nothing by it: what was
// not acknowledged comes again, with its number.
func (s *Service) RunRotation(ctx context.Context) error {
	tick := time.NewTicker(turnEvery)
	defer tick.Stop()
	for {
		s.turn(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// turn looks once.
func (s *Service) turn(ctx context.Context) {
	_, roots, err := s.o.Issuer.Roots()
	if err != nil {
		return // whoever needs them says so
	}
	under, err := s.o.Issuer.Rotation()
	if err != nil {
		s.o.Logger.WarnContext(ctx, "the rotation of the authority cannot be followed", obs.KeyError, err)
		return
	}
	var peers []peer // looked at behind the locks of whoever has the connections
	s.o.Peers().EachPeer(func(id identity.ID, cert *x509.Certificate) { peers = append(peers, peer{id, cert}) })
	if s.rotation.follow(roots, under) {
		s.changed(ctx, roots)
	}
	if under.Stage == identity.StageTrusting && s.o.Now().Before(under.Issues()) {
		return // whoever came now would get a certificate of the old one again
	}
	old := oldAuthority(roots, under)
	tell, cut := s.rotation.due(peers, old, under.Stage == identity.StageSwitched, s.o.Now())
	for _, name := range tell {
		if !s.o.Tell(name, &pb.NodeCommand{Command: pb.AgentCommand_AGENT_COMMAND_CHECK_CERTIFICATES}) {
			s.rotation.untold(name)
		}
	}
	if len(cut) > 0 {
		n := s.o.Peers().CutPeers(func(_ identity.ID, cert *x509.Certificate) bool { return cut[cert.SerialNumber.Text(16)] })
		s.o.Logger.InfoContext(ctx, "connections closed so that they come with certificates of the new authority", obs.KeyCount, n)
	}
}

// peer is one connection.
type peer struct {
	id   identity.ID
	cert *x509.Certificate
}

// isOf says whether an authority issued a certificate that was verified when it came:
// where both name the key, it is that which counts.
func isOf(cert, authority *x509.Certificate) bool {
	if len(cert.AuthorityKeyId) > 0 && len(authority.SubjectKeyId) > 0 {
		return bytes.Equal(cert.AuthorityKeyId, authority.SubjectKeyId)
	}
	return identity.IssuerOf(cert, []*x509.Certificate{authority}) != nil
}

// due are the nodes to be told, and the serials of connections to be closed, in a turn.
func (r *rotation) due(peers []peer, old *x509.Certificate, switched bool, now time.Time) (tell []string, cut map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	connected := map[string]bool{}
	cut = map[string]bool{}
	for _, p := range peers {
		isOld := old != nil && isOf(p.cert, old)
		if p.id.Role == identity.RoleNode && !connected[p.id.Name] {
			connected[p.id.Name] = true
			has, says := r.has[p.id.Name]
			behind := isOld || says && has != r.digest
			if behind && len(tell) < turnAtOnce && now.Sub(r.told[p.id.Name]) >= turnAgain {
				tell = append(tell, p.id.Name)
				r.told[p.id.Name] = now
				if says { // or it says otherwise when it connects again
					r.has[p.id.Name] = r.digest
				}
			}
		}
		if serial := p.cert.SerialNumber.Text(16); isOld && len(cut) < turnAtOnce && r.isToGoOver(p.id, serial, switched, now) {
			cut[serial] = true
		}
	}
	for name := range r.told {
		if !connected[name] {
			delete(r.told, name)
		}
	}
	for name := range r.has {
		if !connected[name] {
			delete(r.has, name)
		}
	}
	return tell, cut
}

// isToGoOver says whether the connections of an old certificate are to be closed, as its
// holder has a new one or should have. One that comes again with the old one, as it had not
// written the new one yet, is closed again later.
func (r *rotation) isToGoOver(id identity.ID, serial string, switched bool, now time.Time) bool {
	ofHost := id.Role == identity.RoleNode || id.Role == identity.RoleAgent
	if now.Sub(r.cut[serial]) < turnAgain || !r.succeeded[serial] && (ofHost || !switched) {
		return false
	}
	r.cut[serial] = now
	return true
}

// untold takes back that a node was told.
func (r *rotation) untold(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.told, name)
}

// oldAuthority is the one that is being replaced, nil if none is.
func oldAuthority(roots []*x509.Certificate, under identity.Rotation) *x509.Certificate {
	if under.Stage == identity.StageNone {
		return nil
	}
	for _, c := range roots {
		if identity.Fingerprint(c) == under.Old {
			return c
		}
	}
	return nil
}

// follow notes which authorities there are, and says whether they have changed since the
// last turn.
func (r *rotation) follow(roots []*x509.Certificate, under identity.Rotation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	digest := identity.AuthoritiesDigest(roots)
	if digest == r.digest {
		return false
	}
	first := r.digest == ""
	r.digest = digest
	clear(r.told)
	if under.Stage == identity.StageNone {
		clear(r.succeeded)
		clear(r.cut)
	}
	return !first
}

// changed closes the connections of authorities that are trusted no more, and tells.
func (s *Service) changed(ctx context.Context, roots []*x509.Certificate) {
	n := s.o.Peers().CutPeers(func(_ identity.ID, cert *x509.Certificate) bool {
		return !slices.ContainsFunc(roots, func(root *x509.Certificate) bool { return isOf(cert, root) })
	})
	prints := make([]string, 0, len(roots))
	for _, c := range roots {
		prints = append(prints, identity.Fingerprint(c)[:16])
	}
	s.o.Logger.InfoContext(ctx, "other authorities are trusted", obs.KeyCount, len(roots), "cut", n)
	s.o.Auditor.Audit(ctx, &pb.AuditActivity{
		Actor: "file ca.crt", Operation: "authority.change", Success: true,
		Detail: fmt.Sprintf("trusted now: SHA-256 %s; %d connections of others closed", strings.Join(prints, ", "), n),
	})
}

// AuthorityStatus says how a change of the authority goes.
func (s *Service) AuthorityStatus(ctx context.Context, _ *pb.AuthorityStatusRequest) (*pb.AuthorityStatusResponse, error) {
	_, roots, err := s.o.Issuer.Roots()
	if err != nil {
		return nil, s.internal(ctx, "read the authorities", err)
	}
	under, err := s.o.Issuer.Rotation()
	if err != nil {
		return nil, s.internal(ctx, "read the rotation", err)
	}
	out := &pb.AuthorityStatusResponse{Stage: string(under.Stage)}
	issuing := ""
	if ca, err := s.o.Issuer.Issuing(); err == nil {
		issuing = identity.Fingerprint(ca.Cert)
	}
	own := s.o.Own()
	for _, c := range roots {
		a := &pb.Authority{
			Fingerprint: identity.Fingerprint(c), Subject: c.Subject.String(), NotAfter: timestamppb.New(c.NotAfter),
			Issuing: identity.Fingerprint(c) == issuing, OfHub: own != nil && isOf(own, c),
		}
		s.o.Peers().EachPeer(func(_ identity.ID, cert *x509.Certificate) {
			if isOf(cert, c) {
				a.Connections++
			}
		})
		out.Authorities = append(out.Authorities, a)
	}
	old := oldAuthority(roots, under)
	if old == nil {
		return out, nil
	}
	out.BegunTime = timestamppb.New(under.Begun)
	users, err := s.oldUsers(ctx, old, under)
	if err != nil {
		return nil, s.internal(ctx, "list certificates", err)
	}
	out.OldUsersTotal = uint32(len(users))
	out.OldUsers = users[:min(len(users), maxOldUsers)]
	return out, nil
}

// oldUsers are the certificates of the old authority that are in use: those with open
// connections, and the newest of each identity where it was known before the new
// one issued. No record says who issued a certificate; from then on only that one does.
func (s *Service) oldUsers(ctx context.Context, old *x509.Certificate, under identity.Rotation) ([]*pb.Certificate, error) {
	s.Flush(ctx)
	open, live := map[string]uint32{}, map[string]state.Certificate{}
	s.o.Peers().EachPeer(func(id identity.ID, cert *x509.Certificate) {
		if isOf(cert, old) {
			c := describe(cert, id)
			open[c.Serial]++
			live[c.Serial] = c
		}
	})
	kept, err := s.o.Store.Certificates(ctx, "", s.o.Now(), maxLooked)
	if err != nil {
		return nil, err
	}
	var users []*pb.Certificate
	add := func(c state.Certificate) {
		if m := s.message(c, open); m.GetRevokedTime() == nil {
			users = append(users, m)
		}
	}
	last := "" // they come by identity, the newest of each first
	for _, c := range kept {
		newest := c.Identity != last
		last = c.Identity
		if _, isLive := live[c.Serial]; isLive || newest && c.Known.Before(under.Issues()) {
			add(c)
			delete(live, c.Serial)
		}
	}
	for _, c := range live {
		add(c)
	}
	return users, nil
}
