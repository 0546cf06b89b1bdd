// Package snmp asks one network device by SNMP: versions 1 (RFC 1157), 2c (RFC
// 3416) and 3 with the user-based security model (RFC 3414, 3826 and 7860).
//
// A Client has a socket and security parameters of its own, as those of version 3
// belong to one engine. Weak devices are the rule, so a Client lowers what it asks
// for until the device answers, and says in Manners what worked, for the caller to
// keep until the next time. Whatever a device sends is bounded in rows, bytes and
// time, and a table that fails costs only itself: what was read before has been
// handed on, and the error says how much that was.
//
// Messages are written and read by gosnmp; in front of it stands line, which lets
// only whole, well-formed answers to what was asked pass, from the address that was
// asked. Neither errors nor logs ever hold a community or a password.
package snmp

import (
	"cmp"
	"context"
	"net/netip"
	"time"
)

// Getter is what reads values of a device. A Client is one; so is whatever stands
// for a device in tests.
type Getter interface {
	// Get returns one variable for each OID, in the same order; those that the
	// device does not have are Missing.
	Get(ctx context.Context, oids ...string) ([]Variable, error)
	// Walk calls each for every variable below root, in increasing order of OID.
	Walk(ctx context.Context, root string, each func(Variable) error) error
}

var _ Getter = (*Client)(nil)

// DefaultPort is the UDP port on which devices answer (RFC 3417, section 3.1).
const DefaultPort = 161

// Defaults for what a Target leaves empty.
const (
	DefaultTimeout     = 2 * time.Second
	DefaultRepetitions = 25
)

// Target is a device and how it is asked. The zero value of each field but Addr and
// Credential has a meaning.
type Target struct {
	// Addr is where the device answers, by UDP.
	Addr netip.AddrPort
	// Credential opens it.
	Credential Credential
	// Timeout is how long one try waits; 0 is DefaultTimeout.
	Timeout time.Duration
	// Retries is how often a request without an answer is sent again.
	Retries int
	// MaxRepetitions is how many rows a GETBULK asks for at most; 0 is
	// DefaultRepetitions, 1 has GETNEXT used.
	MaxRepetitions int
	// Manners is what an earlier Client learnt about this device.
	Manners Manners
	// Limits bound one walk, and all that is read.
	Limits Limits
}

// Limits bound what one walk may take, and the last of them all that a Client reads. 0
// is the default.
type Limits struct {
	// Rows is how many variables at most: 500,000.
	Rows int
	// Bytes is how much of names and values at most: 64 MiB.
	Bytes int
	// Time is how long at most: 5 minutes.
	Time time.Duration
	// Total is how many bytes of UDP payload one Client takes of its device, all requests
	// together; no further one is sent then. 0 is no bound.
	Total uint64
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Rows:  cmp.Or(l.Rows, 500_000),
		Bytes: cmp.Or(l.Bytes, 64<<20),
		Time:  cmp.Or(l.Time, 5*time.Minute),
		Total: l.Total,
	}
}

// Manners is what was learnt about how a device wants to be asked. Keep it with the
// device and give it back in Target. The zero value knows nothing yet. A device that
// was only slow once stays marked as weak, so forget its Manners now and then, such
// as once a day.
type Manners struct {
	// Repetitions is how many rows a GETBULK may ask for; 1 is GETNEXT alone, 0
	// is not known.
	Repetitions int `json:"repetitions,omitempty"`
	// Batch is how many variables one request may name; 0 is not known.
	Batch int `json:"batch,omitempty"`
	// Together is how many variables an answer for several columns may hold; 1 is
	// that the device does not bear to be asked for several, 0 is not known.
	Together int `json:"together,omitempty"`
}

// Counts say what a Client has sent and met.
type Counts struct {
	Requests  uint64 // sent, repeated ones included
	Variables uint64 // read
	BytesIn   uint64 // of UDP payload
	BytesOut  uint64
	Timeouts  uint64 // requests that nobody answered in time
	Strangers uint64 // datagrams from an address that was not asked
	Strays    uint64 // answers to nothing that was asked: late, doubled or forged
	Malformed uint64 // datagrams that are no well-formed message
	Panics    uint64 // times that the library gave up on a message
	// Unreadable are values that were not well-formed, in messages that were.
	Unreadable uint64
}
