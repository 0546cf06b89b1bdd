package enroll

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/hub/certificates"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// refusal is an answer that says no. Text goes to the client, detail also to the
// audit trail.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code: code, text: fmt.Sprintf(format, args...)}
}

// Handler answers POST /v1/enroll and nothing else.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+identity.EnrollPath, s.serve)
	return mux
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	addr, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		addr = r.RemoteAddr
	}
	// The request is read before it takes a turn: whoever sends it slowly holds up
	// nobody.
	req, unreadable := decode(http.MaxBytesReader(w, r.Body, identity.MaxEnrollBytes))
	end, ok := s.limits.turn(r.Context())
	if !ok {
		s.answer(r.Context(), w, http.StatusServiceUnavailable, identity.EnrollError{Error: "the hub is busy: try again"})
		return
	}
	defer end()
	act := &pb.AuditActivity{Actor: "unknown", Operation: "host.enroll", SrcIp: addr}
	resp, err := s.enroll(r.Context(), &req, unreadable, addr, act)
	var no *refusal
	switch {
	case errors.Is(err, errTooMany):
		s.answer(r.Context(), w, http.StatusTooManyRequests, identity.EnrollError{Error: errTooMany.Error()})
		return
	case err == nil:
		act.Success = true
	case !errors.As(err, &no):
		s.o.Logger.ErrorContext(r.Context(), "enrolment failed", obs.KeyPeer, addr, obs.KeyError, err)
		no = refuse(http.StatusInternalServerError, "%s", state.Explain(err))
	}
	if no != nil {
		act.Detail = no.text
		s.o.Auditor.Audit(r.Context(), act)
		s.answer(r.Context(), w, no.code, identity.EnrollError{Error: no.text})
		return
	}
	s.o.Auditor.Audit(r.Context(), act)
	s.answer(r.Context(), w, http.StatusOK, resp)
}

func (s *Service) answer(ctx context.Context, w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.o.Logger.DebugContext(ctx, "enrolment not answered", obs.KeyError, err)
	}
}

// enroll answers one request; act is filled in as more becomes known. What may be
// wrong is found before the token is used, so that a mistake does not cost it.
func (s *Service) enroll(ctx context.Context, req *identity.EnrollRequest, unreadable error, addr string, act *pb.AuditActivity) (*identity.EnrollResponse, error) {
	kept, err := s.bearer(ctx, req, unreadable, act)
	if err != nil {
		if !s.limits.stranger(addr, s.o.Now()) {
			return nil, errTooMany
		}
		return nil, err
	}
	if !s.limits.bearer(act.GetActor(), s.o.Now()) {
		return nil, errTooMany
	}
	ca, err := s.o.Issuer.Issuing()
	if err != nil {
		err = fmt.Errorf("enrolment is off because %w", err)
		return nil, refuse(http.StatusServiceUnavailable, "%v", err)
	}
	host := s.o.Issuer.ID(ca, identity.RoleNode, req.Host).Normal()
	if err := checkHost(host); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	act.Target = host.Name
	if err := allows(&kept, host.Name, req); err != nil {
		return nil, err
	}
	requests, err := s.requests(ca, host.Name, req, act.GetActor())
	if err != nil {
		return nil, err
	}
	return s.issue(ctx, ca, &kept, requests, host.Name, addr, act)
}

// bearer finds the token that a request shows and that still works.
func (s *Service) bearer(ctx context.Context, req *identity.EnrollRequest, unreadable error, act *pb.AuditActivity) (state.Token, error) {
	if unreadable != nil {
		return state.Token{}, unreadable
	}
	token, err := identity.ParseToken(req.Token)
	if err != nil {
		return state.Token{}, refuse(http.StatusBadRequest, "%v", err)
	}
	act.Actor = "token " + hex.EncodeToString(token.ID[:])
	return s.known(ctx, token)
}

