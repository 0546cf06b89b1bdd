package dashboard

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// keyPair is the certificate that browsers are shown. It is read again when its
// file has changed, so that a renewal needs no restart.
type keyPair struct {
	cert, key string

	mu       sync.Mutex // guards what follows
	loaded   *tls.Certificate
	modified time.Time
}

// get is a tls.Config.GetCertificate. A new file that cannot be read leaves the
// old certificate in place.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.cert)
	if err == nil && k.loaded != nil && info.ModTime().Equal(k.modified) {
		return k.loaded, nil
	}
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(k.cert, k.key); err == nil {
			k.loaded, k.modified = &pair, info.ModTime()
			return k.loaded, nil
		}
	}
	if k.loaded != nil {
		return k.loaded, nil
	}
	return nil, fmt.Errorf("read tls.cert_file and tls.key_file: %w", err)
}
