package snmp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// Why a device could not be read. Errors of a Client wrap one of these, a
// StatusError, or the context's error.
var (
	// ErrTimeout is no answer. For versions 1 and 2c a wrong community looks the
	// same, as devices keep silent then.
	ErrTimeout = errors.New("no answer")
	// ErrRefused is a host that says that nobody listens at the port.
	ErrRefused = errors.New("nothing listens at this port")
	// ErrUnreachable is a network that says that it has no way there.
	ErrUnreachable = errors.New("no way to this address")
	// ErrOtherAddress is an answer from an address that was not asked.
	ErrOtherAddress = errors.New("the answer came from another address")
	// ErrMalformed is an answer that is no well-formed SNMP message.
	ErrMalformed = errors.New("what was answered is not well-formed SNMP")
	// ErrUser is a device that does not know the user.
	ErrUser = errors.New("the device does not know this user")
	// ErrPassword is a device, or an answer, with another password or protocol of
	// authentication.
	ErrPassword = errors.New("password or protocol of authentication is wrong")
	// ErrPrivacy is a message that could not be decrypted.
	ErrPrivacy = errors.New("password or protocol of privacy is wrong")
	// ErrLevel is a user who has to use, or cannot use, authentication or privacy.
	ErrLevel = errors.New("the device does not let this user in with this authentication and privacy")
	// ErrEngine is a device that keeps refusing the time or id of its engine after
	// both were asked anew.
	ErrEngine = errors.New("the device refuses its own engine's time or id")
	// ErrLoop is a walk whose answers do not increase.
	ErrLoop = errors.New("the device goes round in circles")
	// ErrEndless is a walk that met one of its Limits.
	ErrEndless = errors.New("the table does not end")
	// ErrClosed is a Client that was closed.
	ErrClosed = errors.New("the client is closed")
)

// Refused reports whether a device answered that it does not accept the credential.
// Such a credential must not be tried often: some devices lock users out.
func Refused(err error) bool {
	for _, cause := range []error{ErrUser, ErrPassword, ErrPrivacy, ErrLevel} {
		if errors.Is(err, cause) {
			return true
		}
	}
	var status *StatusError
	return errors.As(err, &status) && status.Status == statusAuthorization
}

// Error states that matter here (RFC 3416, section 3).
const (
	statusTooBig        = 1
	statusNoSuchName    = 2
	statusAuthorization = 16
)

// StatusError is an error that a device answered with.
type StatusError struct {
	// Status is the error-status of RFC 3416, section 3.
	Status int
	// Index is the number of the variable in the request, from 1; 0 is none.
	Index int
}

func (e *StatusError) Error() string {
	names := [...]string{
		"noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess", "wrongType", "wrongLength", "wrongEncoding",
		"wrongValue", "noCreation", "inconsistentValue", "resourceUnavailable", "commitFailed", "undoFailed", "authorizationError",
		"notWritable", "inconsistentName",
	}
	name := "error " + strconv.Itoa(e.Status)
	if e.Status >= 0 && e.Status < len(names) {
		name = names[e.Status]
	}
	return "the device answered " + name
}

// WalkError says how far a walk came. The rows until then were handed on.
type WalkError struct {
	Root string
	Rows int
	Err  error
}

func (e *WalkError) Error() string {
	return fmt.Sprintf("walk %s: after %d variables: %v", e.Root, e.Rows, e.Err)
}

// Unwrap gives the cause.
func (e *WalkError) Unwrap() error { return e.Err }

// addressError is ErrOtherAddress with the address.
type addressError struct {
	from netip.AddrPort
}

func (e *addressError) Error() string {
	return fmt.Sprintf("%v: %s answers instead; ask that one", ErrOtherAddress, e.from)
}

func (*addressError) Unwrap() error { return ErrOtherAddress }
