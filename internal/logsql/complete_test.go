package logsql

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestComplete completes at the | of each text.
func TestComplete(t *testing.T) {
	for _, c := range []struct {
		text   string
		from   int
		field  string
		first  string
		has    []string
		hasNot []string
	}{
		{"‸", 0, "", "id:", []string{"host:", "not "}, []string{"or ", "stats "}},
		{"hos‸", 0, "", "host:", []string{"host.ip:", "device.hostname:"}, []string{"pid:"}},
		{"pid:1 ‸", 6, "", "and ", []string{"or ", "| ", "host:"}, nil},
		{"pid:1 o‸", 6, "", "or ", []string{"observer:"}, []string{"and "}},
		{"severity:‸", 9, "severity", "informational", []string{"critical", ">=", "in("}, []string{"host:"}},
		{"severity:>=‸", 11, "severity", "informational", []string{"critical"}, []string{">=", "host:"}},
		{"severity:hi‸", 9, "severity", "high", nil, []string{"low", "="}},
		{"(a severity:in(low,h‸", 19, "severity", "high", nil, []string{"low"}},
		{"log.level:m‸", 10, "severity", "medium", nil, nil},
		{"process.name:cu‸", 13, "process.name", "", nil, []string{"cpu:"}},
		{`process.name:"cu‸`, 13, "process.name", "", nil, []string{"cpu:"}},
		{"nosuch:‸", 7, "", "and ", nil, nil},
		{"* | ‸", 4, "", "by ", []string{"stats ", "top ", "filter "}, []string{"host:", "stream_context "}},
		{"* | st‸", 4, "", "stats ", nil, []string{"top "}},
		{"* | stats ‸", 10, "", "any(", []string{"count(", "by ("}, []string{"host:"}},
		{"* | stats by (ho‸", 14, "", "host", []string{"host.ip"}, []string{"count("}},
		{"* | stats by (host) cou‸", 20, "", "count(", []string{"count_uniq("}, nil},
		{"* | stats count() if (sev‸", 22, "", "severity:", nil, []string{"severity"}},
		{"* | filter sev‸", 11, "", "severity:", nil, nil},
		{"* | sort by (pi‸", 13, "", "pid", nil, nil},
		{"* | union (sev‸", 11, "", "severity:", nil, nil},
		{"* | join by (host) (sev‸", 20, "", "severity:", nil, nil},
		{"pid:in(* | fields pi‸", 18, "", "pid", nil, nil},
	} {
		t.Run(c.text, func(t *testing.T) {
			cursor := strings.Index(c.text, "‸")
			got := Complete(strings.Replace(c.text, "‸", "", 1), cursor)
			var texts []string
			for _, o := range got.Options {
				texts = append(texts, o.Text)
			}
			if got.From != c.from || got.To != cursor || got.Field != c.field {
				t.Errorf("from %d to %d of %q, want %d to %d of %q", got.From, got.To, got.Field, c.from, cursor, c.field)
			}
			if first := slices.Concat(texts, []string{""})[0]; first != c.first {
				t.Errorf("first %q, want %q", first, c.first)
			}
			for _, s := range c.has {
				if !slices.Contains(texts, s) {
					t.Errorf("%q is not among %q", s, texts)
				}
			}
			for _, s := range c.hasNot {
				if slices.Contains(texts, s) {
					t.Errorf("%q is among them", s)
				}
			}
		})
	}
}

// TestCompleteValue: a value that events have is written so that it finds them.
func TestCompleteValue(t *testing.T) {
	for _, c := range []struct{ text, value, want string }{
		{"process.name:", "curl", "process.name:=curl "},
		{"process.name:cu", "curl", "process.name:=curl "},
		{"process.name:=cu", "curl", "process.name:=curl "},
		{"process.name:in(curl, w", "wget", "process.name:in(curl, wget"},
		{"process.name:(", "wget", "process.name:(wget"},
		{"user.name:", "Ada Lovelace", `user.name:="Ada Lovelace" `},
		{`user.name:"Ad`, `Ada "L"`, `user.name:="Ada \"L\"" `},
		{`file.path:=`, `C:\Windows`, `file.path:=C:\Windows `},
		{`file.path:=`, `C:\new files`, `file.path:="C:\\new files" `},
		{"source.ip:", "2001:db8::1", "source.ip:=2001:db8::1 "},
		{"message:", "or", `message:="or" `},
		{"message:", "", `message:="" `},
		{"message:", "a\nb", `message:="a\nb" `},
		{"message:", "-rf", "message:=-rf "},
		{"message:", "~x", `message:="~x" `},
	} {
		done := Complete(c.text, len(c.text))
		got := c.text[:done.From] + done.Value(c.value)
		if got != c.want {
			t.Errorf("%s + %s: %s, want %s", c.text, c.value, got, c.want)
		}
		if done.place != inList {
			if _, err := Parse(got); err != nil {
				t.Errorf("%s: %v", got, err)
			}
		}
	}
}

// TestCompleteInWord: a word in whose middle the cursor stands is replaced whole.
func TestCompleteInWord(t *testing.T) {
	for text, want := range map[string]string{"a pro‸cess x": "process", "type:pro‸cess.exit|limit 1": "process.exit", "host:‸web": "", "* | st‸ats": "stats"} {
		cursor := strings.Index(text, "‸")
		text = strings.Replace(text, "‸", "", 1)
		if c := Complete(text, cursor); text[c.From:c.To] != want {
			t.Errorf("%s at %d: %q is replaced, not %q", text, cursor, text[c.From:c.To], want)
		}
	}
}

// TestMend: what was probably meant stands where the fault was.
func TestMend(t *testing.T) {
	for query, want := range map[string]string{
		"a proces.name:curl":           "a process.name:curl",
		`"hots":web`:                   "host:web",
		"* | stats by (hots) count()":  "* | stats by (host) count()",
		"* | sotr by (host)":           "* | sort by (host)",
		"pid:abc":                      "",
		"zzzzzzzzzzzzzzzzzzzzzzzzzzz:": "",
	} {
		_, err := Parse(query)
		fault, ok := errors.AsType[*SyntaxError](err)
		if !ok {
			t.Fatalf("%s: %v", query, err)
		}
		got := ""
		if from, to, ok := fault.Mend(query); ok {
			got = query[:from] + fault.Hint + query[to:]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// FuzzComplete: any text and cursor has an answer inside the text.
func FuzzComplete(f *testing.F) {
	f.Add("* | stats by (host) count() if (severity:>=high) x", 30)
	f.Add(`process.name:"a`, -1)
	f.Add("x)))|(|", 99)
	f.Fuzz(func(t *testing.T, text string, cursor int) {
		got := Complete(text, cursor)
		if got.From < 0 || got.From > got.To || got.To > len(text) {
			t.Errorf("%q at %d: from %d to %d", text, cursor, got.From, got.To)
		}
	})
}
