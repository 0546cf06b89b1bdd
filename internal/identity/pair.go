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
	staged := filepath.Join(filepath.Dir(certFile), nextName(filepath.Base(certFile)))
	if next, err := readCerts(staged); err == nil && belongs(key, next[0]) {
		return next, key, nil
	}
	// The swap may have ended between the two reads.
	if again, err := readCerts(certFile); err == nil && belongs(key, again[0]) {
		return again, key, nil
	}
	return nil, nil, fmt.Errorf("%s does not belong to %s: put back the key that was made with the certificate", keyFile, certFile)
}
