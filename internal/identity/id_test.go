package identity

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ID{
		"spiffe://amoskys.local/agent/web1":            {"amoskys.local", RoleAgent, "web1"},
		"spiffe://corp.example/agent/web1/proc_agent":  {"corp.example", RoleAgent, "web1/proc_agent"},
		"spiffe://a/eventbus/Hub-1.example_x":          {"a", RoleHub, "Hub-1.example_x"},
		"spiffe://amoskys.local/dashboard/d":           {"amoskys.local", RoleDashboard, "d"},
		"":                                             {},
		"agent/web1":                                   {},
		"https://amoskys.local/agent/web1":             {},
		"spiffe://amoskys.local":                       {},
		"spiffe://amoskys.local/agent":                 {},
		"spiffe://amoskys.local/agent/":                {},
		"spiffe://amoskys.local/king/web1":             {},
		"spiffe://amoskys.local/agent/a/b/c":           {},
		"spiffe://amoskys.local/agent/a//b":            {},
		"spiffe://amoskys.local/agent/..":              {},
		"spiffe://amoskys.local/agent/a/.":             {},
		"spiffe://amoskys.local/agent/a%2fb":           {},
		"spiffe://amoskys.local/agent/a b":             {},
		"spiffe://amoskys.local/agent/web1?x=1":        {},
		"spiffe://amoskys.local/agent/web1#x":          {},
		"spiffe://amoskys.local:80/agent/web1":         {},
		"spiffe://user@amoskys.local/agent/web1":       {},
		"spiffe://AMOSKYS.local/agent/web1":            {},
		"SPIFFE://amoskys.local/agent/web1":            {},
		"spiffe:///agent/web1":                         {},
		"spiffe://amoskys.local/agent/wéb":             {},
		"spiffe://a/agent/" + strings.Repeat("x", 240): {},
	} {
		got, err := Parse(text)
		if got != want || (err != nil) != want.IsZero() {
			t.Errorf("Parse(%q) is %v, %v", text, got, err)
		}
		if err == nil && got.String() != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
}

func TestNameParts(t *testing.T) {
	t.Parallel()
	bound, free := ID{DefaultDomain, RoleAgent, "web1/proc_agent"}, ID{DefaultDomain, RoleAgent, "web1"}
	if bound.Host() != "web1" || bound.AgentID() != "proc_agent" || free.Host() != "web1" || free.AgentID() != "" {
		t.Errorf("%s: %q %q; %s: %q %q", bound, bound.Host(), bound.AgentID(), free, free.Host(), free.AgentID())
	}
}

func TestFromCertificate(t *testing.T) {
	t.Parallel()
	uri := func(texts ...string) (out []*url.URL) {
		for _, s := range texts {
			u, err := url.Parse(s)
			must(t, err)
			out = append(out, u)
		}
		return out
	}
	for name, tc := range map[string]struct {
		cert x509.Certificate
		want string // identity, or words of the error
	}{
		"uri": {x509.Certificate{URIs: uri("https://x/", "spiffe://a/node/n")}, "spiffe://a/node/n"},
		"uri before unit": {
			x509.Certificate{URIs: uri("spiffe://a/node/n"), Subject: pkix.Name{OrganizationalUnit: []string{"operator"}}}, "spiffe://a/node/n",
		},
		"two uris":    {x509.Certificate{URIs: uri("spiffe://a/node/n", "spiffe://a/agent/n")}, "more than one"},
		"bad uri":     {x509.Certificate{URIs: uri("spiffe://a/king/n")}, "unknown role"},
		"common":      {x509.Certificate{Subject: pkix.Name{CommonName: "web1"}}, "spiffe://amoskys.local/agent/web1"},
		"dns":         {x509.Certificate{DNSNames: []string{"w.example"}, Subject: pkix.Name{CommonName: "web1"}}, "spiffe://amoskys.local/agent/w.example"},
		"unit":        {x509.Certificate{Subject: pkix.Name{CommonName: "d", OrganizationalUnit: []string{"IT", "Dashboard"}}}, "spiffe://amoskys.local/dashboard/d"},
		"slash":       {x509.Certificate{Subject: pkix.Name{CommonName: "web1/proc_agent"}}, "spiffe://amoskys.local/agent/web1-proc_agent"},
		"dots":        {x509.Certificate{Subject: pkix.Name{CommonName: ".."}}, "names nobody"},
		"dots in uri": {x509.Certificate{URIs: uri("spiffe://a/agent/...")}, "not allowed"},
		"capitals":    {x509.Certificate{URIs: uri("spiffe://a/agent/VM./Flow_Agent")}, "spiffe://a/agent/vm/flow_agent"},
		"full name":   {x509.Certificate{DNSNames: []string{"W.Example."}}, "spiffe://amoskys.local/agent/w.example"},
		"nobody":      {x509.Certificate{}, "names nobody"},
		"long":        {x509.Certificate{Subject: pkix.Name{CommonName: strings.Repeat("x", 300)}}, "spiffe://amoskys.local/agent/" + strings.Repeat("x", 64)},
		"whitespace":  {x509.Certificate{Subject: pkix.Name{CommonName: " \t"}}, "names nobody"},
	} {
		id, err := FromCertificate(&tc.cert)
		if err != nil && !strings.Contains(err.Error(), tc.want) || err == nil && id.String() != tc.want {
			t.Errorf("%s: %s, %v; want %s", name, id, err, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("spiffe://amoskys.local/agent/web1")
	f.Add("spiffe://a/agent/b/c")
	f.Add("spiffe://a/agent/%2e%2e")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := Parse(s)
		if err != nil {
			return
		}
		if id.String() != s || len(s) > maxID || strings.Count(id.Name, "/") > 1 || !id.Role.Valid() {
			t.Errorf("%q is %#v", s, id)
		}
		u, err := url.Parse(s) // it must survive the way into a certificate and back
		if err != nil || u.String() != s {
			t.Errorf("%q does not survive as URL: %v, %v", s, u, err)
		}
	})
}

// FuzzPEM feeds the loader what a file may hold.
func FuzzPEM(f *testing.F) {
	for _, pattern := range []string{"testdata/*.crt", "testdata/*.key"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		certs, err := ParseCertificates(text)
		if (err == nil) != (len(certs) > 0) {
			t.Errorf("%d certificates and error %v", len(certs), err)
		}
		for _, c := range certs {
			if id, err := FromCertificate(c); err == nil {
				if err := id.Validate(); err != nil {
					t.Errorf("identity %q: %v", id, err)
				}
			}
			_, _, _ = subjectOf(c), listHosts(c), keyKind(c)
			p := policy{whose: clientCertificate, now: epoch, roots: certs, pool: poolOf(certs)}
			_ = p.check(certs)
		}
		key, err := ParseKey(text)
		if (err == nil) != (key != nil) {
			t.Errorf("key %T and error %v", key, err)
		}
		if key != nil {
			for _, c := range certs {
				_ = belongs(key, c)
			}
		}
	})
}
