package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Finding is something wrong in a certs/ folder, with what to type against it.
type Finding struct {
	File    string `json:"file"`
	Problem string `json:"problem"`
	Fix     string `json:"fix"`
	Warning bool   `json:"warning"` // works today
}

// VerifyOptions says how to look. Zero fields take the defaults.
type VerifyOptions struct {
	Now time.Time // time.Now()
	// Command is how the program is called in fixes; "amoskys".
	Command string
	// Obtain is what to type where certificates are missing; Command + " certs init".
	Obtain string
	// Hosts are names the hub's certificate must carry; localhost when nil.
	Hosts []string
}

// Verify looks at every file of a certs/ folder: presence, form, permissions, key,
// chain, validity, role and names. It returns the files it looked at and what is
// wrong; nothing found means that all is well.
func Verify(dir string, o VerifyOptions) (files []string, findings []Finding) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Command == "" {
		o.Command = "amoskys"
	}
	if o.Obtain == "" {
		o.Obtain = o.Command + " certs init"
	}
	if o.Hosts == nil {
		o.Hosts = []string{"localhost"}
	}
	v := &verifier{dir: dir, o: o}
	v.folder()
	if !exists(dir) {
		return nil, v.findings
	}
	v.authority()
	names, err := leafNames(dir)
	if err != nil {
		v.add(dir, err.Error(), "chmod 700 "+dir)
	}
	watched := !exists(v.path("ca.key")) && slices.Contains(names, "node") // a host that has joined needs no hub's
	for _, s := range layoutLeaves() {
		if s.role == RoleHub && watched || s.role == RoleAgent && ownAgents(names) {
			continue
		}
		if !slices.Contains(names, s.name) && (s.role == RoleHub || s.role == RoleAgent) && !exists(v.path(s.name+".key")) {
			v.warn(v.path(s.name+".crt"), "is missing", v.o.Obtain)
		}
	}
	if !slices.Contains(names, "client") && slices.Contains(names, "agent") {
		v.warn(v.path("client.crt"), "is missing", "ln -s agent.crt "+v.path("client.crt")+" && ln -s agent.key "+v.path("client.key"))
	}
	for _, n := range names {
		v.leaf(n)
	}
	return v.files, v.findings
}

// ownAgents says that agents have certificates of their own.
func ownAgents(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, AgentName("")) })
}

type verifier struct {
	dir      string
	o        VerifyOptions
	roots    []*x509.Certificate
	files    []string
	findings []Finding
}

func (v *verifier) path(name string) string { return filepath.Join(v.dir, name) }

func (v *verifier) add(file, problem, fix string) {
	v.findings = append(v.findings, Finding{File: file, Problem: problem, Fix: fix})
}

func (v *verifier) warn(file, problem, fix string) {
	v.findings = append(v.findings, Finding{File: file, Problem: problem, Fix: fix, Warning: true})
}

func (v *verifier) folder() {
	info, err := os.Stat(v.dir)
	if err != nil {
		v.add(v.dir, "is missing", v.o.Obtain)
		return
	}
	mode := openBits(info)
	switch {
	case mode&0o022 != 0 && !sticky(info):
		v.add(v.dir, fmt.Sprintf("may be written by other users (mode %04o)", mode), "chmod 700 "+v.dir)
	case mode&0o077 != 0:
		v.warn(v.dir, fmt.Sprintf("may be read by other users (mode %04o)", mode), "chmod 700 "+v.dir)
	}
}

func (v *verifier) keyMode(file string) {
	info, err := os.Stat(file)
	if err != nil {
		return
	}
	mode := openBits(info)
	switch {
	case mode&0o027 != 0:
		v.add(file, fmt.Sprintf("is open to other users (mode %04o)", mode), "chmod 600 "+file)
	case mode&0o077 != 0:
		v.warn(file, fmt.Sprintf("may be read by its group (mode %04o)", mode), "chmod 600 "+file)
	}
}