// allows holds a request to what its token was made for.
func allows(t *state.Token, host string, req *identity.EnrollRequest) error {
	if t.Host != "" && t.Host != host {
		return refuse(http.StatusForbidden, "the token is for host %s, not for %s", t.Host, host)
	}
	if t.HostPattern != "" {
		if fits, err := path.Match(t.HostPattern, host); err != nil || !fits {
			return refuse(http.StatusForbidden, "the token is for hosts %s, not for %s", t.HostPattern, host)
		}
	}
	for _, kind := range observing(req) {
		if len(t.Kinds) > 0 && !slices.Contains(t.Kinds, kind) {
			return refuse(http.StatusForbidden, "the token lets agents of kind %s speak of others, not those of kind %s: "+
				"leave the agent out, or make a token with --kinds", strings.Join(t.Kinds, ", "), kind)
		}
	}
	return nil
}

// observing are all observing kinds that a request asks for.
func observing(req *identity.EnrollRequest) []string {
	kinds := slices.Clone(req.Observes)
	for _, a := range req.Agents {
		kinds = append(kinds, a.Observes...)
	}
	return kinds
}

// requests are the certificates that a host asks for, the node's first.
func (s *Service) requests(ca *identity.CA, host string, req *identity.EnrollRequest, by string) ([]certificates.Request, error) {
	switch {
	case (req.CSRAgent == "") == (len(req.Agents) == 0):
		return nil, refuse(http.StatusBadRequest, "agents share one certificate, or each has its own: the request wants neither or both")
	case req.CSRNode == "" && len(req.Agents) == 0:
		return nil, refuse(http.StatusBadRequest, "without a node's certificate, agents enrol with one each: the request names none")
	case len(req.Agents) > identity.MaxEnrollAgents:
		return nil, refuse(http.StatusBadRequest, "%d agents are more than %d", len(req.Agents), identity.MaxEnrollAgents)
	case len(req.Machine) > maxMachine:
		return nil, refuse(http.StatusBadRequest, "the machine's id is longer than %d bytes", maxMachine)
	}
	if err := checkKinds(observing(req)); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	one := func(role identity.Role, name, csr string, observes []string) certificates.Request {
		id := s.o.Issuer.ID(ca, role, name).Normal()
		return certificates.Request{
			ID: id, CSR: csr, Observes: observes, NotBefore: s.o.Issuer.Since(id),
			Origin: state.OriginEnrolment, For: by, Machine: strings.ToValidUTF8(req.Machine, "?"),
		}
	}
	var out []certificates.Request
	if req.CSRNode != "" {
		out = append(out, one(identity.RoleNode, host, req.CSRNode, nil))
	}
	if req.CSRAgent != "" {
		return append(out, one(identity.RoleAgent, host, req.CSRAgent, req.Observes)), nil
	}
	for _, a := range req.Agents {
		r := one(identity.RoleAgent, host+"/"+a.ID, a.CSR, a.Observes)
		if err := r.ID.Validate(); err != nil {
			return nil, refuse(http.StatusBadRequest, "agent %.100q: %v", a.ID, err)
		}
		if slices.ContainsFunc(out, func(o certificates.Request) bool { return o.ID == r.ID }) {
			return nil, refuse(http.StatusBadRequest, "agent %q is named twice", a.ID)
		}
		out = append(out, r)
	}
	return out, nil
}

// maxMachine bounds a machine's id, in bytes.
const maxMachine = 128

func decode(body io.Reader) (identity.EnrollRequest, error) {
	var req identity.EnrollRequest
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := d.Decode(&req)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
			if _, tooLarge := errors.AsType[*http.MaxBytesError](more); tooLarge {
				err = more
			}
		}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return req, refuse(http.StatusRequestEntityTooLarge, "the request is longer than %d bytes", identity.MaxEnrollBytes)
	}
	if err != nil {
		return req, refuse(http.StatusBadRequest, "the request is not the JSON that is wanted")
	}
	return req, nil
}

