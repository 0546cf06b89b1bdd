package logsql

import "strings"

// typeTerm is a filter of the field type that every event found passes.
type typeTerm struct {
	text string
	how  typeMatch
}

type typeMatch uint8

const (
	typeWhole  typeMatch = iota // it is the text
	typeBegins                  // it begins with it
	typeWord                    // it has the text in it
)

// noteType notes a filter where it stands at the top, outside of whatever need not hold.
func (p *parser) noteType(tg target, text string, how typeMatch) {
	if tg.kind == targetField && tg.name == "type" && p.depth == 0 && p.pipes == 0 && p.cost.negated == 0 && text != "" {
		p.types = append(p.types, typeTerm{strings.ToLower(text), how})
	}
}

func (p *parser) typeTerms() []typeTerm {
	if p.cost.either || p.subquery {
		return nil
	}
	return p.types
}

// MayFind reports whether what the query finds may depend on events of a type. It says no
// only where a term at the top, such as type:=flow.ended, keeps them out, and there is no
// query in it that may find others.
func (q *Query) MayFind(typ string) bool {
	for _, t := range q.types {
		ok := strings.Contains(typ, t.text)
		switch t.how {
		case typeWhole:
			ok = typ == t.text
		case typeBegins:
			ok = strings.HasPrefix(typ, t.text)
		case typeWord:
		}
		if !ok {
			return false
		}
	}
	return true
}
