package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/amoskys/amoskys/internal/vfs"
)

// keysFolder is where the sealed keys lie, of a snapshot alone: in no home.
const keysFolder = "keys"

// KeysPath is the path of the sealed keys in a snapshot.
const KeysPath = keysFolder + "/keys.age"

// Key is a file with a private key.
type Key struct {
	Path    string      `json:"path"` // below the home, with slashes
	Mode    fs.FileMode `json:"mode"`
	Content []byte      `json:"content"`
}

// MaxKeysBytes bounds the keys of one installation, sealed.
const MaxKeysBytes = 4 << 20

// Errors about keys.
var (
	// ErrNoRecipient says that nobody is named for whom keys could be sealed.
	ErrNoRecipient = errors.New("keys are only saved sealed: name a file with a passphrase, or one with recipients of age")
	// ErrWrongKey says that what was given does not open the keys.
	ErrWrongKey = errors.New("this does not open the keys of the backup: it takes the passphrase, or an identity of one of the recipients, that it was made with")
)

// Sealing is for whom keys are sealed, or who opens them: a passphrase, or the text of a
// file with recipients of age, or with its identities.
type Sealing struct {
	Passphrase string
	Recipients string
	Identities string
	// WorkFactor of a passphrase is the logarithm of how much it costs to try one; 0 for
	// age's own.
	WorkFactor int
}

// leastPassphrase is how many bytes a passphrase must have.
const leastPassphrase = 10

// Seal encrypts keys with age (https://age-encryption.org/v1).
func (s *Sealing) Seal(keys []Key) ([]byte, error) {
	to, err := s.recipients()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal the keys: %w", err)
	}
	if out.Len() > MaxKeysBytes {
		return nil, fmt.Errorf("the keys take %d bytes, more than %d", out.Len(), MaxKeysBytes)
	}
	return out.Bytes(), nil
}

func (s *Sealing) recipients() ([]age.Recipient, error) {
	switch {
	case s.Recipients != "":
		to, err := age.ParseRecipients(strings.NewReader(s.Recipients))
		if err != nil {
			return nil, fmt.Errorf("read the recipients: %w", err)
		}
		return to, nil
	case s.Passphrase == "":
		return nil, ErrNoRecipient
	case len(s.Passphrase) < leastPassphrase:
		return nil, fmt.Errorf("the passphrase must have at least %d characters: whoever has the backup may try for years", leastPassphrase)
	}
	r, err := age.NewScryptRecipient(s.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("take the passphrase: %w", err)
	}
	if s.WorkFactor > 0 {
		r.SetWorkFactor(s.WorkFactor)
	}
	return []age.Recipient{r}, nil
}

// Unseal opens keys. Their paths are checked as those of a manifest.
func (s *Sealing) Unseal(sealed []byte) ([]Key, error) {
	var by []age.Identity
	switch {
	case s.Identities != "":
		ids, err := age.ParseIdentities(strings.NewReader(s.Identities))
		if err != nil {
			return nil, fmt.Errorf("read the identities: %w", err)
		}
		by = ids
	case s.Passphrase != "":
		id, err := age.NewScryptIdentity(s.Passphrase)
		if err != nil {
			return nil, fmt.Errorf("take the passphrase: %w", err)
		}
		by = []age.Identity{id}
	default:
		return nil, ErrWrongKey
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), by...)
	if err != nil {
		if _, none := errors.AsType[*age.NoIdentityMatchError](err); none {
			return nil, ErrWrongKey
		}
		return nil, fmt.Errorf("%w: its keys do not open: %w", ErrDamaged, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxKeysBytes))
	if err != nil {
		return nil, fmt.Errorf("%w: its keys do not open: %w", ErrDamaged, err)
	}
	var keys []Key
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, fmt.Errorf("%w: its keys cannot be read: %w", ErrDamaged, err)
	}
	for _, k := range keys {
		if err := checkPath(k.Path); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if k.Mode&^0o777 != 0 {
			return nil, fmt.Errorf("%w: the key %s has an impossible mode", ErrDamaged, k.Path)
		}
	}
	return keys, nil
}

// WriteKeys writes keys below a folder, durably. None can be read by others than its owner.
func WriteKeys(into string, keys []Key) error {
	folders := map[string]bool{}
	for _, k := range keys {
		to := filepath.Join(into, filepath.FromSlash(k.Path))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return fmt.Errorf("write the keys: %w", err)
		}
		if err := WriteFile(to, k.Content, k.Mode&0o700|0o600); err != nil {
			return fmt.Errorf("write the keys: %w", err)
		}
		for at := filepath.Dir(to); len(at) >= len(into) && !folders[at]; at = filepath.Dir(at) {
			folders[at] = true
		}
	}
	for folder := range folders {
		if err := (vfs.OS{}).SyncDir(folder); err != nil {
			return fmt.Errorf("write the keys: %w", err)
		}
	}
	return nil
}
