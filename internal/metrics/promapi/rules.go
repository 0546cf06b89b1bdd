package promapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// RuleGroup is a group of rules, as the API tells it. Times are in seconds.
type RuleGroup struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []Rule    `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

// Rule is a rule of a group. Those that record have no Alerting.
type Rule struct {
	*Alerting

	Name           string        `json:"name"`
	Query          string        `json:"query"`
	Labels         labels.Labels `json:"labels"`
	Health         string        `json:"health"`
	LastError      string        `json:"lastError,omitempty"`
	EvaluationTime float64       `json:"evaluationTime"`
	LastEvaluation time.Time     `json:"lastEvaluation"`
	Type           string        `json:"type"` // RuleAlerting or RuleRecording
}

// Values of Rule.Type.
const (
	RuleAlerting  = "alerting"
	RuleRecording = "recording"
)

// Alerting is what a rule has that alerts.
type Alerting struct {
	State         string        `json:"state"`
	Duration      float64       `json:"duration"`
	KeepFiringFor float64       `json:"keepFiringFor"`
	Annotations   labels.Labels `json:"annotations"`
	Alerts        []Alert       `json:"alerts"`
}

// Alert is one that is pending or fires.
type Alert struct {
	Labels          labels.Labels `json:"labels"`
	Annotations     labels.Labels `json:"annotations"`
	State           string        `json:"state"`
	ActiveAt        time.Time     `json:"activeAt"`
	KeepFiringSince *time.Time    `json:"keepFiringSince,omitempty"`
	Value           string        `json:"value"`
}

// ruleList is what rules answers.
type ruleList struct {
	Groups []RuleGroup `json:"groups"`
	Next   string      `json:"groupNextToken,omitempty"`
}

// rules answers with the rules and what fires.
func (a *API) rules(q *request) (answer, error) {
	wanted, err := q.wantedRules(a)
	if err != nil {
		return answer{}, err
	}
	list := ruleList{Groups: []RuleGroup{}}
	found := wanted.token == ""
	for _, g := range a.ruleGroups() {
		token := tokenOf(&g)
		if found = found || token == wanted.token; !found {
			continue
		}
		if g = wanted.from(g); len(g.Rules) == 0 {
			continue
		}
		if wanted.groups > 0 && len(list.Groups) == wanted.groups {
			list.Next = token
			break
		}
		list.Groups = append(list.Groups, g)
	}
	if !found {
		return answer{}, badParameter("group_next_token", fmt.Errorf("there is no such group %q: the rules have changed", shortened(wanted.token)))
	}
	return sized(list, bytesOfGroups(list.Groups)), nil
}

func (a *API) ruleGroups() []RuleGroup {
	if a.o.Rules == nil {
		return nil
	}
	return a.o.Rules()
}

// wantedRules are the parameters of a question for rules.
type wantedRules struct {
	kind                     string // RuleAlerting, RuleRecording or empty for both
	names, inGroups, inFiles []string
	matchers                 [][]*labels.Matcher
	withoutAlerts            bool
	groups                   int
	token                    string
}

func (q *request) wantedRules(a *API) (w wantedRules, err error) {
	switch t := strings.ToLower(q.form.Get("type")); t {
	case "":
	case "alert":
		w.kind = RuleAlerting
	case "record":
		w.kind = RuleRecording
	default:
		return w, badParameter("type", fmt.Errorf("not supported value %q", shortened(t)))
	}
	w.names, w.inGroups, w.inFiles = q.form["rule_name[]"], q.form["rule_group[]"], q.form["file[]"]
	if w.matchers, err = q.matchers(a); err != nil {
		return w, err
	}
	if text := q.form.Get("exclude_alerts"); text != "" {
		if w.withoutAlerts, err = strconv.ParseBool(text); err != nil {
			return w, badParameter("exclude_alerts", err)
		}
	}
	w.token = q.form.Get("group_next_token")
	if text := q.form.Get("group_limit"); text != "" {
		if w.groups, err = strconv.Atoi(text); err != nil || w.groups <= 0 {
			return w, badParameter("group_limit", fmt.Errorf("%q is not a number above 0", shortened(text)))
		}
	} else if w.token != "" {
		return w, badParameter("group_next_token", errors.New("group_limit has to be there too"))
	}
	return w, nil
}

// from is a group with the rules that are wanted.
func (w *wantedRules) from(g RuleGroup) RuleGroup {
	kept := []Rule{}
	if among(w.inGroups, g.Name) && among(w.inFiles, g.File) {
		for _, r := range g.Rules {
			if w.kind != "" && r.Type != w.kind || !among(w.names, r.Name) || !w.matches(r.Labels) {
				continue
			}
			if r.Alerting != nil && w.withoutAlerts {
				without := *r.Alerting
				without.Alerts = nil
				r.Alerting = &without
			}
			kept = append(kept, r)
		}
	}
	g.Rules = kept
	return g
}

// among reports whether a name is in a list, which is of all where it is empty.
func among(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }

// matches reports whether labels match one of the selectors.
func (w *wantedRules) matches(l labels.Labels) bool {
	return len(w.matchers) == 0 || slices.ContainsFunc(w.matchers, func(set []*labels.Matcher) bool {
		return !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) })
	})
}

// tokenOf names a group for who asks in parts.
func tokenOf(g *RuleGroup) string {
	sum := sha256.Sum256([]byte(g.File + ";" + g.Name))
	return hex.EncodeToString(sum[:20])
}

// alerts answers with what is pending or fires.
func (a *API) alerts(*request) (answer, error) {
	list := []Alert{}
	for _, g := range a.ruleGroups() {
		for _, r := range g.Rules {
			if r.Alerting != nil {
				list = append(list, r.Alerts...)
			}
		}
	}
	return sized(map[string][]Alert{"alerts": list}, bytesOfAlerts(list)), nil
}

// sized is an answer of a value that has about so many bytes.
func sized(v any, bytes int64) answer {
	m := made(v)
	m.bytes = bytes
	return m
}

func bytesOfGroups(list []RuleGroup) (n int64) {
	for i := range list {
		n += 200 + int64(len(list[i].Name)+len(list[i].File))
		for _, r := range list[i].Rules {
			n += 300 + int64(len(r.Query)+len(r.LastError)) + labelBytes(r.Labels)
			if r.Alerting != nil {
				n += labelBytes(r.Annotations) + bytesOfAlerts(r.Alerts)
			}
		}
	}
	return n
}

func bytesOfAlerts(list []Alert) (n int64) {
	for i := range list {
		n += 150 + labelBytes(list[i].Labels) + labelBytes(list[i].Annotations)
	}
	return n
}
