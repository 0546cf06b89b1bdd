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
	"os"
	"time"

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
	if !s.limits.take(addr, s.o.Now()) {
		s.answer(r.Context(), w, http.StatusTooManyRequests, identity.EnrollError{Error: "too many requests: try again in a minute"})
		return
	}
	select {
	case s.limits.running <- struct{}{}:
		defer func() { <-s.limits.running }()
	default:
		s.answer(r.Context(), w, http.StatusServiceUnavailable, identity.EnrollError{Error: "the hub is busy: try again"})
		return
	}
	act := &pb.AuditActivity{Actor: "unknown", Operation: "host.enroll", SrcIp: addr}
	resp, err := s.enroll(w, r, addr, act)
	var no *refusal
	switch {
	case err == nil:
		act.Success = true
	case !errors.As(err, &no):
		s.o.Logger.ErrorContext(r.Context(), "enrolment failed", obs.KeyPeer, addr, obs.KeyError, err)
		no = refuse(http.StatusInternalServerError, "the hub failed; its log says why")
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
func (s *Service) enroll(w http.ResponseWriter, r *http.Request, addr string, act *pb.AuditActivity) (*identity.EnrollResponse, error) {
	req, err := decode(http.MaxBytesReader(w, r.Body, identity.MaxEnrollBytes))
	if err != nil {
		return nil, err
	}
	token, err := identity.ParseToken(req.Token)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	act.Actor = "token " + hex.EncodeToString(token.ID[:])
	kept, err := s.known(r.Context(), token)
	if err != nil {
		return nil, err
	}
	ca, err := s.authority()
	if err != nil {
		return nil, refuse(http.StatusServiceUnavailable, "%v", err)
	}
	node, agent := s.id(ca, identity.RoleNode, req.Host), s.id(ca, identity.RoleAgent, req.Host)
	for _, id := range []identity.ID{node, agent} {
		if err := checkHost(id); err != nil {
			return nil, refuse(http.StatusBadRequest, "%v", err)
		}
	}
	act.Target = req.Host
	if kept.Host != "" && kept.Host != req.Host {
		return nil, refuse(http.StatusForbidden, "the token is for host %s, not for %s", kept.Host, req.Host)
	}
	resp, err := s.issue(ca, map[identity.ID]string{node: req.CSRNode, agent: req.CSRAgent})
	if err != nil {
		return nil, err
	}
	err = s.o.Store.UseToken(r.Context(), token.ID, token.SecretHash(), req.Host, req.Host+" from "+addr)
	if errors.Is(err, state.ErrNotFound) {
		return nil, refuse(http.StatusForbidden, "the token was used or revoked this moment")
	}
	return resp, err
}

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
		return kept, refuse(http.StatusForbidden, "the token is not known here: it was revoked, or is of another hub")
	}
	switch {
	case !kept.Used.IsZero():
		return kept, refuse(http.StatusForbidden, "the token was used on %s by %s", stamp(kept.Used), kept.UsedBy)
	case !s.o.Now().Before(kept.Expires):
		return kept, refuse(http.StatusForbidden, "the token ended on %s: make another", stamp(kept.Expires))
	}
	return kept, nil
}

// issue certifies the keys of signing requests.
func (s *Service) issue(ca *identity.CA, requests map[identity.ID]string) (*identity.EnrollResponse, error) {
	roots, err := os.ReadFile(s.o.CACert)
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	resp := &identity.EnrollResponse{CA: string(roots)}
	for id, csr := range requests {
		key, err := identity.RequestedKey([]byte(csr))
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "%s: %v", id.Role, err)
		}
		pair, err := ca.Issue(identity.IssueOptions{ID: id, PublicKey: key})
		if err != nil {
			return nil, err
		}
		if id.Role == identity.RoleNode {
			resp.NodeCert = string(pair.CertPEM)
		} else {
			resp.AgentCert = string(pair.CertPEM)
		}
	}
	return resp, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
