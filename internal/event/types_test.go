package event

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckType(t *testing.T) {
	type cell struct{ agent, store, analysis error }
	free := cell{nil, ErrReservedType, ErrReservedType}
	none := cell{ErrReservedType, ErrReservedType, ErrReservedType}
	bad := cell{ErrBadType, ErrBadType, ErrBadType}
	for typ, want := range map[string]cell{
		"process.execution": free, "a.b": free, "a.b.c": free, "snmp_v3.reading_2": free, "auditd.record": free, "findings.x": free, "0.1": free,
		"audit.activity": none, "audit.x.y": none,
		"finding.created":      {ErrReservedType, ErrReservedType, nil},
		"finding.proc.miner":   {nil, ErrReservedType, nil},
		"finding.proc.a.b":     {nil, ErrReservedType, nil},
		"finding.proc":         {ErrReservedType, ErrReservedType, nil},
		"finding.flow.miner":   {ErrReservedType, ErrReservedType, nil},
		"finding.hub.silent":   {ErrReservedType, ErrReservedType, nil},
		"finding.metric.high":  {ErrReservedType, nil, nil},
		"finding.metric.a.b":   {ErrReservedType, nil, nil},
		"finding.metric_alert": {ErrReservedType, nil, nil},
		"finding.metric_a":     {ErrReservedType, ErrReservedType, nil},
		"finding.metric":       {ErrReservedType, ErrReservedType, nil},
		"finding.metricx.high": {ErrReservedType, ErrReservedType, nil},
		"":                     bad, "process": bad, ".": bad, "a.": bad, ".a": bad, "a..b": bad, "A.b": bad, "a.B": bad, "a b.c": bad,
		" a.b": bad, "a.b ": bad, "a.b\n": bad, "a-b.c": bad, "a.b\x00": bad, "audit": bad, "Audit.activity": bad, "AUDIT.x": bad,
		"\u0430udit.activity": bad, "Finding.created": bad, "audit\u200b.activity": bad,
	} {
		for maker, want := range map[Maker]error{MakerAgent: want.agent, MakerStore: want.store, MakerAnalysis: want.analysis} {
			e := Envelope{Type: []byte(typ), AgentKind: []byte("proc"), HasFinding: maker == MakerStore && strings.HasPrefix(typ, "finding.")}
			if err := e.CheckType(maker); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%q by maker %d: %v, want %v", typ, maker, err, want)
			}
		}
	}
	flow := Envelope{Type: []byte("finding.flow.port_scan"), AgentKind: []byte("flow"), HasFinding: true}
	if err := flow.CheckType(MakerAgent); err != nil {
		t.Errorf("a finding of a flow agent: %v", err)
	}
	for kind, typ := range map[string]string{"hub": "finding.hub.x", "metric": "finding.metric.x", "": "finding.proc.x"} {
		e := Envelope{Type: []byte(typ), AgentKind: []byte(kind)}
		if err := e.CheckType(MakerAgent); !errors.Is(err, ErrReservedType) {
			t.Errorf("%s by an agent of kind %q: %v", typ, kind, err)
		}
	}
	bare := Envelope{Type: []byte(TypeMetricAlert)}
	if err := bare.CheckType(MakerStore); !errors.Is(err, ErrReservedType) {
		t.Errorf("a store's finding that is none: %v", err)
	}
	for _, m := range []Maker{MakerAgent, MakerStore, MakerAnalysis} {
		audit := Envelope{Type: []byte("finding.metric.high"), AgentKind: []byte("metric"), HasAudit: true}
		if err := audit.CheckType(m); !errors.Is(err, ErrReservedType) {
			t.Errorf("an audit body by maker %d: %v", m, err)
		}
		finding := Envelope{Type: []byte("process.execution"), HasFinding: true}
		if err := finding.CheckType(m); !errors.Is(err, ErrReservedType) {
			t.Errorf("a finding under another type by maker %d: %v", m, err)
		}
	}
}

// FuzzCheckType: nobody but the hub makes what looks like an audit record when
// case, blanks and look-alikes are taken away, and an agent's findings are its own.
func FuzzCheckType(f *testing.F) {
	for _, s := range []string{"audit.activity", "Audit.x", " audit.x", "finding.proc.x", "finding.hub.x", "a.b", "a..b", "a.b\x00"} {
		f.Add(s, "proc")
	}
	f.Fuzz(func(t *testing.T, typ, kind string) {
		e := Envelope{Type: []byte(typ), AgentKind: []byte(kind)}
		if e.CheckType(MakerAgent) != nil {
			return
		}
		words := strings.Split(typ, ".")
		for _, w := range words {
			if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
				t.Fatalf("took %q", typ)
			}
		}
		if len(words) < 2 || words[0] == "audit" || words[0] == "finding" && (len(words) < 3 || words[1] != kind || kind == "hub" || kind == "metric") {
			t.Fatalf("took %q of kind %q", typ, kind)
		}
	})
}
