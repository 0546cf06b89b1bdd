package tell

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Said is the part of a filter that asks what people say of devices: whether they are
// known, whose they are, their tags and notes. The hub keeps that and the store all else,
// so that whoever asks both takes this part out of the filter for the store, and applies
// it to what the store answers. The zero value asks nothing.
type Said struct{ terms []saidTerm }

// saidTerm is one condition; not turns it round.
type saidTerm struct {
	not  bool
	test func(*pb.DeviceMark) bool
}

// Asks reports whether anything is asked at all.
func (s Said) Asks() bool { return len(s.terms) > 0 }

// Takes reports whether all that is asked holds for what is said of a device; nil is
// nothing said.
func (s Said) Takes(m *pb.DeviceMark) bool {
	for _, t := range s.terms {
		if t.test(m) == t.not {
			return false
		}
	}
	return true
}

// maxSaid bounds the parts of a filter that ask for marks.
const maxSaid = 32

var errSaidQuote = errors.New(`the filter has a " without its second`)

// SplitFilter takes known:, owner:, tag: and note: out of a filter of devices
// (docs/devices.md). rest is what is left of it, as it stands there, for the store. The
// error is for people.
func SplitFilter(filter string) (rest string, said Said, err error) {
	var kept strings.Builder
	for text := filter; text != ""; {
		if isBlank(text[0]) {
			kept.WriteByte(text[0])
			text = text[1:]
			continue
		}
		word, behind, err := cutSaid(text)
		if err != nil {
			return "", Said{}, err
		}
		if word == nil {
			whole := len(text) - len(behind)
			kept.WriteString(text[:whole])
		} else if t, err := word.term(); err != nil {
			return "", Said{}, err
		} else if said.terms = append(said.terms, t); len(said.terms) > maxSaid {
			return "", Said{}, fmt.Errorf("the filter has more than %d words", maxSaid)
		}
		text = behind
	}
	return strings.Trim(kept.String(), blanks), said, nil
}

// blanks are what parts words.
const blanks = " \t\r\n"

func isBlank(c byte) bool { return strings.IndexByte(blanks, c) >= 0 }

// saidWord is one such part of a filter.
type saidWord struct {
	not        bool
	key, value string
}

// cutSaid takes the first word off a text that begins with one. It is nil where it asks for
// something else than marks.
func cutSaid(text string) (w *saidWord, behind string, err error) {
	bare, not := strings.CutPrefix(text, "-")
	n := 0
	for n < len(bare) && (bare[n]|0x20 >= 'a' && bare[n]|0x20 <= 'z' || bare[n] == '_' || bare[n] == '.') {
		n++
	}
	key, value := "", bare
	if n < len(bare) && bare[n] == ':' {
		key, value = strings.TrimPrefix(strings.ToLower(bare[:n]), "device."), bare[n+1:]
	}
	if key == "tags" {
		key = "tag"
	}
	isSaid := slices.Contains([]string{"known", "owner", "tag", "note"}, key)
	quoted, isQuoted := strings.CutPrefix(value, `"`)
	if isQuoted {
		var closed bool
		if value, behind, closed = strings.Cut(quoted, `"`); !closed {
			return nil, "", errSaidQuote
		}
	} else {
		end := strings.IndexAny(value, blanks)
		if end < 0 {
			end = len(value)
		}
		value, behind = value[:end], value[end:]
	}
	if !isSaid {
		return nil, behind, nil
	}
	if value == "" && (!isQuoted || key == "known") {
		return nil, "", fmt.Errorf("the filter has nothing behind its %s", key)
	}
	return &saidWord{not, key, strings.ToLower(value)}, behind, nil
}

// term makes the condition of a word. An empty value, which stands in quotes, is for
// devices of which that is not said at all.
func (w *saidWord) term() (saidTerm, error) {
	t := saidTerm{not: w.not}
	part := func(of func(*pb.DeviceMark) string) func(*pb.DeviceMark) bool {
		return func(m *pb.DeviceMark) bool {
			return w.value == "" && of(m) == "" || w.value != "" && strings.Contains(strings.ToLower(of(m)), w.value)
		}
	}
	switch w.key {
	case "owner":
		t.test = part((*pb.DeviceMark).GetOwner)
	case "note":
		t.test = part((*pb.DeviceMark).GetNote)
	case "tag":
		t.test = func(m *pb.DeviceMark) bool {
			if w.value == "" {
				return len(m.GetTags()) == 0
			}
			return slices.ContainsFunc(m.GetTags(), func(tag string) bool { return strings.EqualFold(tag, w.value) })
		}
	default:
		switch w.value {
		case "true", "yes":
			t.test = (*pb.DeviceMark).GetKnown
		case "false", "no":
			t.test = func(m *pb.DeviceMark) bool { return !m.GetKnown() }
		default:
			return t, fmt.Errorf("known:%.40s is neither known:true nor known:false", w.value)
		}
	}
	return t, nil
}
