package engine

import "net/http"

// answer breaks off where an error comes after rows: the engine writes its words behind
// them then, and a good end would make what is there look whole.
type answer struct {
	http.ResponseWriter
	begun, failed bool
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.begun {
		a.failed = true
		_, _ = a.ResponseWriter.Write([]byte{'\n'}) // so that the words are a line of their own
		return
	}
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b) //nolint:wrapcheck // as it is
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Flush implements http.Flusher, which the engine's live tail asks for.
func (a *answer) Flush() {
	if f, ok := a.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// finish ends a handler, by a panic of net/http's own where the answer is to break off.
func (a *answer) finish() {
	if a.failed {
		a.Flush() // the words
		panic(http.ErrAbortHandler)
	}
}
