package identity

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// shell runs a script with bash in dir; tests that need the real openssl are
// skipped where it is missing.
func shell(t *testing.T, dir, script string) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out with -short: another program makes keys")
	}
	for _, tool := range []string{"bash", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
}

func certsDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "certs")
	must(t, os.Mkdir(dir, 0o700))
	return dir
}

// guide is the reference guide's recipe, without its questions and with short
// keys; %EXT% is where a subjectAltName goes.
const guide = `
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ca -keyout ca.key -out ca.crt -days 365
for who in eventbus agent; do
  openssl req -new -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who.key -out $who.csr
  openssl x509 -req -in $who.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $who.crt -days 365 %EXT%
done
`

const withNames = `-extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1')`

// connectLayout runs one connection between the folder's hub and agent.
func connectLayout(t *testing.T, dir string) error {
	t.Helper()
	cfg, err := ServerConfig(FilesFor(dir, "eventbus"), ServerOptions{Allow: []Role{RoleAgent}})
	if err != nil {
		return err
	}
	ln := NewListener(listen(t), cfg, ListenerOptions{})
	echo(t, ln)
	client, err := ClientConfig(FilesFor(dir, "agent"), ClientOptions{ServerName: "127.0.0.1"})
	if err != nil {
		return err
	}
	_, err = exchange(t.Context(), ln.Addr().String(), client)
	return err
}

func TestOpensslGuideWithoutNames(t *testing.T) {
	t.Parallel()
	dir := certsDir(t)
	shell(t, dir, strings.ReplaceAll(guide, "%EXT%", ""))
	err := connectLayout(t, dir)
	want := filepath.Join(dir, "eventbus.crt") + " names no host (subjectAltName is missing): add -extfile <(printf 'subjectAltName=DNS:localhost,DNS:"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v", err)
	}
	if !strings.HasSuffix(err.Error(), "IP:127.0.0.1') to the openssl x509 command, or run amoskys certs renew eventbus") {
		t.Errorf("got %v", err)
	}
	_, findings := Verify(dir, VerifyOptions{})
	found := ""
	for _, f := range findings {
		found += f.Problem
	}
	if !strings.Contains(found, "names no host") {
		t.Errorf("verify finds %+v", findings)
	}

	// A client that meets such a server elsewhere says it too.
	named, other := newStage(t), FilesFor(dir, "eventbus")
	m, err := readMaterial(other)
	must(t, err)
	p := policy{whose: serverCertificate, host: "hub.example", now: time.Now(), roots: m.roots, pool: m.pool, assume: RoleHub, allow: []Role{RoleHub}}
	if r := p.check(m.chain()); r == nil || r.Reason != ReasonWrongHost || !strings.Contains(r.Detail, "DNS:hub.example") {
		t.Errorf("client says %v", r)
	}
	_ = named

	// The other way out that the error names.
	_, err = Renew(dir, RenewOptions{Names: []string{"eventbus"}})
	must(t, err)
	must(t, connectLayout(t, dir))
}

// probeOpenssl wants a probe to say who the server is, though its certificate
// carries no id.
func probeOpenssl(t *testing.T, dir string) {
	t.Helper()
	cfg, err := ServerConfig(FilesFor(dir, "eventbus"), ServerOptions{Allow: []Role{RoleAgent}, NextProtos: []string{"h2"}})
	must(t, err)
	ln := NewListener(listen(t), cfg, ListenerOptions{})
	echo(t, ln)
	// The server answers nothing, so only the handshake is looked at.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	got, _ := Probe(ctx, ln.Addr().String(), FilesFor(dir, "agent"), ClientOptions{})
	if want := "spiffe://amoskys.local/eventbus/localhost"; got.Server != want {
		t.Errorf("the server is %q, want %s", got.Server, want)
	}
}

func TestOpensslGuideWithNames(t *testing.T) {
	t.Parallel()
	dir := certsDir(t)
	shell(t, dir, strings.ReplaceAll(guide, "%EXT%", withNames))
	must(t, connectLayout(t, dir))
	m, err := readMaterial(FilesFor(dir, "eventbus"))
	must(t, err)
	if id, err := FromServerCertificate(m.leaf); err != nil || id != (ID{DefaultDomain, RoleHub, "localhost"}) {
		t.Errorf("the hub is %v, %v", id, err)
	}
	probeOpenssl(t, dir)
	// What the guide does not make is issued by its authority.
	report, err := EnsureLayout(dir, LayoutOptions{Canonical: func(string) string { return "" }})
	must(t, err)
	for _, name := range []string{"dashboard.crt", "node.key", "client.crt"} {
		if !strings.Contains(strings.Join(report.Created, " "), name) {
			t.Errorf("%s was not made: %v", name, report.Created)
		}
	}
	if _, findings := Verify(dir, VerifyOptions{}); len(findings) > 0 {
		t.Errorf("verify finds %+v", findings)
	}
	must(t, connectLayout(t, dir))
}

