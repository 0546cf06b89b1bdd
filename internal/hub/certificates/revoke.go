package certificates

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/revoked"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// maxReason bounds the reason for a revocation, in bytes.
const maxReason = 512

// lookTime is how long a database may take to tell what a revocation ends.
const lookTime = 3 * time.Second

// RevokeCertificates refuses certificates from now on, and cuts the connections
// that are open with them before it answers.
func (s *Service) RevokeCertificates(ctx context.Context, req *pb.RevokeCertificatesRequest) (*pb.RevokeCertificatesResponse, error) {
	if len(req.GetReason()) > maxReason {
		return nil, status.Errorf(codes.InvalidArgument, "the reason has %d bytes, at most %d are kept", len(req.GetReason()), maxReason)
	}
	look, end := context.WithTimeout(ctx, lookTime)
	defer end()
	s.Flush(look) // what has just connected counts
	order, err := s.order(look, req)
	if err != nil {
		return nil, err
	}
	resp, unknown := s.effect(look, order)
	if unknown != nil && req.GetDryRun() {
		return nil, status.Errorf(codes.Unavailable, "what that ends is not known, because %s; to revoke it works all the same, with --yes", state.Explain(unknown))
	}
	if unknown != nil { // it is to be in force whatever the database does
		s.o.Logger.ErrorContext(ctx, "not known what a revocation ends", obs.KeyIdentity, order.target, obs.KeyError, unknown)
		resp = &pb.RevokeCertificatesResponse{Warning: "it is in force, but which certificates it ends is not known, because " + state.Explain(unknown)}
	}
	if unknown == nil && order.operation == "agent.revoke" && len(resp.GetCertificates()) == 0 && len(s.o.Agents(order.host)) == 0 {
		return nil, status.Errorf(codes.NotFound, "nothing is known of %s: no certificate in force and no agent; amoskys certs issued shows what is", order.target)
	}
	if req.GetDryRun() {
		return resp, nil
	}
	now := s.o.Now()
	order.reach(resp.GetCertificates(), now)
	list := order.revocations(s.actor(ctx, req), strings.ToValidUTF8(req.GetReason(), "?"), now)
	act := &pb.AuditActivity{Actor: list[0].Actor, Operation: order.operation, Target: order.target, Detail: req.GetReason()}
	switch err := s.o.Store.Revoke(ctx, list...); {
	case errors.Is(err, state.ErrFull):
		s.o.Auditor.Audit(ctx, act)
		return nil, status.Error(codes.ResourceExhausted, "the hub keeps no more revocations")
	case err != nil:
		// Whoever revokes must win, also on a full disk or without a database: it is in force
		// from here on, and Run writes it down as soon as that can be.
		s.owe(list)
		s.o.Logger.ErrorContext(ctx, "revocation is in force and not on disk yet", obs.KeyIdentity, order.target, obs.KeyError, err)
		resp.Warning = "it is in force, and not on disk yet, because " + state.Explain(err) + "; it is written as soon as that can be, and is lost if the hub ends before"
	}
	s.o.Revocations.Add(entries(list)...)
	resp.Connections = s.cut(ctx)
	act.Success = true
	act.Detail = strings.TrimPrefix(fmt.Sprintf("%s; %s and %s cut", act.GetDetail(),
		obs.Counted(len(resp.GetCertificates()), "certificate", "certificates"),
		obs.Counted(int(resp.GetConnections()), "connection", "connections")), "; ")
	s.o.Auditor.Audit(ctx, act)
	s.o.Logger.InfoContext(ctx, "certificates revoked", obs.KeyIdentity, order.target, obs.KeyCount, len(resp.GetCertificates()),
		"connections", resp.GetConnections())
	return resp, nil
}

// cut closes what is open with revoked certificates, and returns how many those were.
// The connection that asked is closed once it has had its answer.
func (s *Service) cut(ctx context.Context) (connections uint32) {
	_, own, _ := s.o.Caller(ctx)
	isRevoked := func(id identity.ID, cert *x509.Certificate) bool { return s.o.Revocations.Refusal(id, cert) != "" }
	mine := uint32(0)
	n := s.o.Peers().CutPeers(func(id identity.ID, cert *x509.Certificate) bool {
		if !isRevoked(id, cert) {
			return false
		}
		if own != nil && cert.Equal(own) {
			mine++
			return false
		}
		return true
	})
	if mine > 0 {
		time.AfterFunc(answerTime, func() { s.o.Peers().CutPeers(isRevoked) })
	}
	return uint32(n) + mine
}

// answerTime is what an answer has to reach whoever revoked their own certificate.
const answerTime = 2 * time.Second

func (s *Service) actor(ctx context.Context, req *pb.RevokeCertificatesRequest) string {
	actor := ""
	if id, _, ok := s.o.Caller(ctx); ok {
		actor = id.String()
	}
	if req.GetActor() != "" {
		actor = req.GetActor() + " by " + actor
	}
	return strings.ToValidUTF8(actor[:min(len(actor), maxReason)], "?")
}

// order is a revocation that was understood.
type order struct {
	operation string // for the audit trail
	target    string // as people write it
	targets   []string
	host      string // whose certificates it is about
	agent     string // the one agent that is meant; empty for all
	unknown   error  // why it is not known whose the certificate is
}

// reach names those of the order's certificates that its moment does not end, because
// they begin no earlier: issued within the same second, or by a clock that was ahead.
func (o *order) reach(certs []*pb.Certificate, now time.Time) {
	for _, c := range certs {
		if !c.GetNotBefore().AsTime().Before(now.Truncate(time.Second)) {
			o.targets = append(o.targets, revoked.SerialTarget(c.GetSerial()))
		}
	}
}

