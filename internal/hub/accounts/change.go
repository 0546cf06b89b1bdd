package accounts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// MinPassword is the fewest characters a new password may have.
const MinPassword = 12

// ChangePassword replaces the password of a session's user and ends the user's
// other sessions. INVALID_ARGUMENT says what the new password lacks,
// PERMISSION_DENIED that the old one is wrong.
func (s *Service) ChangePassword(ctx context.Context, req *pb.ChangePasswordRequest) (*pb.ChangePasswordResponse, error) {
	session, user, err := s.session(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	if err := CheckPolicy(user.Name, req.GetOldPassword(), req.GetNewPassword()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	// A stolen session must not become a way to guess the password.
	const from = "change"
	if err := s.tries.own(user.Name, from, s.o.Now()); err != nil {
		return nil, err
	}
	_, err = s.check(ctx, user.Name, req.GetOldPassword())
	if status.Code(err) == codes.Unauthenticated {
		s.audit(ctx, user.Name, "user.change_password", session.SrcIP, "wrong old password", false)
		return nil, status.Error(codes.PermissionDenied, "the old password is wrong")
	}
	if err != nil {
		return nil, err
	}
	hash, err := s.o.Hasher.Hash(ctx, req.GetNewPassword())
	if err != nil {
		return nil, s.hashing(ctx, err)
	}
	if _, err := s.o.Store.SetPassword(ctx, user.Name, hash, session.TokenHash[:]); err != nil {
		return nil, s.internal(ctx, "store password", err)
	}
	s.tries.byName.Forget(triesKey(user.Name, from))
	s.audit(ctx, user.Name, "user.change_password", session.SrcIP, "", true)
	return &pb.ChangePasswordResponse{}, nil
}

// CheckPolicy says what a new password lacks: 12 characters (NIST SP 800-63B
// asks for length, not for classes of characters), at most 256 bytes, and it
// neither holds the user's name nor is the old one.
func CheckPolicy(name, before, after string) error {
	switch {
	case !utf8.ValidString(after):
		return errors.New("a password must be UTF-8 text")
	case utf8.RuneCountInString(after) < MinPassword:
		return fmt.Errorf("a password needs at least %d characters", MinPassword)
	case len(after) > maxPassword:
		return fmt.Errorf("a password has at most %d bytes", maxPassword)
	case after == before:
		return errors.New("the new password must differ from the old one")
	case len(name) > 3 && strings.Contains(strings.ToLower(after), strings.ToLower(name)):
		return errors.New("a password must not contain the user's name")
	case distinct(after) < 5:
		return errors.New("a password needs at least 5 different characters")
	}
	return nil
}

func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}
