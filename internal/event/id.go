package event

import (
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
)

// IDSize is the length of an event id in bytes.
const IDSize = 16

// ID is an event id: a UUIDv7 (RFC 9562 section 5.7), so ids sort by the time
// they were made.
type ID [IDSize]byte

// NewID returns a fresh id. It fails only if the system has no randomness.
func NewID() (ID, error) {
	u, err := uuid.NewV7()
	if err != nil {
		return ID{}, fmt.Errorf("make event id: %w", err)
	}
	return ID(u), nil
}

// String returns the canonical text form of the id.
func (id ID) String() string { return uuid.UUID(id).String() }

// Append appends the canonical text form.
func (id ID) Append(dst []byte) []byte { return appendID(dst, id[:]) }

// IDString returns the canonical text form of an encoded id, or its bytes in
// hexadecimal when it has another length than a UUID.
func IDString(id []byte) string {
	if len(id) != IDSize {
		return hex.EncodeToString(id)
	}
	return ID(id).String()
}

// ParseID reads the canonical text form.
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	if err != nil {
		return ID{}, fmt.Errorf("parse event id %q: %w", s, err)
	}
	return ID(u), nil
}