// known returns what is kept of a token that may be used. Who does not have the
// secret learns nothing of the token.
func (s *Service) known(ctx context.Context, token identity.Token) (state.Token, error) {
	kept, err := s.o.Store.Token(ctx, token.ID)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return kept, err
	}
	hash := token.SecretHash()
	if err != nil || subtle.ConstantTimeCompare(hash[:], kept.SecretHash[:]) != 1 {
		// Alone of all refusals it may be another in a minute, when a token that stands in the
		// configuration is taken up.
		return kept, refuse(http.StatusUnauthorized, "the token is not known here: it was revoked, or is of another hub")
	}
	switch {
	case kept.Spent() && kept.Uses > 1:
		return kept, refuse(http.StatusForbidden, "the token was used %d times, as often as it may be", kept.UsedCount)
	case kept.Spent():
		return kept, refuse(http.StatusForbidden, "the token was used on %s by %s", stamp(kept.Used), kept.UsedBy)
	case !s.o.Now().Before(kept.Expires):
		return kept, refuse(http.StatusForbidden, "the token ended on %s: make another", stamp(kept.Expires))
	}
	return kept, nil
}

// issue certifies the keys of requests, and uses the token and keeps a record in one.
func (s *Service) issue(
	ctx context.Context, ca *identity.CA, t *state.Token, requests []certificates.Request, host, addr string, act *pb.AuditActivity,
) (*identity.EnrollResponse, error) {
	roots, _, err := s.o.Issuer.Roots()
	if err != nil {
		return nil, err
	}
	pairs, err := s.o.Issuer.Issue(ca, requests...)
	if errors.Is(err, certificates.ErrRequest) {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	if err != nil {
		return nil, err
	}
	warning := ""
	if requests[0].ID.Role == identity.RoleNode { // An agent alone takes nobody's place.
		if warning, err = s.rival(ctx, t, host, requests[0].Machine); err != nil {
			return nil, err
		}
	}
	err = s.o.Store.Enrol(ctx, t.ID, t.SecretHash, host, host+" from "+addr, s.o.Issuer.Records(requests, pairs)...)
	if errors.Is(err, state.ErrNotFound) {
		return nil, refuse(http.StatusForbidden, "the token was used or revoked this moment")
	}
	if err != nil {
		return nil, err
	}
	resp := &identity.EnrollResponse{CA: string(roots)}
	if warning != "" {
		act.Detail, resp.Warnings = warning, []string{warning}
	}
	for i, p := range pairs {
		switch id := requests[i].ID; {
		case id.Role == identity.RoleNode:
			resp.NodeCert = string(p.CertPEM)
		case id.AgentID() == "":
			resp.AgentCert = string(p.CertPEM)
		default:
			resp.AgentCerts = append(resp.AgentCerts, string(p.CertPEM))
		}
	}
	return resp, nil
}

// aliveFor is how long after its enrolment a machine counts as alive although it
// is not connected.
const aliveFor = 7 * 24 * time.Hour

// rival says what is to be known of another machine that bears the host's name
// already; nothing if there is none.
func (s *Service) rival(ctx context.Context, t *state.Token, host, machine string) (string, error) {
	known, err := s.o.Store.Certificates(ctx, host, s.o.Now(), 1_000)
	if err != nil {
		return "", err
	}
	var last state.Certificate
	for _, c := range known {
		if c.Machine != "" && c.Known.After(last.Known) {
			last = c
		}
	}
	connected := s.o.Connected(host)
	switch {
	case last.Machine == "" || machine == "" || last.Machine == machine:
		return "", nil
	case !connected && s.o.Now().Sub(last.Known) > aliveFor:
		return "", nil
	}
	seen := "joined on " + stamp(last.Known)
	if connected {
		seen += " and is connected now"
	}
	text := fmt.Sprintf("another machine called %s %s. ", host, seen)
	if t.Host != "" { // made for this name, so people mean it
		return text + "This one takes its place: switch the other off, because two machines of one name throw each other out", nil
	}
	return text + "Two machines of one name throw each other out: if both are to run, enrol this one under a name of its own, " +
		"with --force --host NAME or AMOSKYS_NODE_NAME", nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
