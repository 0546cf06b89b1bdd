package live

import (
	"bytes"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amoskys/amoskys/internal/filter"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// wordQuery is a query of free words and nothing else that needs the event, as
// people type most. A word that is in one of the event's texts is found without
// decoding; only a word that is in none may still be in a number or in the
// summary, and needs the whole query.
type wordQuery struct {
	words [][]byte // in lower-case ASCII
	// rest is what the index answers; nil when there is none.
	rest *filter.Filter
}

// newWordQuery reads a query, nil when it is of another kind.
func newWordQuery(q string) *wordQuery {
	if strings.ContainsAny(q, "()'`\\\"") {
		return nil
	}
	var w wordQuery
	var rest []string
	for term := range strings.FieldsSeq(q) {
		switch lower := strings.ToLower(term); {
		case lower == "or", lower == "not", term[0] == '-', term[0] == '!':
			return nil
		case lower == "and":
		case strings.Contains(term, ":"):
			rest = append(rest, term)
		case strings.ContainsAny(term, "*,") || !isASCII(term):
			return nil
		default:
			w.words = append(w.words, []byte(lower))
		}
	}
	if len(w.words) == 0 {
		return nil
	}
	if len(rest) > 0 {
		text := strings.Join(rest, " ")
		parsed, err := filter.Parse(text)
		if err != nil || !indexOnly(text) {
			return nil
		}
		w.rest = parsed
	}
	return &w
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// inTexts says whether every word is in some text of an encoded event.
func (w *wordQuery) inTexts(encoded []byte) bool {
	for _, word := range w.words {
		if !eventTexts().some(encoded, word) {
			return false
		}
	}
	return true
}

// texts says of a message which fields are texts, and which messages with texts.
type texts struct {
	// fields is indexed by number: nil is of no interest, isText a text.
	fields []*texts
	// isMap: of its two fields the value alone is a value of the event.
	isMap bool
}

// isText marks a text among the fields of a message.
var isText = &texts{} //nolint:gochecknoglobals // a constant

// eventTexts is built once from the generated descriptors.
var eventTexts = sync.OnceValue(func() *texts { //nolint:gochecknoglobals // immutable once built
	return textsOf((&pb.Event{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]*texts{})
})

func textsOf(d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]*texts) *texts {
	if t := seen[d.FullName()]; t != nil {
		return t
	}
	t := &texts{isMap: d.IsMapEntry()}
	seen[d.FullName()] = t
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		var sub *texts
		switch f.Kind() { //nolint:exhaustive // others hold no text
		case protoreflect.StringKind:
			sub = isText
		case protoreflect.MessageKind:
			sub = textsOf(f.Message(), seen)
		}
		if n := int(f.Number()); sub != nil && (!t.isMap || n != 1) {
			for len(t.fields) <= n {
				t.fields = append(t.fields, nil)
			}
			t.fields[n] = sub
		}
	}
	return t
}

// some says whether a text of the encoded message holds the word. The message
// has been found well formed when it was taken.
func (t *texts) some(b, word []byte) bool {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return false
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if int(number) >= len(t.fields) {
			continue
		}
		switch sub := t.fields[number]; {
		case sub == nil, len(value) < len(word):
		case sub == isText:
			if holdsFold(value, word) {
				return true
			}
		case sub.some(value, word):
			return true
		}
	}
	return false
}

// holdsFold says whether a text holds a word in lower-case ASCII, whatever the
// text's case.
func holdsFold(text, word []byte) bool {
	first := word[0]
	for i := 0; i+len(word) <= len(text); i++ {
		c := text[i]
		if c >= 0x80 {
			return bytes.Contains(bytes.ToLower(text), word)
		}
		if lower(c) == first && equalFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

func equalFold(text, word []byte) bool {
	for i, c := range text {
		if lower(c) != word[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
