package promapi

import (
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/prometheus/util/annotations"
)

// answer is what a question gets.
type answer struct {
	// write encodes what stands at "data".
	emit func(*encoder)
	// bytes is about how long the data is.
	bytes int64
	// from and to are of which time it is; zero where it is of none.
	from, to        time.Time
	warnings, infos []string
	// close gives back what the data lies in, once it is written.
	close func()
}

// made is an answer of a value that encoding/json knows.
func made(v any) answer { return answer{emit: func(e *encoder) { e.data(v) }} }

// list is an answer of texts, of which more than limit are cut off; 0 cuts none.
func list(texts []string, limit int, notes annotations.Annotations) answer {
	cut := limit > 0 && len(texts) > limit
	if cut {
		texts = texts[:limit]
	}
	a := answer{emit: func(e *encoder) {
		e.raw("[")
		for i, text := range texts {
			if i > 0 {
				e.raw(",")
			}
			e.text(text)
			if !e.spill() {
				return
			}
		}
		e.raw("]")
	}}
	for _, text := range texts {
		a.bytes += int64(len(text)) + 3
	}
	a.annotate(notes, "")
	if cut {
		a.warnings = append(a.warnings, truncated)
	}
	return a
}

// truncated is what an answer says that a limit has cut, in Prometheus' words.
const truncated = "results truncated due to limit"

// maxNotes bounds the warnings, and the infos, of an answer.
const maxNotes = 10

// annotate adds what the engine and the database remarked; query gives those of the
// engine their place in it.
func (a *answer) annotate(notes annotations.Annotations, query string) {
	if len(notes) == 0 {
		return
	}
	warnings, infos := notes.AsStrings(query, maxNotes, maxNotes)
	slices.Sort(warnings)
	slices.Sort(infos)
	a.warnings, a.infos = append(a.warnings, warnings...), append(a.infos, infos...)
}

// fits refuses an answer that would be too long.
func (a *API) fits(made answer) error {
	if made.bytes <= a.o.Limits.AnswerBytes {
		return nil
	}
	return faultf(kindExecution, "the answer would have about %d MiB, and %d MiB are the most: ask for fewer series, a shorter range or a longer step",
		made.bytes>>20, a.o.Limits.AnswerBytes>>20)
}

// write writes the whole answer.
func (a *answer) write(w http.ResponseWriter) error {
	e := &encoder{w: w, buf: make([]byte, 0, partBytes+4<<10)}
	e.raw(`{"status":"success","data":`)
	a.emit(e)
	for _, notes := range []struct {
		name  string
		texts []string
	}{{"warnings", a.warnings}, {"infos", a.infos}} {
		if len(notes.texts) > 0 {
			e.raw(`,"` + notes.name + `":`)
			e.data(notes.texts)
		}
	}
	e.raw("}\n")
	e.flush()
	return e.err
}
