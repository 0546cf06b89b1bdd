package mask

import "strings"

// shape is a kind of secret that is known by how it begins.
type shape struct {
	start string
	least int    // bytes that follow
	also  string // characters that may follow beside letters and digits
}

const (
	urlSafe = "-_"
	plain   = "abcdefghijklmnopqrstuvwxyz-_." // what words are made of
)

// shapes are the tokens of services that mark theirs.
var shapes = []shape{ //nolint:gochecknoglobals // constant
	{"amk1_", 8, urlSafe}, // ours, of enrolment
	{"AKIA", 16, ""},
	{"ASIA", 16, ""},
	{"ABIA", 16, ""},
	{"ACCA", 16, ""}, // AWS
	{"ghp_", 20, ""},
	{"gho_", 20, ""},
	{"ghu_", 20, ""},
	{"ghs_", 20, ""},
	{"ghr_", 20, ""},
	{"github_pat_", 20, "_"},
	{"glpat-", 16, urlSafe},
	{"gldt-", 16, urlSafe},
	{"glrt-", 16, urlSafe}, // GitLab
	{"xoxb-", 10, "-"},
	{"xoxp-", 10, "-"},
	{"xoxa-", 10, "-"},
	{"xoxr-", 10, "-"},
	{"xoxs-", 10, "-"},
	{"xapp-", 10, "-"}, // Slack
	{"sk_live_", 16, ""},
	{"sk_test_", 16, ""},
	{"rk_live_", 16, ""},
	{"rk_test_", 16, ""}, // Stripe
	{"sk-", 20, urlSafe},
	{"AIza", 30, urlSafe},
	{"ya29.", 20, urlSafe},
	{"GOCSPX-", 16, urlSafe},
	{"npm_", 30, ""},
	{"pypi-", 30, urlSafe},
	{"dckr_pat_", 16, urlSafe},
	{"hf_", 30, ""},
	{"dop_v1_", 30, ""},
	{"hvs.", 20, urlSafe},
	{"hvb.", 20, urlSafe},
	{"hvr.", 20, urlSafe},
	{"tskey-", 16, urlSafe},
	{"SG.", 40, urlSafe + "."},
	{"glsa_", 30, "_"},
	{"hooks.slack.com/services/", 20, "/"},
	{"api/webhooks/", 20, urlSafe + "/"},
	{"api.telegram.org/bot", 20, urlSafe + ":"}, // addresses that let in whoever knows them
	{"eyJ", 20, urlSafe + "."},                  // JSON web tokens, see isToken
}

// leastShape is the length of the shortest secret that is known by its look, in bytes.
const leastShape = 13

// schemes stand before a secret in headers.
var schemes = []string{"Bearer ", "bearer ", "Basic ", "basic "} //nolint:gochecknoglobals // constant

// statements of SQL stand before a secret and its quote.
var statements = []string{"PASSWORD '", "password '", "IDENTIFIED BY '", "identified by '"} //nolint:gochecknoglobals // constant

// maskShapes masks what looks like a secret wherever it stands.
func maskShapes(s string) string {
	if len(s) < leastShape {
		return s
	}
	for _, f := range shapes {
		s = f.mask(s)
	}
	for _, start := range schemes {
		s = shape{start, 8, "-._~+/="}.mask(s)
	}
	for _, start := range statements {
		s = shape{start, 1, "!#$%&()*+,-./:;<=>?@[]^_{|}~ "}.mask(s)
	}
	return maskKeys(s)
}

func (f shape) mask(s string) string {
	var out strings.Builder
	done := 0
	for at := 0; ; {
		n := strings.Index(s[at:], f.start)
		if n < 0 {
			break
		}
		from := at + n
		to := from + len(f.start)
		for to < len(s) && (isAlnum(s[to]) || strings.IndexByte(f.also, s[to]) >= 0) {
			to++
		}
		at = to
		if from > 0 && isAlnum(s[from-1]) || to-from-len(f.start) < f.least || f.start == "eyJ" && !isToken(s[from:to]) {
			continue
		}
		last := f.start[len(f.start)-1]
		if (last == ' ' || f.start == "sk-") && strings.Trim(s[from+len(f.start):to], plain) == "" {
			continue // words: "Basic understanding", "sk-learn-contrib-examples"
		}
		if last == ' ' || last == '\'' {
			from += len(f.start) // the scheme stays
		}
		out.WriteString(s[done:from])
		out.WriteString(Mark)
		done = to
	}
	if done == 0 {
		return s
	}
	return out.String() + s[done:]
}

func isAlnum(c byte) bool { return isNameByte(c) && c != '-' && c != '_' && c != '.' }

// isToken: three parts, of which the first two are objects in base64 (RFC 7519); or cut.
func isToken(s string) bool {
	_, rest, ok := strings.Cut(s, ".")
	return ok && strings.HasPrefix(rest, "eyJ")
}

// maskKeys masks private keys in PEM (RFC 7468), whole or cut.
func maskKeys(s string) string {
	const begin, kind, end = "-----BEGIN ", "PRIVATE KEY-----", "-----END "
	for at := 0; ; {
		n := strings.Index(s[at:], begin)
		if n < 0 {
			return s
		}
		at += n + len(begin)
		label := strings.Index(s[at:], kind)
		if label < 0 {
			return s
		}
		if label > 20 {
			continue // of something else
		}
		from := at + label + len(kind)
		to := len(s)
		if m := strings.Index(s[from:], end); m >= 0 {
			to = from + m
		}
		s = s[:from] + Mark + s[to:]
		at = from
	}
}
