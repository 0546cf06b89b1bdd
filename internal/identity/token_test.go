package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func FuzzParseToken(f *testing.F) {
	ca, _, err := CreateCA(CAOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(NewToken(ca.Cert).Text())
	f.Add("amk1_" + strings.Repeat("A", 107))
	f.Add("amk1_" + strings.Repeat("A", 106) + "B")
	f.Add("amk1_" + strings.Repeat("\n", 107))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		token, err := ParseToken(s)
		if err != nil {
			if !errors.Is(err, ErrNotAToken) || err.Error() != ErrNotAToken.Error() {
				t.Errorf("the error may quote the token: %v", err)
			}
			return
		}
		if token.Text() != strings.TrimSpace(s) {
			t.Errorf("%q is read as %q", s, token.Text())
		}
	})
}

func TestTokenHidesItsSecret(t *testing.T) {
	ca, _, err := CreateCA(CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token := NewToken(ca.Cert)
	if back, err := ParseToken(" " + token.Text() + "\n"); err != nil || back != token {
		t.Errorf("read back %v, %v", back, err)
	}
	if s := token.String(); len(s) != len("token ")+32 {
		t.Errorf("String is %q", s)
	}
	if NewToken(ca.Cert) == token {
		t.Error("two tokens are the same")
	}
}

func request(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: csrType, Bytes: der})
}

func TestRequestedKey(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	long, _ := rsa.GenerateKey(rand.Reader, 2048)
	short, _ := rsa.GenerateKey(rand.Reader, 1024)
	good := request(t, p256)
	block, _ := pem.Decode(good)
	block.Bytes[len(block.Bytes)-1] ^= 1
	for name, tt := range map[string]struct {
		csr []byte
		ok  bool
	}{
		"P-256":           {good, true},
		"P-384":           {request(t, p384), true},
		"Ed25519":         {request(t, ed), true},
		"RSA 2048":        {request(t, long), true},
		"P-521":           {request(t, p521), false},
		"wrong signature": {pem.EncodeToMemory(block), false},
		"two requests":    {append(good, good...), false},
		"nothing":         {nil, false},
		"another block":   {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}), false},
	} {
		if key, err := RequestedKey(tt.csr); (err == nil) != tt.ok || (key != nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if short != nil {
		if _, err := RequestedKey(request(t, short)); err == nil {
			t.Error("a short RSA key is taken")
		}
	}
}
