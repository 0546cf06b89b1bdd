package mask

import "strings"

const (
	// maxName bounds what may be a name, in bytes.
	maxName     = 64
	nameLetters = "abcdefghijklmnopqrstuvwxyz0123456789-_."
)

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

// words splits a name into its lower-case words, at - _ . and where a capital follows
// a small letter. Digits at the end are left out.
func words(name string) []string {
	var out []string
	start := 0
	add := func(end int) {
		if w := strings.TrimRight(strings.ToLower(name[start:end]), "0123456789"); w != "" {
			out = append(out, w)
		}
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '-' || c == '_' || c == '.':
			add(i)
			start = i + 1
		case i > start && c >= 'A' && c <= 'Z' && name[i-1] >= 'a' && name[i-1] <= 'z':
			add(i)
			start = i
		}
	}
	add(len(name))
	return out
}

// secretWords end the names of secrets. A name that goes on behind them is of
// something else: --password-file, --token-ttl, PasswordAuthentication.
var secretWords = map[string]bool{ //nolint:gochecknoglobals // constant
	"password": true, "passwd": true, "passphrase": true, "passcode": true, "pass": true, "pwd": true, "pw": true,
	"secret": true, "secrets": true, "token": true, "credential": true, "credentials": true, "authorization": true, "cookie": true,
	"apikey": true, "authkey": true, "accesskey": true, "secretkey": true, "accountkey": true, "jwt": true, "psk": true,
	"community": true, "bearer": true, "passin": true, "passout": true, "masterauth": true, "requirepass": true,
	"passwords": true, "passwort": true, "kennwort": true, "pin": true, "otp": true, "creds": true,
}

// secretPairs are two words that end the names of secrets.
var secretPairs = map[string]bool{ //nolint:gochecknoglobals // constant
	"api key": true, "access key": true, "secret key": true, "auth key": true, "account key": true, "shared key": true,
	"encryption key": true, "master key": true, "signing key": true, "storage key": true, "app key": true, "license key": true,
	"service key": true, "admin key": true, "secret id": true, "key base": true, "connection string": true,
	"password value": true, "token value": true, "secret value": true, "secret string": true, "pass phrase": true, "amz signature": true, "password text": true, "password base64": true, "secret base64": true,
}

// secretEnds end single words that were made of several, as in PGPASSWORD.
var secretEnds = []string{"password", "passwd", "passphrase", "passwort", "secret", "token", "apikey", "secretkey", "storepass", "keypass", "userpass", "dbpass"} //nolint:gochecknoglobals // constant

// switches begin the names of options that take no secret: --no-password, --ask-pass.
var switches = map[string]bool{ //nolint:gochecknoglobals // constant
	"no": true, "ask": true, "require": true, "use": true, "with": true, "without": true, "skip": true, "enable": true,
	"disable": true, "allow": true, "prompt": true, "show": true, "generate": true, "has": true, "rotate": true, "create": true,
}

// secret reports whether the value given under a name is one.
func (m *Masker) secret(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	w := words(name)
	if len(w) == 0 {
		return false
	}
	if len(m.names) > 0 || len(m.keep) > 0 {
		joined := strings.Join(w, " ")
		switch {
		case m.keep[joined]:
			return false
		case m.names[joined]:
			return true
		}
	}
	last := w[len(w)-1]
	if name == "PWD" || name == "OLDPWD" || switches[w[0]] && len(w) > 1 {
		return false
	}
	if secretWords[last] || len(w) > 1 && secretPairs[w[len(w)-2]+" "+last] {
		return true
	}
	for _, end := range secretEnds {
		if strings.HasSuffix(last, end) {
			return true
		}
	}
	return false
}
