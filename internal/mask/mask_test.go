package mask

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func builtIn(t testing.TB) *Masker {
	t.Helper()
	m, err := New(Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestArgs: "|" parts arguments; what is wanted is the same where nothing is a secret.
func TestArgs(t *testing.T) {
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
	enrol := "amk1_" + strings.Repeat("Ab3-", 26)
	tests := []struct{ in, want string }{
		// by the name of an option
		{"amoskys|enroll|--hub|hub1:5000|--token|" + enrol, "amoskys|enroll|--hub|hub1:5000|--token|***"},
		{"x|--token=abc", "x|--token=***"},
		{"x|--token|abc|more", "x|--token|***|more"},
		{"x|-password|abc", "x|-password|***"},
		{"x|--token:|abc|more|-password:", "x|--token:|***|more|-password:"},
		{"x|--token: abc|--token:|-v", "x|--token: ***|--token:|-v"},
		{"x|--password=a b c|--name=n", "x|--password=***|--name=n"},
		{"x|--password|my secret phrase|-v", "x|--password|***|-v"},
		{"x|--db-password=|--db-password|p", "x|--db-password=|--db-password|***"},
		{"x|--apiKey=k|--apikey|k|--api_key=k|--API-KEY|k", "x|--apiKey=***|--apikey|***|--api_key=***|--API-KEY|***"},
		{"x|--client-secret|-Xy9Q|--retry", "x|--client-secret|***|--retry"},
		{"keytool|-storepass|changeit|-keypass|changeit", "keytool|-storepass|***|-keypass|***"},
		{"java|-Djavax.net.ssl.trustStorePassword=pw|-jar|a.jar", "java|-Djavax.net.ssl.trustStorePassword=***|-jar|a.jar"},
		{"x|/password:pw|/user:u", "x|/password:***|/user:u"},
		{"mount|-o|username=u,password=pw,vers=3|//s/x|/mnt", "mount|-o|username=u,password=***,vers=3|//s/x|/mnt"},
		{"kubectl|create|secret|generic|s|--from-literal=password=pw", "kubectl|create|secret|generic|s|--from-literal=password=***"},
		{"docker|run|-e|POSTGRES_PASSWORD=pw|-p|80:80|postgres:16", "docker|run|-e|POSTGRES_PASSWORD=***|-p|80:80|postgres:16"},
		{"env|PGPASSWORD=pw|AWS_SECRET_ACCESS_KEY=k|SECRET_KEY_BASE=k|HOME=/root|psql", "env|PGPASSWORD=***|AWS_SECRET_ACCESS_KEY=***|SECRET_KEY_BASE=***|HOME=/root|psql"},
		{"vault|login|token=abc", "vault|login|token=***"},
		{"vault|write|auth/approle/login|role_id=r|secret_id=s", "vault|write|auth/approle/login|role_id=r|secret_id=***"},
		{"x|--connection-string|Server=s;Password=p", "x|--connection-string|***"},
		{"x|Server=s;User Id=u;Password=p w;Encrypt=yes", "x|Server=s;User Id=u;Password=*** w;Encrypt=yes"},
		{"aws|configure|set|aws_secret_access_key|wJalrXUt", "aws|configure|set|aws_secret_access_key|***"},
		{"nmcli|dev|wifi|connect|home|password|pw", "nmcli|dev|wifi|connect|home|password|***"},
		// headers, queries, objects
		{"curl|-H|Authorization: Bearer abc.def|https://h/x", "curl|-H|Authorization: Bearer ***|https://h/x"},
		{"curl|-HAuthorization: Basic dXNlcjpwYXNz|https://h/x", "curl|-HAuthorization: Basic ***|https://h/x"},
		{"curl|-H|X-Api-Key: k|-H|Accept: text/html|h", "curl|-H|X-Api-Key: ***|-H|Accept: text/html|h"},
		{"curl|-H|Cookie: sid=1; theme=2|h", "curl|-H|Cookie: ***|h"},
		{"curl|https://h/x?user=u&access_token=t&page=2", "curl|https://h/x?user=u&access_token=***&page=2"},
		{`curl|-d|{"user":"u","password":"p w","n":1}`, `curl|-d|{"user":"u","password":"***","n":1}`},
		{`curl|-d|{"password": "p\"w"}`, `curl|-d|{"password": "***"}`},
		{`curl|-d|{'api_key': 'k'}`, `curl|-d|{'api_key': '***'}`},
		{"curl|-d|{\\\"token\\\":\\\"t\\\"}", "curl|-d|{\\\"token\\\":\\\"***\\\"}"},
		// by program
		{"mysql|-uroot|-pSECRET|db", "mysql|-uroot|-p***|db"},
		{"/usr/bin/mysqldump|-p|db|-P|3306", "/usr/bin/mysqldump|-p|db|-P|3306"},
		{"sudo|-u|root|mysql|-pSECRET", "sudo|-u|root|mysql|-p***"},
		{"mysql.exe|--password|--host|db", "mysql.exe|--password|--host|db"},
		{"sshpass|-p|pw|ssh|-p|22|host", "sshpass|-p|***|ssh|-p|22|host"},
		{"sshpass|-ppw|ssh|host", "sshpass|-p***|ssh|host"},
		{"curl|-u|alice:pw|h", "curl|-u|alice:***|h"},
		{"curl|-ualice:pw|-sSu|bob:pw|--user|eve:pw|--proxy-user=p:pw|h", "curl|-ualice:***|-sSu|bob:***|--user|eve:***|--proxy-user=p:***|h"},
		{"curl|-u|alice|h", "curl|-u|alice|h"},
		{"redis-cli|-h|h|-a|pw|ping", "redis-cli|-h|h|-a|***|ping"},
		{"docker|login|-u|u|-p|pw|registry", "docker|login|-u|u|-p|***|registry"},
		{"mongosh|-u|u|-p|pw|db", "mongosh|-u|u|-p|***|db"},
		{"ldapsearch|-D|cn=a|-w|pw|-W|-y|/f", "ldapsearch|-D|cn=a|-w|***|-W|-y|/f"},
		{"snmpwalk|-v2c|-c|private|host", "snmpwalk|-v2c|-c|***|host"},
		{"snmpget|-v3|-A|authpw|-Xprivpw|host", "snmpget|-v3|-A|***|-X***|host"},
		{"smbclient|//s/x|-U|u%pw", "smbclient|//s/x|-U|u%***"},
		{"sqlplus|scott/tiger@db", "sqlplus|scott/***@db"},
		{"zip|-P|pw|a.zip|b", "zip|-P|***|a.zip|b"},
		{"7z|x|-ppw|a.7z", "7z|x|-p***|a.7z"},
		// by where it stands
		{"psql|postgres://u:pw@h:5432/db", "psql|postgres://u:***@h:5432/db"},
		{"git|clone|https://u:p/w@h/x.git", "git|clone|https://u:***@h/x.git"},
		{"x|--proxy=http://u:pw@[::1]:3128", "x|--proxy=http://u:***@[::1]:3128"},
		{"x|amqp://a:b@h1,amqp://c:d@h2", "x|amqp://a:***@h1,amqp://c:***@h2"},
		{"openssl|enc|-pass|pass:pw|-passin|pass:pw", "openssl|enc|-pass|***|-passin|***"},
		// by its look
		{"x|AKIAIOSFODNN7EXAMPLE|ASIAIOSFODNN7EXAMPLE", "x|***|***"},
		{"git|clone|https://ghp_" + strings.Repeat("a1", 18) + "@github.com/o/r", "git|clone|https://***@github.com/o/r"},
		{"x|" + enrol + "|glpat-abcdefghij0123456789|xoxb-1234567890-abc", "x|***|***|***"},
		{"x|-t|" + jwt, "x|-t|***"},
		{"x|-----BEGIN RSA PRIVATE KEY-----\nMIIE\nAbc\n-----END RSA PRIVATE KEY-----", "x|-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----"},
		{"x|-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "x|-----BEGIN OPENSSH PRIVATE KEY-----***"},
		{"x|hdr=Bearer 0123456789abcdef", "x|hdr=Bearer ***"},
		// commands within
		{"sh|-c|cd /x && mysql -u root -pSECRET db", "sh|-c|cd /x && mysql -u root -p*** db"},
		{"bash|-c|PGPASSWORD=pw psql -h h; curl -u a:pw h", "bash|-c|PGPASSWORD=*** psql -h h; curl -u a:*** h"},
		{`sh|-c|x --password "my secret" --port 5`, `sh|-c|x --password "***" --port 5`},
		{`sh|-c|sh -c 'mysql -pSECRET'`, `sh|-c|sh -c 'mysql -p***'`},
		{`sh|-c|curl -H "Authorization: Bearer abc" h`, `sh|-c|curl -H "Authorization: Bearer ***" h`},
		{`sh|-c|x --password='my secret' y`, `sh|-c|x --password=*** y`},
		{"x --token abc --port 5", "x --token *** --port 5"}, // a title
		{"run /usr/bin/mysql -pSECRET", "run /usr/bin/mysql -p***"},
		{"/usr/bin/mysql", ""},
		{"celery worker: password=pw", "celery worker: password=***"},

		{"sh|-c|ls;mysql -pSECRET", "sh|-c|ls;mysql -p***"},
		{"sh|-c|cd /x&&curl -u a:pw h", "sh|-c|cd /x&&curl -u a:*** h"},
		{"sh|-c|(mysql -pSECRET)|&|x", "sh|-c|(mysql -p***|&|x"},
		{"sh|-c|n=$(mysql -u root -pSECRET -e x)", "sh|-c|n=$(mysql -u root -p*** -e x)"},
		{"sh|-c|n=`mysql -pSECRET -e x`", "sh|-c|n=`mysql -p*** -e x`"},
		// without a blank
		{"curl|-H|Authorization:Bearer abc|-H|X-Api-Key:k|-H|Cookie:sid=1|h", "curl|-H|Authorization:Bearer ***|-H|X-Api-Key:***|-H|Cookie:***|h"},
		{"x|--Password:pw|-token:t", "x|--Password:***|-token:***"},
		// in lists, maps, statements and signed addresses
		{`x|{"token": ["t"]}|'password' => 'pw'`, `x|{"token": ["***"]}|'password' => '***'`},
		{`x|{"credentials":{"user":"u","pass":"p"}}`, `x|{"credentials":{"user":"u","pass":"***"}}`},
		{"psql|-c|ALTER ROLE u PASSWORD 'p w'; SELECT 1", "psql|-c|ALTER ROLE u PASSWORD '***'; SELECT 1"},
		{"mysql|-e|create user u identified by 'pw'", "mysql|-e|create user u identified by '***'"},
		{"x|https://h/b?se=1&sig=Ab%2B&sp=r", "x|https://h/b?se=1&sig=***&sp=r"},
		{"x|https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXX", "x|https://***"},
		// more programs and names
		{"openssl|enc|-k|pw|-in|f", "openssl|enc|-k|***|-in|f"},
		{"mosquitto_pub|-u|u|-P|pw|-p|1883", "mosquitto_pub|-u|u|-P|***|-p|1883"},
		{"cqlsh|-u|u|-p|pw", "cqlsh|-u|u|-p|***"},
		{"curl|-4u|a:pw|-E|c.pem:pw|-b|sid=1|h", "curl|-4u|a:***|-E|c.pem:***|-b|***|h"},
		{"redis-server|--requirepass|pw|--masterauth|pw", "redis-server|--requirepass|***|--masterauth|***"},
		{"x|--otp=123456|--pin|1234|--passwort=pw", "x|--otp=***|--pin|***|--passwort=***"},

		// no secrets
		{"docker|run|-v|secret:/data|my-token:1.2", ""},
		{"exp|/home/a/f|/dev/sda", ""},
		{"sh|-c|echo Basic understanding of things", ""},
		{"conda|install|sk-learn-contrib-examples", ""},
		{"ssh|-p|22|host", ""},
		{"ssh|-p22|host|-i|/home/a/.ssh/id", ""},
		{"mkdir|-p|/a/b", ""},
		{"cp|-pr|/a|/b", ""},
		{"docker|run|-p|8080:80|--name|token-service|nginx", ""},
		{"x|--password-file=/run/x|--password-file|/run/x|--token-file|/t|--passwordFile=/x", ""},
		{"x|--password-stdin|--token-ttl=5m|--token|-", ""},
		{"x|--no-password|db|--ask-pass|db|--use-token|x", ""},
		{"ssh|-o|PasswordAuthentication=no|-o|NumberOfPasswordPrompts=1|h", ""},
		{"sshd: alice [priv]", ""},
		{"nginx: master process /usr/sbin/nginx", ""},
		{"postgres: alice db 10.0.0.1(5432) idle", ""},
		{"grep|token|/etc/x", ""},
		{"git|commit|-m|token: is checked", "git|commit|-m|token: ***"}, // cannot be told from a header
		{"vim|/etc/passwd", ""},
		{"cat|/run/secrets/token", ""},
		{"docker|pull|registry:5000/team/secret:1.2", ""},
		{"curl|https://h:8443/x?page=2|--max-time|5", ""},
		{"ssh|git@github.com", ""},
		{"rsync|-a|u@h:/x|/y", ""},
		{"env|PWD=/home/a|OLDPWD=/|ls", ""},
		{"python|train.py|--max-tokens|5|--tokenizer|bpe", ""},
		{"systemctl|--user|status|a:b", ""},
		{"chown|user:group|f", ""},
		{"passwd|alice", ""},
		{"java|-cp|a.jar:b.jar|Main", ""},
		{"x|sk-1|AKIA|eyJ|bearer", ""},
		{"ps|-eo|pid,comm", ""},
		{"curl|--user-agent|a:b|-o|u:v|h", ""},
	}
	m := builtIn(t)
	for _, tt := range tests {
		t.Run(tt.in[:min(len(tt.in), 40)], func(t *testing.T) {
			in := strings.Split(tt.in, "|")
			if strings.Contains(tt.in, " || ") {
				in = []string{tt.in}
			}
			want := tt.want
			if want == "" {
				want = tt.in
			}
			if got := strings.Join(m.Args(in), "|"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestRules(t *testing.T) {
	m, err := New(Rules{
		Names: []string{"x-internal", "licence_no"}, Keep: []string{"csrf-token"},
		Patterns: []string{`ACME-[0-9]{4}`, `pin ([0-9]+)`},
	})
	if err != nil {
		t.Fatal(err)
	}
	in := []string{"x", "--xInternal=v", "--licence-no", "5", "--csrf-token", "t", "ACME-1234/ACME-5678", "the pin 99 and pin 1", "--token=t"}
	want := []string{"x", "--xInternal=***", "--licence-no", "***", "--csrf-token", "t", "***/***", "the pin *** and pin ***", "--token=***"}
	if diff := cmp.Diff(want, m.Args(in)); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []Rules{
		{Names: []string{""}},
		{Names: []string{"a b"}},
		{Keep: []string{strings.Repeat("a", 65)}},
		{Patterns: []string{"("}},
		{Patterns: []string{"a*"}},
		{Patterns: []string{""}},
		{Patterns: []string{strings.Repeat("a", MaxPattern+1)}},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestArgsBelongToTheCaller(t *testing.T) {
	in := []string{"x", "--token", "abc"}
	builtIn(t).Args(in)
	if in[2] != "abc" {
		t.Error("the arguments were changed")
	}
}

// TestWorkIsLinear: nobody stops the agent by the command line of a process, of which
// it reads 64 kB.
func TestWorkIsLinear(t *testing.T) {
	m := builtIn(t)
	for _, piece := range []string{"://:", "https://a:b", "a://b:c@", "-p ", "--token:", "a=b:", "password:\\", "x='", "   :", "eyJ.", "-----BEGIN PRIVATE KEY-----"} {
		text := strings.Repeat(piece, 64<<10/len(piece))
		began := time.Now()
		m.Text(text)
		m.Args([]string{"x", text})
		if took := time.Since(began); took > 2*time.Second { // it takes some milliseconds
			t.Errorf("%q: %s", piece, took)
		}
	}
}

// FuzzMask: whatever comes, text stays text, a secret behind a known name goes, and
// masking what is masked changes nothing but what stands beside it.
func FuzzMask(f *testing.F) {
	for _, s := range []string{
		"mysql\x00-pSECRET", "curl\x00-H\x00Authorization: Bearer x", `sh` + "\x00-c\x00x --password 'a b' \"", "a://b:c@d", "{\"password\":\"",
		"\x00\x00=", "--token", "x\x00--token:", "x\x00-password: y", "://:://:a@b", "-----BEGIN PRIVATE KEY-----", "eyJ.eyJ", "Password=\\", "é=:é\xff", "x --pass '\\", "docker\x00login\x00-p",
	} {
		f.Add(s)
	}
	m, err := New(Rules{Names: []string{"mine"}, Patterns: []string{`z(\d*)z`}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args := strings.Split(s, "\x00")
		got := m.Args(args)
		if len(got) != len(args) {
			t.Fatalf("%d arguments of %d", len(got), len(args))
		}
		for i := range got {
			if utf8.ValidString(args[i]) && !utf8.ValidString(got[i]) {
				t.Errorf("%q became %q", args[i], got[i])
			}
			if len(got[i]) > 4*len(args[i])+len(Mark) {
				t.Errorf("%q grew to %q", args[i], got[i])
			}
		}
		m.Text(s)
		const secret = "Qx7Secret"
		behind := m.Args(append(append([]string{"program"}, args...), "--end", "--password="+secret, "--token", secret))
		if strings.Contains(strings.Join(behind[len(args)+1:], " "), secret) {
			t.Errorf("%q lets a secret through: %q", args, behind)
		}
	})
}

func BenchmarkArgs(b *testing.B) {
	m := builtIn(b)
	for name, args := range map[string][]string{
		"short": {"/usr/sbin/sshd", "-D"},
		"usual": {"/usr/bin/python3", "-m", "gunicorn", "--bind", "0.0.0.0:8000", "--workers=4", "--config", "/etc/app/conf.py", "app.wsgi:application"},
		"long": strings.Split("/usr/lib/jvm/bin/java"+strings.Repeat(" -Dcom.example.some.setting=value-of-it", 60)+
			" -cp /a.jar:/b.jar com.example.Main --password=x", " "),
		"text": {"sh", "-c", strings.Repeat("cd /x && curl -u a:b https://h/x?token=t; ", 50)},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Args(args)
			}
		})
	}
}