func TestOpensslUnits(t *testing.T) {
	t.Parallel()
	dir := certsDir(t)
	shell(t, dir, strings.ReplaceAll(strings.ReplaceAll(guide, "%EXT%", ""), "/CN=$who", `"/OU=operator/OU=observes:snmp/OU=Observes:flow/CN=Ann Smith"`))
	id, err := FromCertificate(readOne(t, filepath.Join(dir, "agent.crt")))
	if want := (ID{DefaultDomain, RoleOperator, "ann-smith"}); err != nil || id != want {
		t.Errorf("identity %s, %v", id, err)
	}
	if got := Observes(readOne(t, filepath.Join(dir, "agent.crt"))); !slices.Equal(got, []string{"flow", "snmp"}) {
		t.Errorf("observes %v", got)
	}
}

// TestOpensslAuthorities lets authorities of every usual kind and key format issue.
func TestOpensslAuthorities(t *testing.T) {
	t.Parallel()
	const self = "openssl req -x509 -new -key ca.key -subj '/O=Example/CN=Root' -days 365 -out ca.crt; chmod 600 ca.key"
	for name, script := range map[string]string{
		"RSA 4096 PKCS#8": "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out ca.key; " + self,
		"RSA PKCS#1":      "openssl genrsa 2048 | openssl rsa -traditional -out ca.key; " + self,
		"EC SEC1":         "openssl ecparam -name prime256v1 -genkey -out ca.key; " + self,
		"EC P-384 PKCS#8": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out ca.key; " + self,
		"Ed25519":         "openssl genpkey -algorithm ed25519 -out ca.key; " + self,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := certsDir(t)
			shell(t, dir, script)
			_, err := EnsureLayout(dir, LayoutOptions{Domain: "corp.example", Canonical: func(string) string { return "" }})
			must(t, err)
			must(t, connectLayout(t, dir))
			// Their verifier agrees with ours.
			shell(t, dir, "openssl verify -purpose sslserver -verify_hostname localhost -CAfile ca.crt eventbus.crt; "+
				"openssl verify -purpose sslclient -CAfile ca.crt agent.crt")
		})
	}
}

func TestOpensslVerifiesOurs(t *testing.T) {
	t.Parallel()
	dir := certsDir(t)
	_, err := EnsureLayout(dir, LayoutOptions{Canonical: func(string) string { return "" }})
	must(t, err)
	shell(t, dir, `
openssl verify -x509_strict -CAfile ca.crt -purpose sslserver -verify_hostname localhost eventbus.crt
openssl verify -x509_strict -CAfile ca.crt -purpose sslclient client.crt
openssl x509 -in agent.crt -noout -text | grep -q 'URI:spiffe://amoskys.local/agent/'
openssl x509 -in ca.crt -noout -text | grep -q 'CA:TRUE, pathlen:0'`)
}

