package rules

import (
	"cmp"
	"slices"
	"strconv"

	prom "github.com/prometheus/prometheus/rules"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// Groups are the rules and how they are, for the API.
func (r *Rules) Groups() []promapi.RuleGroup {
	m := r.manager.Load()
	if m == nil {
		return nil
	}
	var list []promapi.RuleGroup
	for _, g := range m.RuleGroups() {
		group := promapi.RuleGroup{
			Name: g.Name(), File: g.File(), Interval: g.Interval().Seconds(), Limit: g.Limit(),
			EvaluationTime: g.GetEvaluationTime().Seconds(), LastEvaluation: g.GetLastEvaluation(),
		}
		for _, rule := range g.Rules() {
			group.Rules = append(group.Rules, shown(rule))
		}
		list = append(list, group)
	}
	return list
}

// shown is a rule as the API tells it.
func shown(rule prom.Rule) promapi.Rule {
	s := promapi.Rule{
		Name: rule.Name(), Query: rule.Query().String(), Labels: rule.Labels(), Health: string(rule.Health()),
		EvaluationTime: rule.GetEvaluationDuration().Seconds(), LastEvaluation: rule.GetEvaluationTimestamp(), Type: promapi.RuleRecording,
	}
	if err := rule.LastError(); err != nil {
		s.LastError = err.Error()
	}
	a, alerts := rule.(*prom.AlertingRule)
	if !alerts {
		return s
	}
	s.Type = promapi.RuleAlerting
	s.Alerting = &promapi.Alerting{
		State: a.State().String(), Duration: a.HoldDuration().Seconds(), KeepFiringFor: a.KeepFiringFor().Seconds(),
		Annotations: a.Annotations(), Alerts: []promapi.Alert{},
	}
	for _, alert := range a.ActiveAlerts() {
		one := promapi.Alert{
			Labels: alert.Labels, Annotations: alert.Annotations, State: alert.State.String(), ActiveAt: alert.ActiveAt,
			Value: strconv.FormatFloat(alert.Value, 'e', -1, 64),
		}
		if !alert.KeepFiringSince.IsZero() {
			one.KeepFiringSince = &alert.KeepFiringSince
		}
		s.Alerts = append(s.Alerts, one)
	}
	slices.SortFunc(s.Alerts, func(x, y promapi.Alert) int { return cmp.Compare(x.Labels.String(), y.Labels.String()) })
	return s
}
