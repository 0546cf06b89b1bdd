package cli

import (
	"encoding/json"
	"os"
	"testing"
)

func TestClean(t *testing.T) {
	text, err := os.ReadFile("testdata/marks.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Name, Text, Shown string }
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, tt := range cases {
		if got := Clean(tt.Text); got != tt.Shown {
			t.Errorf("%s: %q, want %q", tt.Name, got, tt.Shown)
		}
	}
	if got := Clean("a\xff\xfeb"); got != "a⟨U+FFFD⟩⟨U+FFFD⟩b" {
		t.Errorf("broken bytes: %q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("web-1\u202e\xff\x1b[31m")
	f.Fuzz(func(t *testing.T, s string) {
		once := Clean(s)
		for _, r := range once {
			if isHidden(r) {
				t.Fatalf("%q has %U left", once, r)
			}
		}
		if Clean(once) != once {
			t.Fatalf("%q is changed again", once)
		}
	})
}

func TestLinesOfText(t *testing.T) {
	const text = "filter: not known\n  tcp prt\x1b 80\n      ^"
	if got := CleanLines(text); got != "filter: not known\n  tcp prt⟨U+001B⟩ 80\n      ^" {
		t.Errorf("CleanLines: %q", got)
	}
	for text, want := range map[string]string{text: "filter: not known …", "one\n": "one", "": ""} {
		if got := FirstLine(text); got != want {
			t.Errorf("FirstLine(%q): %q", text, got)
		}
	}
}