func TestOpensslEncryptedKey(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"PKCS#8": "openssl req -x509 -newkey rsa:2048 -passout pass:secret -subj /CN=ca -keyout ca.key -out ca.crt",
		"PKCS#1": "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=ca -keyout plain.key -out ca.crt; " +
			"openssl rsa -in plain.key -traditional -aes128 -passout pass:secret -out ca.key",
	} {
		dir := certsDir(t)
		shell(t, dir, script)
		_, err := EnsureLayout(dir, LayoutOptions{})
		if err == nil || !strings.Contains(err.Error(), "is protected by a passphrase: store it without one: openssl pkey -in ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpensslIntermediate runs a chain of three and the faults in its middle.
func TestOpensslIntermediate(t *testing.T) {
	t.Parallel()
	dir := certsDir(t)
	shell(t, dir, `
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Root -keyout root.key -out ca.crt -days 365
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=Middle -keyout middle.key -out middle.csr
openssl x509 -req -in middle.csr -CA ca.crt -CAkey root.key -CAcreateserial -out middle.pem -days 100 \
  -extfile <(printf 'basicConstraints=critical,CA:TRUE')
for who in eventbus agent; do
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$who -keyout $who.key -out $who.csr
  openssl x509 -req -in $who.csr -CA middle.pem -CAkey middle.key -CAcreateserial -out $who.pem -days 365 `+withNames+`
  cat $who.pem middle.pem > $who.crt
done`)
	must(t, connectLayout(t, dir))
	m, err := readMaterial(FilesFor(dir, "agent"))
	must(t, err)
	p := policy{whose: clientCertificate, now: time.Now().AddDate(0, 0, 150), roots: m.roots, pool: m.pool, assume: RoleAgent}
	if r := p.check(m.chain()); r == nil || r.Reason != ReasonExpired || !strings.Contains(r.Detail, "the authority CN=Middle expired") {
		t.Errorf("expired middle: %v", r)
	}
	p.now = time.Now().AddDate(2, 0, 0)
	if r := p.check(m.chain()); r == nil || r.Reason != ReasonExpired || !strings.Contains(r.Detail, "the certificate of CN=agent expired") {
		t.Errorf("all expired: %v", r)
	}
	p.now = time.Now()
	if r := p.check(m.chain()[:1]); r == nil || r.Reason != ReasonUnknownAuthority || !strings.Contains(r.Detail, "issued by CN=Middle") {
		t.Errorf("middle missing: %v", r)
	}
}

// TestSecurityPage runs the commands of docs/security.md as they stand there.
func TestSecurityPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
	must(t, err)
	ran := 0
	for rest := string(text); ; {
		_, after, ok := strings.Cut(rest, "<!-- tested -->\n```bash\n")
		if !ok {
			break
		}
		script, after, ok := strings.Cut(after, "\n```")
		if !ok {
			t.Fatal("a code block does not end")
		}
		rest = after
		ran++
		home := t.TempDir()
		shell(t, home, script)
		dir := filepath.Join(home, "certs")
		if _, findings := Verify(dir, VerifyOptions{}); len(findings) > 0 {
			t.Errorf("after\n%s\nverify finds %+v", script, findings)
		}
		if err := connectLayout(t, dir); err != nil {
			t.Errorf("after\n%s\nthe agent cannot connect: %v", script, err)
		}
	}
	if ran < 2 {
		t.Errorf("%d scripts found in docs/security.md, want at least 2", ran)
	}
}

// TestStandardLibraryTexts watches over the errors of crypto/tls that exist only
// as text: when a Go release words them otherwise, rejectionOf must learn it.
func TestStandardLibraryTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Reason{
		"tls: client didn't provide a certificate":                      ReasonNoCertificate,
		"remote error: tls: bad certificate":                            ReasonBadCertificate,
		"remote error: tls: certificate required":                       ReasonNoCertificate,
		"remote error: tls: expired certificate":                        ReasonExpired,
		"remote error: tls: unknown certificate authority":              ReasonUnknownAuthority,
		"remote error: tls: handshake failure":                          ReasonProtocolError,
		"tls: failed to parse client certificate: x509: malformed":      ReasonBadCertificate,
		"tls: invalid signature by the client certificate: bad":         ReasonBadCertificate,
		"tls: client offered only unsupported versions: [302]":          ReasonProtocolError,
		`rpc error: desc = "…: remote error: tls: expired certificate"`: ReasonExpired,
	} {
		if got := ClassifyHandshakeError(errors.New(text)); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	refused := &Rejection{Reason: ReasonWrongHost, Detail: "the certificate names a; dialled b", whose: serverCertificate}
	wrapped := errors.New(`connection error: desc = "transport: authentication handshake failed: ` + refused.Error() + `"`)
	if got := ExplainHandshake(wrapped, Files{}, epoch); got.Error() != refused.Error() {
		t.Errorf("a rejection turned into text comes back as %q", got)
	}
	alert := errors.New("remote error: tls: no application protocol")
	if got := ExplainHandshake(alert, Files{}, epoch).Error(); !strings.HasPrefix(got, "connection refused by the other side") || !strings.Contains(got, "the hub's own port?") {
		t.Errorf("a port that speaks another protocol: %q", got)
	}
	other := errors.New("dial tcp 127.0.0.1:5000: connect: connection refused")
	if got := ExplainHandshake(other, Files{}, epoch); got.Error() != other.Error() {
		t.Errorf("an error that is not of TLS comes back as %q", got)
	}
	if ClassifyHandshakeError(nil) != "" || ExplainHandshake(nil, Files{}, epoch) != nil {
		t.Error("nil is no failure")
	}
}
