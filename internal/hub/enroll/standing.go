package enroll

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Standing is a join token that people keep where the hub reads it, such as a Secret of
// Kubernetes: it works for as long as it stands there, however many hosts it lets join.
type Standing struct {
	// Read returns the text of the token, and an empty one where there is none now. It is
	// called about once a minute. Nil: the configuration names none.
	Read func() (string, error)
	// HostPattern holds its hosts to names; empty is any.
	HostPattern string
}

const (
	standingLook  = time.Minute   // between two looks whether the token is there, and the same
	standingLife  = 2 * time.Hour // of a token, if nobody starts the hub again
	standingRenew = time.Hour     // before its end
)

// stands is the token that stands now.
type stands struct {
	mu    sync.Mutex // guards what follows
	swept bool       // those that stood before the hub was started are gone
	id    state.TokenID
	until time.Time // as the database has it; zero for no token
}

func (n *stands) is(id state.TokenID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.until.IsZero() && n.id == id
}

// standingMaker is who made a token that stands in the configuration.
const standingMaker = "configuration of the hub"

// RunStanding keeps the token of o good until ctx ends. What is wrong with it is logged
// when it changes; hosts are refused meanwhile, and nothing else.
func (s *Service) RunStanding(ctx context.Context, o Standing) error {
	ticker := time.NewTicker(standingLook)
	defer ticker.Stop()
	said := ""
	for {
		err := s.stand(ctx, o)
		switch {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			s.o.Logger.ErrorContext(ctx, "the join token of the configuration does not work", obs.KeyError, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// stand makes the token work that stands now, and ends the one that stood before.
func (s *Service) stand(ctx context.Context, o Standing) error {
	now := s.o.Now()
	text, err := "", error(nil)
	if o.Read != nil {
		text, err = o.Read()
	}
	if errors.Is(err, fs.ErrNotExist) { // a Secret that was deleted
		return errors.Join(s.fall(ctx), s.sweep(ctx, nil), err)
	}
	if err != nil {
		return err
	}
	if text == "" {
		return errors.Join(s.fall(ctx), s.sweep(ctx, nil))
	}
	token, err := identity.ParseToken(text)
	if err != nil {
		return err
	}
	id := state.TokenID(token.ID)
	if err := s.sweep(ctx, &id); err != nil {
		return err
	}
	s.standing.mu.Lock()
	same, until := s.standing.id == token.ID, s.standing.until
	s.standing.mu.Unlock()
	if same && until.Sub(now) > standingRenew {
		return nil
	}
	ca, err := s.authority()
	if err != nil {
		return err
	}
	if token.Pin != identity.PinOf(ca.Cert) {
		return errors.New("it is of another authority than the hub's: amoskys certs init --k8s writes both")
	}
	kept := state.Token{
		ID: token.ID, SecretHash: token.SecretHash(), HostPattern: o.HostPattern, Uses: maxUses,
		Created: now, Expires: now.Add(standingLife), CreatedBy: standingMaker,
	}
	if !same {
		if err := s.fall(ctx); err != nil {
			return err
		}
	}
	_, err = s.o.Store.Token(ctx, token.ID)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("read it: %w", err)
	}
	if isNew := err != nil; isNew {
		s.o.Auditor.Audit(ctx, &pb.AuditActivity{
			Actor: kept.CreatedBy, Operation: "token.create", Target: hex.EncodeToString(kept.ID[:]), Success: true,
			Detail: "for as long as it stands in enrollment.join_token",
		})
	}
	if err := s.o.Store.ExtendToken(ctx, kept); err != nil {
		return err
	}
	s.standing.mu.Lock()
	defer s.standing.mu.Unlock()
	s.standing.id, s.standing.until = token.ID, kept.Expires
	return nil
}

// fall makes the token useless that stood.
func (s *Service) fall(ctx context.Context) error {
	s.standing.mu.Lock()
	id, stood := s.standing.id, !s.standing.until.IsZero()
	s.standing.mu.Unlock()
	if !stood {
		return nil
	}
	if err := s.o.Store.RevokeToken(ctx, id); err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	s.o.Auditor.Audit(ctx, &pb.AuditActivity{
		Actor: standingMaker, Operation: "token.revoke", Target: hex.EncodeToString(id[:]), Success: true, Detail: standsNoMore,
	})
	s.standing.mu.Lock()
	defer s.standing.mu.Unlock()
	s.standing.until = time.Time{}
	return nil
}

const standsNoMore = "it stands in enrollment.join_token no more"

// sweep ends, once, the tokens that stood in the configuration and were taken away while the
// hub was stopped: all but the one that stands now.
func (s *Service) sweep(ctx context.Context, but *state.TokenID) error {
	s.standing.mu.Lock()
	swept := s.standing.swept
	s.standing.mu.Unlock()
	if swept {
		return nil
	}
	tokens, err := s.o.Store.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("look for those that stood before: %w", err)
	}
	for _, t := range tokens {
		if t.CreatedBy != standingMaker || but != nil && t.ID == *but || t.Spent() || !s.o.Now().Before(t.Expires) {
			continue
		}
		if err := s.o.Store.RevokeToken(ctx, t.ID); err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		s.o.Auditor.Audit(ctx, &pb.AuditActivity{
			Actor: standingMaker, Operation: "token.revoke", Target: hex.EncodeToString(t.ID[:]), Success: true, Detail: standsNoMore,
		})
	}
	s.standing.mu.Lock()
	defer s.standing.mu.Unlock()
	s.standing.swept = true
	return nil
}