func (o *order) revocations(actor, reason string, now time.Time) []state.Revocation {
	list := make([]state.Revocation, 0, len(o.targets))
	for _, t := range o.targets {
		list = append(list, state.Revocation{Target: t, Time: now, Reason: reason, Actor: actor})
	}
	return list
}

func (s *Service) order(ctx context.Context, req *pb.RevokeCertificatesRequest) (*order, error) {
	switch t := req.GetTarget().(type) {
	case *pb.RevokeCertificatesRequest_Agent:
		return agentOrder(t.Agent)
	case *pb.RevokeCertificatesRequest_Serial:
		return s.serialOrder(ctx, t.Serial)
	}
	return nil, status.Error(codes.InvalidArgument, "name a host, an agent as HOST/ID, or a serial")
}

func agentOrder(name string) (*order, error) {
	id := identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleAgent, Name: name}.Normal()
	if err := id.Validate(); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "%.200q is no HOST and no HOST/AGENT_ID: %v", name, err)
	}
	o := &order{operation: "agent.revoke", target: id.Name, host: id.Host(), agent: id.AgentID()}
	shared := "agent/" + o.host
	if o.agent != "" {
		o.targets = []string{"agent/" + id.Name, shared}
		return o, nil
	}
	o.targets = []string{"node/" + o.host, shared, shared + "/*"}
	return o, nil
}

// maxSerial bounds a serial: RFC 5280 allows 20 octets.
const maxSerial = 160

func (s *Service) serialOrder(ctx context.Context, text string) (*order, error) {
	n, ok := new(big.Int).SetString(strings.ReplaceAll(strings.TrimSpace(text), ":", ""), 16)
	if !ok || n.Sign() <= 0 || n.BitLen() > maxSerial {
		return nil, status.Errorf(codes.InvalidArgument, "%.100q is no serial: hexadecimal digits, as amoskys certs issued shows", text)
	}
	serial := n.Text(16)
	if own := s.o.Own(); own != nil && own.SerialNumber.Cmp(n) == 0 {
		return nil, status.Errorf(codes.InvalidArgument, "%s is this hub's own certificate, and its clients would not hear of it: issue another with amoskys certs renew eventbus", serial)
	}
	o := &order{operation: "certificate.revoke", target: serial, targets: []string{revoked.SerialTarget(serial)}}
	kept, err := s.o.Store.Certificate(ctx, serial)
	if errors.Is(err, state.ErrNotFound) {
		return o, s.halfSerial(ctx, serial) // if none, it may come yet
	}
	if err != nil {
		o.unknown = err
		return o, nil
	}
	id, err := identity.Parse(kept.Identity)
	if err != nil {
		return o, nil //nolint:nilerr // a certificate of another tool may name nobody we know
	}
	o.host, o.agent = id.Host(), id.AgentID()
	return o, nil
}

// halfSerial is an error when known serials begin with one that is not known: it was
// copied in part, and to revoke it would leave in force what was meant.
func (s *Service) halfSerial(ctx context.Context, serial string) error {
	s.Flush(ctx)
	known, err := s.o.Store.Certificates(ctx, "", time.Time{}, maxListed)
	if err != nil {
		return s.internal(ctx, "revoke", err)
	}
	for _, c := range known {
		if strings.HasPrefix(c.Serial, serial) {
			return status.Errorf(codes.InvalidArgument, "%s is the beginning of %s, the serial of %s: name it whole", serial, c.Serial, c.Identity)
		}
	}
	return nil
}

// effect is what an order ends: certificates that are in force now, and agents.
func (s *Service) effect(ctx context.Context, o *order) (*pb.RevokeCertificatesResponse, error) {
	resp := &pb.RevokeCertificatesResponse{}
	if o.unknown != nil {
		return nil, o.unknown
	}
	if o.host == "" {
		return resp, nil // a certificate that has never been here
	}
	kept, err := s.o.Store.Certificates(ctx, o.host, s.o.Now(), maxListed)
	if err != nil {
		return nil, err
	}
	open := s.connections()
	left := map[string]bool{} // agents that can connect afterwards; "" is every one
	cut := map[string]bool{}
	for _, c := range kept {
		id, err := identity.Parse(c.Identity)
		m := s.message(c, open)
		if err != nil || m.GetRevokedTime() != nil {
			continue
		}
		if o.ends(id, c.Serial) {
			resp.Certificates = append(resp.Certificates, m)
			resp.Connections += m.GetConnections()
			if id.Role == identity.RoleAgent {
				cut[id.AgentID()] = true
			}
		} else if id.Role == identity.RoleAgent {
			left[id.AgentID()] = true
		}
	}
	agents := map[string]bool{}
	for _, agent := range append(s.o.Agents(o.host), o.agent) {
		if agent != "" && !left[agent] && !left[""] && (cut[agent] || cut[""] || agent == o.agent) {
			agents[o.host+"/"+agent] = true
		}
	}
	for agent := range cut {
		if agent != "" && !left[""] {
			agents[o.host+"/"+agent] = true
		}
	}
	resp.Agents = slices.Sorted(maps.Keys(agents))
	return resp, nil
}

// ends reports whether the order means a certificate.
func (o *order) ends(id identity.ID, serial string) bool {
	if slices.Contains(o.targets, revoked.SerialTarget(serial)) {
		return true
	}
	return slices.ContainsFunc(revoked.Targets(id), func(t string) bool { return slices.Contains(o.targets, t) })
}
