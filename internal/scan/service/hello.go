package service

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
)

// askOldTLS offers TLS 1.2 by hand and reads version and certificate in the clear (RFC
// 5246, section 7.4), where the usual handshake failed: devices have certificates that no
// parser takes, keys that are too short, and versions before TLS 1.0.
func askOldTLS(l *line) Facts {
	f := Facts{}
	if !l.send(clientHello()) {
		return f
	}
	var messages []byte
	for range 8 {
		record := l.framed(5, func(head []byte) int {
			if head[0] != 22 {
				return -1
			}
			return int(binary.BigEndian.Uint16(head[3:]))
		})
		if record == nil {
			break
		}
		messages = append(messages, record[5:]...)
		if f.readHello(messages) {
			break
		}
	}
	return f
}

// clientHello offers all suites that there are names for, and some for old devices.
func clientHello() []byte {
	var suites []byte
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = binary.BigEndian.AppendUint16(suites, s.ID)
	}
	for _, id := range []uint16{0x0039, 0x0033, 0x0016, 0x0015, 0x0009, 0x0004} { // DHE with AES and 3DES, DES, RC4 with MD5
		suites = binary.BigEndian.AppendUint16(suites, id)
	}
	// Groups P-256, P-384, X25519; points uncompressed; signatures by RSA and ECDSA.
	extensions := []byte{
		0, 10, 0, 8, 0, 6, 0, 23, 0, 24, 0, 29, 0, 11, 0, 2, 1, 0,
		0, 13, 0, 14, 0, 12, 4, 1, 4, 3, 5, 1, 5, 3, 2, 1, 2, 3,
	}
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(suites))), suites...)
	body = append(body, 1, 0)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(extensions))), extensions...)
	message := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{22, 3, 1, byte(len(message) >> 8), byte(len(message))}, message...)
}

// readHello reads ServerHello and Certificate; true once there is nothing more to come.
func (f Facts) readHello(b []byte) bool {
	for len(b) >= 4 {
		kind, n := b[0], int(b[1])<<16|int(b[2])<<8|int(b[3])
		if n > len(b)-4 {
			return n > maxAnswer
		}
		body := b[4 : 4+n]
		switch kind {
		case 2:
			if len(body) < 2 {
				return true
			}
			f["tls"] = "yes"
			f.put("tls.version", tls.VersionName(binary.BigEndian.Uint16(body)))
		case 11:
			f.readCertificates(body)
			return true
		}
		b = b[4+n:]
	}
	return false
}

// readCertificates takes the first of a chain: its hash always, the rest where it can be
// read.
func (f Facts) readCertificates(b []byte) {
	if len(b) < 6 {
		return
	}
	n := int(b[3])<<16 | int(b[4])<<8 | int(b[5])
	if n == 0 || n > len(b)-6 {
		return
	}
	der := b[6 : 6+n]
	sum := sha256.Sum256(der)
	f.put("tls.sha256", hex.EncodeToString(sum[:]))
	if c, err := x509.ParseCertificate(der); err == nil {
		f.certificate(c)
	} else {
		f.put("tls.fault", "its certificate cannot be read: "+printable(err.Error(), 120))
	}
}