func (v *verifier) authority() {
	crt, key := v.path("ca.crt"), v.path("ca.key")
	v.files = append(v.files, crt)
	roots, err := readAuthorities(crt)
	switch {
	case errors.Is(err, os.ErrNotExist):
		v.add(crt, "is missing", v.o.Obtain+", or copy the authority's certificate here")
		return
	case err != nil:
		v.add(crt, withoutPath(err, crt), "copy the authority's certificate here again")
		return
	}
	v.roots = roots
	for _, root := range roots {
		p := policy{now: v.o.Now}
		if r := p.timeFault(root, "the authority "+nameOf(root.Subject.String())); r != nil {
			v.add(crt, r.Detail, v.o.Command+" certs init --force (every host then needs the new ca.crt and new certificates)")
		}
	}
	if !exists(key) {
		return // rightly absent wherever nothing is issued
	}
	v.files = append(v.files, key)
	v.keyMode(key)
	signer, err := readKeyAnyMode(key)
	if err != nil {
		v.add(key, withoutPath(err, key), "put back the key that was made with "+crt)
		return
	}
	if !slices.ContainsFunc(roots, func(c *x509.Certificate) bool { return belongs(signer, c) }) {
		v.add(key, "does not belong to "+crt, "put back the key that was made with "+crt)
	}
}

func (v *verifier) leaf(name string) {
	crt, key := v.path(name+".crt"), v.path(name+".key")
	v.files = append(v.files, crt, key)
	renew := v.o.Command + " certs renew " + name
	certs, err := readCerts(crt)
	if err != nil {
		v.add(crt, withoutPath(err, crt), renew)
		return
	}
	if isLink(crt) != isLink(key) && exists(key) {
		v.warn(key, "is a link, or a file, where "+crt+" is not", "make both links or both files")
	}
	v.keyMode(key)
	switch signer, err := readKeyAnyMode(key); {
	case errors.Is(err, os.ErrNotExist):
		v.add(key, "is missing", "put it back, or: "+renew)
	case err != nil:
		v.add(key, withoutPath(err, key), "put it back, or: "+renew)
	case !belongs(signer, certs[0]):
		if next := stagedFor(crt, signer); next != nil { // what is in use
			certs = next
			break
		}
		v.add(key, "does not belong to "+crt, "put back the key that was made with it, or: "+renew)
	}
	v.chain(name, crt, certs, renew)
	v.names(name, crt, certs[0], renew)
}

func (v *verifier) chain(name, crt string, certs []*x509.Certificate, renew string) {
	leaf := certs[0]
	if leaf.IsCA {
		v.add(crt, "is an authority's certificate, not one that an authority issued", renew)
		return
	}
	if v.roots != nil {
		if r := checkChain(certs, v.roots); r != nil {
			v.add(crt, r.Detail, "put back the matching ca.crt, or: "+renew)
		}
	}
	switch p := (policy{now: v.o.Now}); stateOf(leaf, v.o.Now) {
	case StateExpired:
		if role := roleOfFile(name); (role == RoleNode || role == RoleAgent) && !exists(v.path("ca.key")) {
			renew = EnrolAgain
		}
		v.add(crt, p.timeFault(leaf, "the certificate").Detail, renew)
	case StateNotYetValid:
		v.add(crt, p.timeFault(leaf, "the certificate").Detail, "set the clock, or: "+renew)
	case StateDue:
		v.warn(crt, "ends in "+span(leaf.NotAfter.Sub(v.o.Now))+", on "+stamp(leaf.NotAfter), renew)
	case StateOK, StateUnreadable:
	}
	want := x509.ExtKeyUsageClientAuth
	use := "clientAuth"
	if roleOfFile(name) == RoleHub {
		want, use = x509.ExtKeyUsageServerAuth, "serverAuth"
	}
	if len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, want) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		v.add(crt, "may not be used for its purpose (extendedKeyUsage lacks "+use+")", renew)
	}
}

func (v *verifier) names(name, crt string, leaf *x509.Certificate, renew string) {
	want := roleOfFile(name)
	id, _, err := identify(leaf, want)
	if err != nil {
		v.add(crt, err.Error(), renew)
		return
	}
	if name != "client" && slices.ContainsFunc(layoutLeaves(), func(s leafSpec) bool { return s.name == name }) && id.Role != want {
		v.add(crt, fmt.Sprintf("has role %s, this file is for role %s", id.Role, want), "issue it again with the right role, or remove it and: "+v.o.Obtain)
	}
	for _, root := range v.roots {
		if d, own := domainOf(root), domainOf(leaf); d != "" && own != "" && d != own {
			v.add(crt, "is of domain "+own+", the authority is of "+d, renew)
		}
	}
	if want != RoleHub {
		return
	}
	if len(hostsOf(leaf)) == 0 {
		host, _ := os.Hostname()
		v.add(crt, missingHosts(crt, name, host), renew)
		return
	}
	for _, h := range v.o.Hosts {
		if leaf.VerifyHostname(h) != nil {
			v.warn(crt, "does not name "+h+" (it names "+listHosts(leaf)+")", renew+" --host "+h)
		}
	}
}
