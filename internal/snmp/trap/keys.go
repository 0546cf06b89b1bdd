package trap

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // what SNMPv3 has (RFC 3414, section 6)
	"crypto/sha1" //nolint:gosec // what SNMPv3 has (RFC 3414, section 7)
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// user is a credential of SNMPv3 whose passwords were stretched once: that takes a
// megabyte of hashing each, which nobody may cause again and again by sending traps in the
// name of ever new engines.
type user struct {
	snmp.Credential
	hash          func() hash.Hash
	digest        int    // how much of it a message carries, in octets
	auth, privacy []byte // keys that belong to no engine yet (RFC 3414, section A.2)
}

func newUser(c snmp.Credential) user {
	u := user{Credential: c, hash: hashOf(c.Auth), digest: digestSize(c.Auth)}
	if c.Auth != snmp.NoAuth {
		u.auth = stretch(u.hash(), c.AuthPassword)
	}
	if c.Privacy != snmp.NoPrivacy {
		u.privacy = stretch(u.hash(), c.PrivacyPassword)
	}
	return u
}

// hashOf is the hash of a protocol of authentication (RFC 3414, RFC 7860).
func hashOf(a snmp.Auth) func() hash.Hash {
	switch a {
	case snmp.MD5:
		return md5.New
	case snmp.SHA224:
		return sha256.New224
	case snmp.SHA256:
		return sha256.New
	case snmp.SHA384:
		return sha512.New384
	case snmp.SHA512:
		return sha512.New
	default:
		return sha1.New
	}
}

// digestSize is how much of the hash a message carries, in octets (RFC 3414, sections 6.3.1
// and 7.3.1; RFC 7860, section 4.1).
func digestSize(a snmp.Auth) int {
	switch a {
	case snmp.SHA224:
		return 16
	case snmp.SHA256:
		return 24
	case snmp.SHA384:
		return 32
	case snmp.SHA512:
		return 48
	default:
		return 12
	}
}

// stretched is how much of a repeated password is hashed, in octets.
const stretched = 1 << 20

// stretch makes a key of a password, or of another key.
func stretch(h hash.Hash, password string) []byte {
	if password == "" {
		return nil
	}
	chunk := make([]byte, 0, 64*len(password)) // whole passwords, so that each chunk goes on where the last ended
	for range 64 {
		chunk = append(chunk, password...)
	}
	for left := stretched; left > 0; left -= len(chunk) {
		_, _ = h.Write(chunk[:min(left, len(chunk))]) // A hash takes anything.
	}
	return h.Sum(nil)
}

// authKey is the user's at an engine, nil where there is none.
func (u *user) authKey(engine string) []byte {
	if u.auth == nil {
		return nil
	}
	return u.localize(u.auth, engine)
}

// privacyKey is the user's at an engine, nil where there is none. For ciphers with longer
// keys than the hash gives it is made longer, as Blumenthal's draft has it, or Reeder's,
// which Cisco uses: that one takes a megabyte of hashing, so that whoever asks has to have
// proven who he is.
func (u *user) privacyKey(engine string) []byte {
	if u.privacy == nil {
		return nil
	}
	privacy := u.localize(u.privacy, engine)
	size := privacySize(u.Privacy)
	for len(privacy) < size {
		if u.Privacy == snmp.AES192Cisco || u.Privacy == snmp.AES256Cisco {
			privacy = append(privacy, u.localize(stretch(u.hash(), string(privacy)), engine)...)
			continue
		}
		h := u.hash()
		_, _ = h.Write(privacy) // A hash takes anything.
		privacy = h.Sum(privacy)
	}
	return privacy[:size]
}

// proves says that a message was made with an authentication key: its digest is the
// beginning of the HMAC of the message with zeros in place of it (RFC 3414, section 6.3.2;
// RFC 7860, section 4.2.2).
func proves(h func() hash.Hash, size int, key, message []byte) bool {
	at, ok := digestOf(message)
	if !ok || at.to-at.from != size {
		return false
	}
	sum := hmac.New(h, key)
	_, _ = sum.Write(message[:at.from]) // A hash takes anything.
	_, _ = sum.Write(make([]byte, at.to-at.from))
	_, _ = sum.Write(message[at.to:])
	return hmac.Equal(sum.Sum(nil)[:at.to-at.from], message[at.from:at.to])
}

// extent is a part of a message, in octets.
type extent struct{ from, to int }

// digestOf is where the digest of a message of SNMPv3 stands (RFC 3414, section 2.4).
func digestOf(message []byte) (extent, bool) {
	body, _, ok := ber.Take(message, ber.Sequence)
	for _, tag := range []byte{ber.Integer, ber.Sequence} { // version, global data
		if ok {
			_, body, ok = ber.Take(body, tag)
		}
	}
	if ok {
		body, _, ok = ber.Take(body, ber.OctetString)
	}
	if ok {
		body, _, ok = ber.Take(body, ber.Sequence)
	}
	for _, tag := range []byte{ber.OctetString, ber.Integer, ber.Integer, ber.OctetString} { // engine, boots, time, user
		if ok {
			_, body, ok = ber.Take(body, tag)
		}
	}
	if !ok {
		return extent{}, false
	}
	digest, rest, ok := ber.Take(body, ber.OctetString)
	if !ok {
		return extent{}, false
	}
	end := cap(message) - cap(rest) // both are parts of the same octets
	return extent{end - len(digest), end}, true
}

// localize binds a key to an engine (RFC 3414, section 2.6).
func (u *user) localize(key []byte, engine string) []byte {
	h := u.hash()
	_, _ = h.Write(key) // A hash takes anything.
	_, _ = h.Write([]byte(engine))
	_, _ = h.Write(key)
	return h.Sum(nil)
}

// privacySize is the length of a key, in octets.
func privacySize(p snmp.Privacy) int {
	switch p {
	case snmp.AES192, snmp.AES192Cisco:
		return 24
	case snmp.AES256, snmp.AES256Cisco:
		return 32
	default:
		return 16
	}
}
