// Package password hashes and verifies passwords with argon2id (RFC 9106) and
// makes random ones.
//
// One hash takes tens of megabytes and a tenth of a second of every core it may
// use, so a Hasher works on few at a time and turns callers away when too many
// wait: a flood of logins costs bounded memory.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// ErrBusy says that too many hashes are waiting; try again later.
var ErrBusy = errors.New("too many passwords are being checked")

// ErrFormat says that a stored hash cannot be read.
var ErrFormat = errors.New("not an argon2id hash")

// Params are the costs of one hash.
type Params struct {
	// MemoryKiB is the memory that one hash fills.
	MemoryKiB uint32
	// Passes over the memory.
	Passes uint32
	// Lanes computed in parallel.
	Lanes uint8
}

// Recommended returns the second recommended option of RFC 9106 section 4, for
// machines where 2 GiB a login is too much: 64 MiB, 3 passes, 4 lanes.
func Recommended() Params { return Params{MemoryKiB: 64 << 10, Passes: 3, Lanes: 4} }

// Largest costs that a stored hash may ask for, so that a tampered database
// cannot take the memory of the machine.
const (
	maxMemoryKiB = 1 << 20
	maxPasses    = 64
	maxBytes     = 1 << 10
	largeKiB     = 16 << 10
	saltBytes    = 16
	keyBytes     = 32
)

// Hasher hashes at most a few passwords at a time. It is safe for concurrent use.
type Hasher struct {
	params Params
	// slots bounds the hashes that run, queue those that run or wait.
	slots, queue chan struct{}
}

// New returns a Hasher that makes hashes with params, runs concurrency of them
// at once, and lets eight times as many wait.
func New(params Params, concurrency int) *Hasher {
	concurrency = max(concurrency, 1)
	return &Hasher{
		params: params,
		slots:  make(chan struct{}, concurrency),
		queue:  make(chan struct{}, concurrency*9),
	}
}

// Hash returns the PHC string of password under a new salt.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	release, err := h.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails: crypto/rand
	key := argon2.IDKey([]byte(password), salt, h.params.Passes, h.params.MemoryKiB, h.params.Lanes, keyBytes)
	return encode(h.params, salt, key), nil
}

// Decoy returns a hash that no password is known to give, for checking the
// password of a name that does not exist at the same cost as any other.
func (h *Hasher) Decoy() string {
	salt, key := make([]byte, saltBytes), make([]byte, keyBytes)
	_, _ = rand.Read(salt) // never fails: crypto/rand
	_, _ = rand.Read(key)
	return encode(h.params, salt, key)
}

// Verify reports whether password gives the hash encoded. It takes the same
// time for a right and a wrong password.
func (h *Hasher) Verify(ctx context.Context, encoded, password string) (bool, error) {
	params, salt, key, err := decode(encoded)
	if err != nil {
		return false, err
	}
	release, err := h.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	got := argon2.IDKey([]byte(password), salt, params.Passes, params.MemoryKiB, params.Lanes, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1, nil
}

// Outdated reports whether encoded was made with other costs than the hasher's.
func (h *Hasher) Outdated(encoded string) bool {
	params, _, _, err := decode(encoded)
	return err != nil || params != h.params
}

func (h *Hasher) acquire(ctx context.Context) (release func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
		return func() {
			if h.params.MemoryKiB >= largeKiB {
				// Give the memory of the hash back at once: logins are rare, and a hub
				// would keep tens of megabytes for nothing otherwise.
				debug.FreeOSMemory()
			}
			<-h.slots
			<-h.queue
		}, nil
	case <-ctx.Done():
		<-h.queue
		return nil, ctx.Err()
	}
}

func encode(p Params, salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.MemoryKiB, p.Passes, p.Lanes, b64.EncodeToString(salt), b64.EncodeToString(key))
}

func decode(encoded string) (p Params, salt, key []byte, err error) {
	if len(encoded) > maxBytes {
		return Params{}, nil, nil, ErrFormat
	}
	part := strings.Split(encoded, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v="+strconv.Itoa(argon2.Version) {
		return Params{}, nil, nil, ErrFormat
	}
	cost := strings.Split(part[3], ",")
	if len(cost) != 3 {
		return Params{}, nil, nil, ErrFormat
	}
	memory, ok1 := number(cost[0], "m=", maxMemoryKiB)
	passes, ok2 := number(cost[1], "t=", maxPasses)
	lanes, ok3 := number(cost[2], "p=", 255)
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(part[4])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(part[5])
	// RFC 9106 section 3.1 asks for 8 KiB a lane, 8 bytes of salt and 4 of tag at least.
	if !ok1 || !ok2 || !ok3 || memory < 8*lanes || err1 != nil || err2 != nil || len(salt) < 8 || len(key) < 16 {
		return Params{}, nil, nil, ErrFormat
	}
	return Params{MemoryKiB: memory, Passes: passes, Lanes: uint8(lanes)}, salt, key, nil
}

func number(s, prefix string, most uint64) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, prefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n == 0 || n > most || digits[0] == '0' {
		return 0, false
	}
	return uint32(n), true
}

// alphabet leaves out what people confuse: 0 O 1 l I.
const alphabet = "23456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"

// Random returns a password of 24 characters, 140 bits of chance, that a person
// can read off a screen.
func Random() string {
	var b strings.Builder
	most := big.NewInt(int64(len(alphabet)))
	for range 24 {
		n, _ := rand.Int(rand.Reader, most) // never fails: crypto/rand
		b.WriteByte(alphabet[n.Int64()])
	}
	return b.String()
}
