package identity

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"path/filepath"
)

// loadPair reads a certificate with its chain and the key that belongs to it. When
// it meets a replacement half done (see swapPair) it takes the staged certificate.
func loadPair(certFile, keyFile string) ([]*x509.Certificate, crypto.Signer, error) {
	certs, err := readCerts(certFile)
	if err != nil {
		return nil, nil, err
	}
	key, err := readKey(keyFile)
	if err != nil {
		return nil, nil, err
	}
	if belongs(key, certs[0]) {
		return certs, key, nil
	}
	if next := stagedFor(certFile, key); next != nil {
		return next, key, nil
	}
	// The swap may have ended between the two reads.
	if again, err := readCerts(certFile); err == nil && belongs(key, again[0]) {
		return again, key, nil
	}
	return nil, nil, fmt.Errorf("%s does not belong to %s: put back the key that was made with the certificate", keyFile, certFile)
}

// stagedFor returns the certificate that a replacement half done has staged for
// certFile, which may be a link, if key belongs to it.
func stagedFor(certFile string, key crypto.Signer) []*x509.Certificate {
	if target, err := filepath.EvalSymlinks(certFile); err == nil {
		certFile = target
	}
	certs, err := readCerts(filepath.Join(filepath.Dir(certFile), nextName(filepath.Base(certFile))))
	if err != nil || !belongs(key, certs[0]) {
		return nil
	}
	return certs
}
