package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	tokenMark   = "amk1_"
	tokenID     = 16
	tokenSecret = 32
	tokenBytes  = tokenID + tokenSecret + sha256.Size
)

// ErrNotAToken says that a text is no enrolment token. It quotes nothing, as the
// text may be most of a secret.
var ErrNotAToken = errors.New("this is not a whole enrolment token: it begins with " + tokenMark +
	" and has 112 characters; amoskys token create makes one")

// Token lets one host enrol, once. It also pins the authority, so that the host
// knows the right hub before it trusts anything. Its text is a secret.
type Token struct {
	ID     [tokenID]byte
	Secret [tokenSecret]byte
	// Pin is the SHA-256 of the authority's SubjectPublicKeyInfo.
	Pin [sha256.Size]byte
}

// NewToken makes a token of random id and secret that pins the authority ca.
func NewToken(ca *x509.Certificate) Token {
	t := Token{Pin: PinOf(ca)}
	_, _ = rand.Read(t.ID[:]) // never fails: crypto/rand ends the program instead
	_, _ = rand.Read(t.Secret[:])
	return t
}

// PinOf returns the SHA-256 of a certificate's SubjectPublicKeyInfo.
func PinOf(cert *x509.Certificate) [sha256.Size]byte {
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo)
}

// Text returns the token as people carry it.
func (t Token) Text() string {
	b := append(append(append(make([]byte, 0, tokenBytes), t.ID[:]...), t.Secret[:]...), t.Pin[:]...)
	return tokenMark + base64.RawURLEncoding.EncodeToString(b)
}

// String names the token without its secret.
func (t Token) String() string { return fmt.Sprintf("token %x", t.ID) }

// SecretHash is what the hub keeps of the secret.
func (t Token) SecretHash() [sha256.Size]byte { return sha256.Sum256(t.Secret[:]) }

// ParseToken reads the text of a token, blanks around it left out. Every token has
// one text only.
func ParseToken(s string) (Token, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(s), tokenMark)
	if !ok || len(text) != base64.RawURLEncoding.EncodedLen(tokenBytes) || strings.ContainsAny(text, "\r\n") {
		return Token{}, ErrNotAToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != tokenBytes {
		return Token{}, ErrNotAToken
	}
	var t Token
	copy(t.ID[:], b)
	copy(t.Secret[:], b[tokenID:])
	copy(t.Pin[:], b[tokenID+tokenSecret:])
	return t, nil
}
