package mask

import (
	"maps"
	"strings"
)

// takes says which options of a program take secrets that their names do not tell.
type takes struct {
	// attached letters take the secret in the same argument (-pX), separate ones in
	// the next (-p X).
	attached, separate string
	// pair letters and options take user and secret, with this character between.
	pair     string
	options  []string
	between  byte
	bare     bool   // the secret follows its bare name: aws configure set NAME X
	operand  bool   // an operand is such a pair: sqlplus user/X@db
	after    string // a word without which its options are others
	switches string // letters that take nothing, and may stand before one that does
}

func each(t takes, names ...string) map[string]takes {
	out := make(map[string]takes, len(names))
	for _, n := range names {
		out[n] = t
	}
	return out
}

// programs are those whose options are known, by file name.
var programs = func() map[string]takes { //nolint:gochecknoglobals // constant
	all := map[string]takes{}
	for _, m := range []map[string]takes{
		each(takes{attached: "p"}, "mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlshow", "mysqlcheck", "mysqlpump", "mysqlbinlog",
			"mysqlslap", "mariadb", "mariadb-dump", "mariadb-admin", "mariadb-import", "mariadb-backup", "mariabackup", "xtrabackup", "7z", "7za", "7zr", "7zz", "rar", "unrar"),
		each(takes{attached: "k", separate: "kK"}, "openssl"),
		each(takes{attached: "P", separate: "P"}, "mosquitto_pub", "mosquitto_sub", "mosquitto_rr"),
		each(takes{attached: "p", separate: "p"}, "cqlsh", "twine", "hydra", "medusa", "sshpass", "mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport",
			"rdesktop", "useradd", "usermod", "evil-winrm", "crackmapexec", "nxc", "netexec", "psexec"),
		each(takes{attached: "p", separate: "p", after: "login"}, "docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "oc", "az", "crane"),
		each(takes{
			pair: "uUE", options: []string{"--user", "--proxy-user", "--cert", "--proxy-cert"}, between: ':', separate: "b",
			switches: "sSfLkvigIGN01234O#aBjlnpqR",
		}, "curl"),
		each(takes{pair: "a", options: []string{"--auth"}, between: ':'}, "http", "https", "xh", "xhs"),
		each(takes{separate: "a"}, "redis-cli", "valkey-cli", "keydb-cli"),
		each(takes{attached: "P", separate: "P"}, "sqlcmd", "bcp", "zip", "unzip", "zipcloak", "ipmitool"),
		each(takes{attached: "w", separate: "w"}, "ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapmodrdn", "ldapcompare", "ldapwhoami"),
		each(takes{attached: "was", separate: "was"}, "ldappasswd"),
		each(takes{attached: "cAX", separate: "cAX"}, "snmpget", "snmpgetnext", "snmpwalk", "snmpbulkget", "snmpbulkwalk", "snmpset",
			"snmptrap", "snmpinform", "snmptable", "snmpdf", "snmpstatus", "snmpdelta"),
		each(takes{pair: "U", options: []string{"--user"}, between: '%'}, "smbclient", "rpcclient", "smbget", "smbcacls", "net", "wmic"),
		each(takes{pair: "u", options: []string{"--user"}, between: ','}, "lftp"),
		each(takes{operand: true, between: '/'}, "sqlplus", "rman", "expdp", "impdp", "exp", "imp", "sqlldr"),
		each(takes{bare: true}, "aws", "nmcli"),
		each(takes{}, "ssh", "scp", "sftp", "rsync"), // behind sshpass
	} {
		maps.Copy(all, m)
	}
	return all
}()

// program is what a word names, if it is a known one: its file name without ".exe".
func program(word string) (takes, bool) {
	if strings.ContainsAny(word, " \t\n") {
		return takes{}, false // a whole command, or a title
	}
	word = word[strings.LastIndexAny(word, `/\`)+1:]
	t, ok := programs[strings.TrimSuffix(word, ".exe")]
	return t, ok
}

// next is what the next word is.
type next uint8

const (
	nextAny    next = iota
	nextSecret      // a secret, unless it is an option
	nextHeader      // a secret, or the scheme that stands before one
	nextPair        // user and secret
)

// optionOf masks a word that begins with a dash as the program has it; ok is false
// where it has no such option.
func (t takes) optionOf(word string) (masked string, n next, ok bool) {
	for _, o := range t.options {
		if word == o {
			return word, nextPair, true
		}
		if value, ok := strings.CutPrefix(word, o+"="); ok {
			return o + "=" + pairOf(value, t.between), nextAny, true
		}
	}
	if len(word) < 2 || word[0] != '-' || word[1] == '-' {
		return word, nextAny, false
	}
	at := 1
	for at < len(word)-1 && strings.IndexByte(t.switches, word[at]) >= 0 {
		at++
	}
	letter, value := word[at], word[at+1:]
	in := func(set string) bool { return strings.IndexByte(set, letter) >= 0 }
	switch {
	case value == "" && in(t.separate):
		return word, nextSecret, true
	case value == "" && in(t.pair):
		return word, nextPair, true
	case value != "" && in(t.attached):
		return word[:at+1] + Mark, nextAny, true
	case value != "" && in(t.pair):
		return word[:at+1] + pairOf(value, t.between), nextAny, true
	}
	return word, nextAny, false
}

// pairOf masks what stands behind the user. In a pair of the form user/secret@where,
// what follows stays.
func pairOf(pair string, between byte) string {
	at := strings.IndexByte(pair, between)
	if at < 0 || at == len(pair)-1 {
		return pair
	}
	rest := ""
	if between == '/' {
		if end := strings.LastIndexByte(pair, '@'); end > at {
			rest = pair[end:]
		}
	}
	return pair[:at+1] + Mark + rest
}
