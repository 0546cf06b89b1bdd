package language

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestWordsOfRecordedEvents asks for words, phrases, beginnings and parts of what events
// of a real host hold, in any field and in theirs.
func TestWordsOfRecordedEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine, and an engine that is a process of its own")
	}
	recorded, err := corpus.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(11, 6))
	var events []*pb.Event
	var values []value
	for range 300 {
		encoded := recorded[r.IntN(len(recorded))]
		ev, err := event.Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		ev.Id, ev.Time = nil, nil
		events = append(events, ev)
		for _, list := range valuesOf(t, encoded) {
			for _, v := range list {
				if v.name != "time" && v.name != "id" && v.name != "publisher" && v.key == "" {
					values = append(values, v)
				}
			}
		}
	}
	w := newWorld(t, events)
	for range 100 {
		v := values[r.IntN(len(values))]
		f, _, _ := event.FieldByName(v.name)
		w.both(t, v.name+":"+quote(v.text))
		if f.Type != event.FieldKeyword || len(f.Values) > 0 {
			continue
		}
		words := strings.FieldsFunc(v.text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' })
		if len(words) == 0 {
			continue
		}
		word := words[r.IntN(len(words))]
		part := v.text[:1+r.IntN(len(v.text))]
		for _, query := range []string{
			word, quote(v.text), "-" + quote(word), word[:1+len(word)/2] + "*", "*" + word[len(word)/2:] + "*", "i(" + quote(strings.ToUpper(word)) + ")",
			v.name + ":" + quote(word), v.name + ":" + quote(part) + "*", v.name + ":=" + quote(part) + "*", v.name + ":*" + quote(part) + "*",
			v.name + ":" + quote(part[:len(part)/2]) + "*" + quote(part[len(part)/2:]) + "*", v.name + ":in(" + quote(v.text) + ",x)",
		} {
			if len(w.both(t, query)) == 0 && query[0] != '-' && !strings.Contains(query, "*") {
				t.Errorf("%s finds nothing", query)
			}
		}
	}
}

// TestDigitsInsideNegativeNumbers: the engine keeps a column of whole numbers as such,
// and a word of digits is one in -5 as it is in 5, stored and live.
func TestDigitsInsideNegativeNumbers(t *testing.T) {
	var events []*pb.Event
	for i := range int32(40) {
		code := i - 20
		events = append(events, &pb.Event{
			Type: "process.exit", Host: &pb.Host{Name: "web"},
			Body: &pb.Event_Process{Process: &pb.ProcessActivity{ExitCode: &code, Process: &pb.Process{Name: "x"}}},
		})
	}
	w := newWorld(t, events)
	for query, want := range map[string]int{"15": 2, "7": 2, "19": 2, `"-7"`: 1, "-7": 38, "process.exit_code:-7": 1, "process.exit_code:7": 1} {
		if got := w.both(t, query); len(got) != want {
			t.Errorf("%s finds %v, want %d", query, got, want)
		}
	}
}
