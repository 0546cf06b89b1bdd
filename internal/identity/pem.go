package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxPEM bounds what is read from one certificate or key file, in bytes.
const maxPEM = 1 << 20

// Files names the three files one side of a connection needs. CA may hold several
// authorities one after the other, Cert may be followed by intermediates.
type Files struct{ CA, Cert, Key string }

// ParseCertificates reads every certificate of a PEM text, in order. Other blocks
// are passed over; no certificate at all is an error.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("holds no PEM certificate")
	}
	return certs, nil
}

// ParseKey reads the private key of a PEM text: PKCS#8, PKCS#1 (RSA) or SEC1 (EC).
func ParseKey(text []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			return nil, errors.New("holds no PEM private key")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errEncryptedKey
			}
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errEncryptedKey
			}
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errEncryptedKey
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("key of type %T cannot sign", key)
		}
		switch signer.(type) {
		case *ecdsa.PrivateKey, *rsa.PrivateKey, ed25519.PrivateKey:
			return signer, nil
		default:
			return nil, fmt.Errorf("key of type %T is not supported", key)
		}
	}
}

// errEncryptedKey is completed with the file's name by readKey.
var errEncryptedKey = errors.New("is protected by a passphrase")

func marshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func marshalCerts(certs ...*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range certs {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer takes everything
	}
	return out.Bytes()
}

// readPEM reads a bounded file.
func readPEM(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", file)
	}
	if info.Size() > maxPEM {
		return nil, fmt.Errorf("%s is %d bytes long: no certificate or key is", file, info.Size())
	}
	return os.ReadFile(file)
}

func readCerts(file string) ([]*x509.Certificate, error) {
	text, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	certs, err := ParseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return certs, nil
}

// readKey reads a key whose file others cannot read.
func readKey(file string) (crypto.Signer, error) {
	text, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	if err := refuseOpenKey(file); err != nil {
		return nil, err
	}
	key, err := ParseKey(text)
	if errors.Is(err, errEncryptedKey) {
		return nil, fmt.Errorf("%s %w: store it without one: openssl pkey -in %s -out %s.plain && mv %s.plain %s && chmod 600 %s",
			file, err, file, file, file, file, file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// belongs reports whether key is the private half of cert's key.
func belongs(key crypto.Signer, cert *x509.Certificate) bool {
	pub, ok := key.Public().(interface{ Equal(x crypto.PublicKey) bool })
	return ok && pub.Equal(cert.PublicKey)
}

// refuseOpenKey refuses a key file that everybody may read or that others may
// write. A group may read it, as container platforms need; [Verify] says so.
func refuseOpenKey(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if mode := openBits(info); mode&0o027 != 0 {
		return fmt.Errorf("%s is open to other users (mode %04o): run chmod 600 %s "+
			"(in Kubernetes set defaultMode: 0400 on the secret's volume, 0440 with fsGroup)", file, mode, file)
	}
	return nil
}

// refuseOpenFolder refuses a folder in which others could replace the authority.
func refuseOpenFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	if mode := openBits(info); mode&0o022 != 0 && !sticky(info) {
		return fmt.Errorf("%s may be written by other users (mode %04o), who could replace the authority in it: run chmod 700 %s",
			dir, mode, dir)
	}
	return nil
}

func sticky(info os.FileInfo) bool { return info.Mode()&os.ModeSticky != 0 }

// base is the file's name for messages about a folder already named.
func base(file string) string { return filepath.Base(file) }

// readKeyAnyMode is readKey without the refusal, for those who report modes apart.
func readKeyAnyMode(file string) (crypto.Signer, error) {
	text, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	return ParseKey(text)
}

// withoutPath words an error for a line that begins with the file's name.
func withoutPath(err error, file string) string {
	if errors.Is(err, os.ErrNotExist) {
		return "is missing"
	}
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), file), ": ")
}
