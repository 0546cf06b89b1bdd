package play

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // what SNMP version 3 has (RFC 3414, section 8)
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // what SNMP version 3 has (RFC 3414, section 6)
	"crypto/sha1" //nolint:gosec // what SNMP version 3 has (RFC 3414, section 7)
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/amoskys/amoskys/internal/snmp"
)

// stretched is how much of a repeated password is hashed to a key (RFC 3414, section
// A.2), in octets.
const stretched = 1 << 20

// userKeys are the keys of one user at one engine.
type userKeys struct {
	user       string
	flags      byte // the security that the user has to use
	hash       func() hash.Hash
	digestSize int
	auth       []byte
	privacy    snmp.Privacy
	key        []byte
}

// makeKeys derives the keys of all users of a device. Passwords are stretched once
// for all devices, which hold what came of it in the map.
func (d *Device) makeKeys(passwords map[string][]byte) error {
	for _, u := range d.Users {
		if u.Version == "" {
			u.Version = snmp.V3
		}
		if err := u.Check(); err != nil {
			return fmt.Errorf("%v: %w", u, err)
		}
		k := userKeys{user: u.User, privacy: u.Privacy}
		if u.Auth != snmp.NoAuth {
			k.flags |= flagAuth
			k.hash, k.digestSize = algorithm(u.Auth)
			k.auth = localKey(k.hash, string(u.Auth), u.AuthPassword, d.Engine, passwords)
		}
		if u.Privacy != snmp.NoPrivacy {
			k.flags |= flagPrivacy
			k.key = localKey(k.hash, string(u.Auth), u.PrivacyPassword, d.Engine, passwords)
			k.key = stretchKey(k, d.Engine)
		}
		d.keys = append(d.keys, k)
	}
	return nil
}

// algorithm is the hash of a protocol, and how much of it a message carries (RFC
// 3414, section 6.3.1; RFC 7860, section 4.1).
func algorithm(a snmp.Auth) (h func() hash.Hash, size int) {
	switch a {
	case snmp.MD5:
		return md5.New, 12
	case snmp.SHA224:
		return sha256.New224, 16
	case snmp.SHA256:
		return sha256.New, 24
	case snmp.SHA384:
		return sha512.New384, 32
	case snmp.SHA512:
		return sha512.New, 48
	default:
		return sha1.New, 12
	}
}

// localKey makes the key of a password at an engine (RFC 3414, section 2.6).
func localKey(newHash func() hash.Hash, name, password string, engine []byte, passwords map[string][]byte) []byte {
	id := name + "\x00" + password
	general := passwords[id]
	if general == nil {
		h := newHash()
		_, _ = io.CopyN(h, &repeated{text: password}, stretched) // hashes take everything
		general = h.Sum(nil)
		passwords[id] = general
	}
	return localize(newHash, general, engine)
}

func localize(newHash func() hash.Hash, general, engine []byte) []byte {
	h := newHash()
	h.Write(general)
	h.Write(engine)
	h.Write(general)
	return h.Sum(nil)
}

// repeated reads a text over and over.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(b []byte) (int, error) {
	if r.text == "" {
		return 0, errors.New("nothing to repeat")
	}
	for i := range b {
		b[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(b), nil
}

// stretchKey makes a key as long as the cipher needs: as Blumenthal's draft has it,
// or as Reeder's has it for what Cisco uses.
func stretchKey(k userKeys, engine []byte) []byte {
	need := map[snmp.Privacy]int{snmp.DES: 16, snmp.AES: 16, snmp.AES192: 24, snmp.AES192Cisco: 24, snmp.AES256: 32, snmp.AES256Cisco: 32}[k.privacy]
	key := k.key
	for len(key) < need {
		h := k.hash()
		if k.privacy == snmp.AES192Cisco || k.privacy == snmp.AES256Cisco {
			_, _ = io.CopyN(h, &repeated{text: string(key)}, stretched)
			key = append(key, localize(k.hash, h.Sum(nil), engine)...)
			continue
		}
		h.Write(key)
		key = append(key, h.Sum(nil)...)
	}
	return key[:need]
}

// sign is the digest of a message in which its place is zero.
func (k *userKeys) sign(message []byte) []byte {
	mac := hmac.New(k.hash, k.auth)
	mac.Write(message)
	return mac.Sum(nil)[:k.digestSize]
}

// encrypt gives the encrypted data and the privacy parameters.
func (k *userKeys) encrypt(plain []byte, boots, seconds int64, count uint64) (data, salt []byte) {
	if k.privacy != snmp.DES {
		salt = binary.BigEndian.AppendUint64(nil, count)
		return k.feedback(plain, boots, seconds, salt, true), salt
	}
	salt = binary.BigEndian.AppendUint32(nil, uint32(boots))
	salt = binary.BigEndian.AppendUint32(salt, uint32(count))
	data = append([]byte(nil), plain...)
	for len(data)%des.BlockSize != 0 {
		data = append(data, 0)
	}
	cipher.NewCBCEncrypter(k.des(), k.desVector(salt)).CryptBlocks(data, data)
	return data, salt
}

// decrypt gives what was encrypted; with a wrong key, anything.
func (k *userKeys) decrypt(data []byte, boots, seconds int64, salt []byte) []byte {
	if k.privacy != snmp.DES {
		return k.feedback(data, boots, seconds, salt, false)
	}
	if len(data)%des.BlockSize != 0 {
		return nil
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(k.des(), k.desVector(salt)).CryptBlocks(plain, data)
	return plain
}

func (k *userKeys) des() cipher.Block {
	block, err := des.NewCipher(k.key[:8]) //nolint:gosec // see above
	if err != nil {
		panic(err) // a key of 8 octets is one
	}
	return block
}

// desVector is the vector to begin with (RFC 3414, section 8.1.1.1).
func (k *userKeys) desVector(salt []byte) []byte {
	vector := make([]byte, des.BlockSize)
	for i := range vector {
		vector[i] = k.key[8+i] ^ salt[i]
	}
	return vector
}

// feedback is AES with cipher feedback of 128 bits, in either direction (RFC 3826,
// section 3).
func (k *userKeys) feedback(in []byte, boots, seconds int64, salt []byte, encrypt bool) []byte {
	block, err := aes.NewCipher(k.key)
	if err != nil {
		panic(err) // stretchKey gives keys that fit
	}
	var vector, pad [aes.BlockSize]byte
	binary.BigEndian.PutUint32(vector[:4], uint32(boots))
	binary.BigEndian.PutUint32(vector[4:8], uint32(seconds))
	copy(vector[8:], salt)
	out := make([]byte, len(in))
	for at := 0; at < len(in); at += aes.BlockSize {
		block.Encrypt(pad[:], vector[:])
		end := min(at+aes.BlockSize, len(in))
		for i := at; i < end; i++ {
			out[i] = in[i] ^ pad[i-at]
		}
		if encrypt {
			copy(vector[:], out[at:end])
		} else {
			copy(vector[:], in[at:end])
		}
	}
	return out
}
