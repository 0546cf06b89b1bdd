package endpoint

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/app/endpoint/bundle"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
)

// unpacked are the files of a bundle.
func unpacked(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "amoskys-bundle/")] = string(text)
	}
}

// waysOf are those in which a secret is looked for: what is known by its looks alone only
// as it is.
func waysOf(name, secret string) []string {
	switch name {
	case "a token", "a token like GitHub's", "a login in the clear":
		return []string{secret}
	case "a short community":
		return []string{secret, url.QueryEscape(secret)}
	}
	return []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))}
}

// TestBundleHasNoSecret puts each kind of secret that a home may have where a bundle
// could take it from, and looks for all of them, and for their other ways of writing.
func TestBundleHasNoSecret(t *testing.T) {
	e, _ := patient(t)
	var stderr bytes.Buffer
	e.Stdout, e.Stderr = io.Discard, &stderr
	secrets := map[string]string{
		"a community":           "c0mmunity&1",
		"a short community":     "xyzzy",
		"a password":            `pass "word" 2/3`,
		"of a file":             "fr0m-a-file-4",
		"of a proxy":            "pr0xyPassw0rd5",
		"of a database":         "dbPassw0rd6",
		"a token":               "amk1_" + strings.Repeat("Ab3-", 27),
		"a token like GitHub's": "ghp_" + strings.Repeat("a1B2", 9),
		"a login in the clear":  "hunter2hunter",
		"of the environment":    "env1ronment8",
	}
	t.Setenv("AMOSKYS_TEST_PASSWORD", secrets["of the environment"])
	write(t, filepath.Join(string(e.Home), "secret.txt"), secrets["of a file"]+"\n")
	key, err := os.ReadFile(filepath.Join(e.Home.Certs(), "agent.key"))
	if err != nil {
		t.Fatal(err)
	}
	for at, line := range strings.Split(strings.TrimSpace(string(key)), "\n") {
		if !strings.HasPrefix(line, "-----") {
			secrets["a line of a key "+string(rune('0'+at))] = line
		}
	}
	var log strings.Builder
	for name, secret := range secrets {
		forms := waysOf(name, secret)
		if name == "a login in the clear" {
			continue // known by what stands before it alone
		}
		for _, form := range forms {
			log.WriteString(`{"level":"INFO","msg":"x","value":"` + form + "\"}\n")
		}
	}
	log.WriteString("dial http://someone:pl4inUserinfo9@proxy:3128\nexec curl --password=" + secrets["a login in the clear"] + " host\n" + string(key) + "kept: xyzzyx\n")
	write(t, filepath.Join(e.Home.Logs(), "node.log"), log.String())
	write(t, e.Home.AgentLog("proc_agent"), strings.Repeat("old "+secrets["a community"]+"\n", 100_000)+"the last line\n")

	more := []Settings{{"other", &struct {
		Communities []config.Secret `yaml:"communities"`
		Users       []struct {
			Password config.Secret `yaml:"password"`
		} `yaml:"users"`
		File  config.Secret `yaml:"file"`
		Proxy dial.Proxy    `yaml:"proxy"`
		URL   config.Secret `yaml:"url"`
	}{
		Communities: []config.Secret{config.Secret(secrets["a community"]), config.Secret(secrets["a short community"])},
		Users: []struct {
			Password config.Secret `yaml:"password"`
		}{{config.Secret(secrets["a password"])}},
		File: "file:secret.txt", Proxy: dial.Proxy("http://u53r:" + secrets["of a proxy"] + "@proxy:1"),
		URL: config.Secret("postgres://amoskys:" + secrets["of a database"] + "@db/amoskys"),
	}}}
	d := newDoctor(e, "amoskys")
	to := filepath.Join(t.TempDir(), "bundle.tar.gz")
	left, size, err := d.writeBundle(t.Context(), to, d.examine(t.Context()), more)
	if err != nil || len(left) != 1 || !strings.HasPrefix(left[0], "metrics/proc_agent.txt: the agent gives none: does not answer on ") || size == 0 {
		t.Fatalf("%d bytes, left out %q, %v", size, left, err)
	}
	files := unpacked(t, to)
	if files[bundle.LeftOutFile] != left[0]+"\n" {
		t.Errorf("the archive says that it lacks %q, and the terminal %q", files[bundle.LeftOutFile], left)
	}
	for _, name := range []string{"README.txt", "doctor.json", "versions.json", "agents.json", "certificates.json", "files.json", "settings/proc_agent.json", "settings/other.json", "logs/node.log", "logs/agents/proc_agent.log"} {
		if len(files[name]) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
	for name, text := range files {
		for what, secret := range secrets {
			for _, form := range waysOf(what, secret) {
				if strings.Contains(strings.ReplaceAll(text, "xyzzyx", ""), form) {
					t.Errorf("%s has %s, as %q", name, what, form)
				}
			}
		}
		if strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "pl4inUserinfo9") {
			t.Errorf("%s has a key or a login", name)
		}
	}
	if log := files["logs/node.log"]; !strings.Contains(log, "kept: xyzzyx") || !strings.Contains(log, "[redacted]") {
		t.Errorf("too much or too little was taken out:\n%s", log)
	}
	if log := files["logs/agents/proc_agent.log"]; len(log) > 600<<10 || !strings.HasSuffix(log, "the last line\n") {
		t.Errorf("of a long log there are %d bytes", len(log))
	}
	if text := files["certificates.json"]; !strings.Contains(text, "spiffe://") {
		t.Errorf("certificates are %s", text)
	}
	if entries, err := os.ReadDir(filepath.Dir(to)); err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// TestBundleOfFaultySettings: secrets of files that cannot be read as settings, and of
// agents that do not run, are taken out of logs too.
func TestBundleOfFaultySettings(t *testing.T) {
	e, _ := patient(t)
	e.Stdout, e.Stderr = io.Discard, io.Discard
	secrets := []string{"of-a-line-1", "of, a list 2", "of-a-list-3", "of-a-block-4", "of-a-user-5", "of-a-user-6", "of-a-file-7", "qu:o#ted-8", "xy9zz"}
	write(t, filepath.Join(string(e.Home), "kept.txt"), secrets[6]+"\n")
	write(t, e.Home.AgentConfig("snmp_agent"), "snmp:\n  nonsense: [\n  community: "+secrets[0]+" # not public\n"+
		"  communities: ['"+secrets[1]+"', "+secrets[2]+"]\n  communities:\n    # more\n    - "+secrets[3]+"\n    - '"+secrets[7]+"' # eight\n"+
		"  credentials: [{user: monitor, auth_password: "+secrets[4]+", privacy_password: \""+secrets[5]+"\"}]\n"+
		"  privacy_password: file:kept.txt\n  community: "+secrets[8]+"\n  # password: stays-in-comments\npolling: {retries: 77777}\n")
	write(t, filepath.Join(e.Home.Logs(), "node.log"), strings.Join(secrets, "\n")+"\nmonitor stays-in-comments 77777\n")
	d := newDoctor(e, "amoskys")
	to := filepath.Join(t.TempDir(), "bundle.tar.gz")
	if _, _, err := d.writeBundle(t.Context(), to, d.examine(t.Context()), nil); err != nil {
		t.Fatal(err)
	}
	log := unpacked(t, to)["logs/node.log"]
	for _, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	if !strings.Contains(log, "monitor stays-in-comments 77777") {
		t.Errorf("too much is taken out:\n%s", log)
	}
}

// TestBundleLeavesNothingOutSilently: a secret which is also a part of our names costs no
// file, logs behind a link are there, and what cannot be is named in the archive.
func TestBundleLeavesNothingOutSilently(t *testing.T) {
	e, _ := patient(t)
	e.Stdout, e.Stderr = io.Discard, io.Discard
	write(t, e.Home.AgentConfig("snmp_agent"), "snmp: {community: device, privacy_password: redacted}\n")
	elsewhere := t.TempDir()
	if err := errors.Join(os.RemoveAll(e.Home.Logs()), os.Symlink(elsewhere, e.Home.Logs())); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(elsewhere, "agents"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, e.Home.AgentLog("device_scanner"), "of the scanner, device\n")
	write(t, e.Home.AgentLog("redacted_scanner"), "of the other\n")
	if err := os.Symlink("nowhere", e.Home.Log("node")); err != nil {
		t.Fatal(err)
	}
	d := newDoctor(e, "amoskys")
	to := filepath.Join(t.TempDir(), "bundle.tar.gz")
	left, _, err := d.writeBundle(t.Context(), to, d.examine(t.Context()), []Settings{{"device_scanner", &struct{}{}}})
	if err != nil {
		t.Fatal(err)
	}
	files := unpacked(t, to)
	for name, want := range map[string]string{
		"logs/agents/[redacted]_scanner.log": "of the scanner, [redacted]\n", "settings/[redacted]_scanner.json": "",
		bundle.LeftOutFile: strings.Join(left, "\n") + "\n",
	} {
		if text, there := files[name]; !there || want != "" && text != want {
			t.Errorf("%s has %q, want %q; there are %v", name, text, want, slices.Sorted(maps.Keys(files)))
		}
	}
	if !slices.Contains(left, "logs/node.log: it is a link, or no file at all") {
		t.Errorf("left out are %q", left)
	}
	for name, text := range files {
		if strings.Contains(name+text, "device_") {
			t.Errorf("%s has the community", name)
		}
	}
}
