package snmp

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Version is a version of SNMP.
type Version string

// The versions.
const (
	V1  Version = "1"
	V2c Version = "2c"
	V3  Version = "3"
)

// ParseVersion reads "1", "2c" or "3"; "v" before it, and "2", are understood too.
func ParseVersion(text string) (Version, error) {
	switch strings.TrimPrefix(strings.ToLower(text), "v") {
	case "1":
		return V1, nil
	case "2", "2c":
		return V2c, nil
	case "3":
		return V3, nil
	default:
		return "", fmt.Errorf("version %.20q: it is 1, 2c or 3", text)
	}
}

// Auth is how messages of version 3 prove who sent them; empty is not at all.
type Auth string

// The protocols of authentication (RFC 3414, section 6, and RFC 7860).
const (
	NoAuth Auth = ""
	MD5    Auth = "MD5"
	SHA    Auth = "SHA"
	SHA224 Auth = "SHA-224"
	SHA256 Auth = "SHA-256"
	SHA384 Auth = "SHA-384"
	SHA512 Auth = "SHA-512"
)

// ParseAuth reads the name of a protocol of authentication in any spelling that is
// about: "SHA", "sha1", "SHA-256", "sha256", "none" and "".
func ParseAuth(text string) (Auth, error) {
	switch bare(text) {
	case "", "NONE", "NOAUTH":
		return NoAuth, nil
	case "MD5":
		return MD5, nil
	case "SHA", "SHA1":
		return SHA, nil
	case "SHA224":
		return SHA224, nil
	case "SHA256":
		return SHA256, nil
	case "SHA384":
		return SHA384, nil
	case "SHA512":
		return SHA512, nil
	default:
		return "", fmt.Errorf("authentication protocol %.20q: it is MD5, SHA, SHA-224, SHA-256, SHA-384, SHA-512 or none", text)
	}
}

// Privacy is how messages of version 3 are encrypted; empty is not at all.
type Privacy string

// The protocols of privacy (RFC 3414, section 8, and RFC 3826). For AES with longer
// keys there are two ways to stretch a short one, neither of them a standard:
// Blumenthal's, which AES192 and AES256 mean, and Reeder's, which Cisco uses.
const (
	NoPrivacy   Privacy = ""
	DES         Privacy = "DES"
	AES         Privacy = "AES"
	AES192      Privacy = "AES-192"
	AES256      Privacy = "AES-256"
	AES192Cisco Privacy = "AES-192-C"
	AES256Cisco Privacy = "AES-256-C"
)

// ParsePrivacy reads the name of a protocol of privacy in any spelling that is about.
func ParsePrivacy(text string) (Privacy, error) {
	switch bare(text) {
	case "", "NONE", "NOPRIV":
		return NoPrivacy, nil
	case "DES":
		return DES, nil
	case "AES", "AES128":
		return AES, nil
	case "AES192":
		return AES192, nil
	case "AES256":
		return AES256, nil
	case "AES192C":
		return AES192Cisco, nil
	case "AES256C":
		return AES256Cisco, nil
	default:
		return "", fmt.Errorf("privacy protocol %.20q: it is DES, AES, AES-192, AES-256 (AES-192-C and AES-256-C as Cisco has them) or none", text)
	}
}

func bare(text string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(text))
}

// Credential is what opens a device: a community for versions 1 and 2c, a user for
// version 3. Printing, logging and marshalling it show no secret.
type Credential struct {
	// Version is the version of SNMP; empty is V2c.
	Version Version
	// Community is the secret of versions 1 and 2c.
	Community string
	// User, Context and the rest are for version 3.
	User            string
	Context         string
	Auth            Auth
	AuthPassword    string
	Privacy         Privacy
	PrivacyPassword string
}

// Lengths that the protocol or its library sets, in octets.
const (
	maxCommunity = 127
	maxUser      = 32 // RFC 3414, section 5, usmUserName
	minPassword  = 8  // RFC 3414, section 11.2
)

// Check says what is wrong with the credential, without naming a secret.
func (c Credential) Check() error {
	switch c.Version {
	case V1, V2c, "":
		return c.checkCommunity()
	case V3:
		return c.checkUser()
	default:
		return fmt.Errorf("version %.20q: it is 1, 2c or 3", string(c.Version))
	}
}

func (c Credential) checkCommunity() error {
	switch {
	case c.Community == "":
		return errors.New("versions 1 and 2c need a community")
	case len(c.Community) > maxCommunity:
		return fmt.Errorf("the community is longer than %d bytes", maxCommunity)
	default:
		return nil
	}
}

func (c Credential) checkUser() error {
	_, authErr := ParseAuth(string(c.Auth))
	_, privacyErr := ParsePrivacy(string(c.Privacy))
	switch {
	case c.User == "":
		return errors.New("version 3 needs a user")
	case len(c.User) > maxUser:
		return fmt.Errorf("the user's name is longer than %d bytes", maxUser)
	case len(c.Context) > maxCommunity:
		return fmt.Errorf("the context is longer than %d bytes", maxCommunity)
	case authErr != nil || privacyErr != nil:
		return errors.Join(authErr, privacyErr)
	case c.Auth == NoAuth && c.Privacy != NoPrivacy:
		return errors.New("privacy needs authentication too: name its protocol and password")
	case c.Auth != NoAuth && len(c.AuthPassword) < minPassword:
		return fmt.Errorf("the password for authentication has less than %d bytes, which no device accepts", minPassword)
	case c.Privacy != NoPrivacy && len(c.PrivacyPassword) < minPassword:
		return fmt.Errorf("the password for privacy has less than %d bytes, which no device accepts", minPassword)
	default:
		return nil
	}
}

// String tells the credential without its secrets.
func (c Credential) String() string {
	if c.Version != V3 {
		return "a community of version " + string(c.version())
	}
	text := fmt.Sprintf("user %q", c.User)
	switch {
	case c.Privacy != NoPrivacy:
		return text + fmt.Sprintf(" (%s, %s)", c.Auth, c.Privacy)
	case c.Auth != NoAuth:
		return text + fmt.Sprintf(" (%s)", c.Auth)
	default:
		return text + " without a password"
	}
}

// Format keeps every verb of fmt, %#v included, from showing a secret.
func (c Credential) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// LogValue keeps secrets out of slog.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText keeps secrets out of JSON and YAML.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c Credential) version() Version {
	if c.Version == "" {
		return V2c
	}
	return c.Version
}
