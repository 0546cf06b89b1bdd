package logsql

import "slices"

// streams reads {host="a", type=~"b"}: the engine's index of streams lacks some after
// an unclean end, so it is asked for the same of the fields.
func (p *parser) streams() *SyntaxError {
	open := p.take(inName)
	p.out.raw("(")
	for first := true; ; first = false {
		t := p.take(inName)
		if t.is("}") {
			if first {
				p.out.raw(matchAll)
			}
			p.out.raw(")")
			return nil
		}
		if !first {
			switch {
			case t.is(","):
				p.out.raw(" ")
			case t.keyword("or"):
				p.out.raw(" or ")
			default:
				return faultAt(t.pos, "a closing } is missing for the one at position %d", open.pos)
			}
			t = p.take(inName)
		}
		if err := p.streamTag(t); err != nil {
			return err
		}
	}
}

// streamTag reads one comparison of streams, of which t is the name.
func (p *parser) streamTag(t token) *SyntaxError {
	if t.kind != tokWord && t.kind != tokString {
		return faultAt(t.pos, "%s is not expected here: write {host=\"…\"}", t.describe())
	}
	tg, err := p.names.resolve(t.text, t.pos)
	if err != nil {
		return err
	}
	if tg.field == nil || !slices.Contains([]string{"host", "agent", "type"}, tg.field.Name) {
		return faultAt(t.pos, "streams have host, agent and type: write %s:=… instead", t.text)
	}
	if p.terms++; p.terms > maxTerms {
		return faultAt(t.pos, "the query has more than %d terms", maxTerms)
	}
	op := p.take(inName)
	if op.keyword("in", "not_in") {
		if op.keyword("not_in") {
			p.out.raw("!")
		}
		if err := p.expect("(", inName); err != nil {
			return err
		}
		return callIn(p, tg, call{name: "in", pos: op.pos})
	}
	v := p.take(inValue)
	if v.kind != tokWord && v.kind != tokString {
		return faultAt(v.pos, "a value is missing behind %s", op.text)
	}
	switch op.text {
	case "!=":
		p.out.raw("!")
		return p.emitExact(tg, v.text, v.pos)
	case "=":
		return p.emitExact(tg, v.text, v.pos)
	case "!~":
		p.out.raw("!")
		return p.emitRegexp(tg, "^(?:"+v.text+")$", v.pos)
	case "=~":
		return p.emitRegexp(tg, "^(?:"+v.text+")$", v.pos)
	}
	return faultAt(op.pos, "%s is not expected here: streams compare by = != =~ !~ in not_in", op.describe())
}
