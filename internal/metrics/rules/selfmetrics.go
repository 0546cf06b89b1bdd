package rules

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	prom "github.com/prometheus/prometheus/rules"

	"github.com/amoskys/amoskys/internal/event"
)

// selfMetrics are those of the evaluation itself.
type selfMetrics struct {
	skipped, published, unpublished, suppressed prometheus.Counter
	findings                                    *prometheus.CounterVec
}

func newSelfMetrics(r *Rules, reg prometheus.Registerer) (*selfMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_rules_" + name, Help: help})
	}
	m := &selfMetrics{
		skipped:     counter("skipped_evaluations_total", "Evaluations of groups of rules that were left out, as the metrics were catching up or the clock is not believed."),
		published:   counter("published_findings_total", "Findings of alerts that were published."),
		unpublished: counter("unpublished_findings_total", "Times that a finding of an alert could not be published and was tried again."),
		suppressed:  counter("suppressed_alerts_total", "Times that an alert fired and could not be told, as too many do; it is told when there is room."),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amoskys_rules_findings_total", Help: "Findings that were made of alerts, by status.",
		}, []string{"status"}),
	}
	m.findings.WithLabelValues(event.FindingNew)
	m.findings.WithLabelValues(event.FindingResolved)
	if reg == nil {
		return m, nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "amoskys_rules_" + name, Help: help}, value)
	}
	var err error
	for _, c := range []prometheus.Collector{
		m.skipped, m.published, m.unpublished, m.suppressed, m.findings,
		gauge("loaded", "Rules that are evaluated.", func() float64 { return float64(r.loader.count()) }),
		gauge("refused_files", "Faults of files with rules that are refused.", func() float64 { return float64(len(r.Faults())) }),
		gauge("failing", "Rules whose last evaluation failed.", r.countFailing),
		gauge("alerts_firing", "Alerts that fire.", r.countFiring),
		gauge("slowest_group_seconds", "Time that the last evaluation of the slowest group took.", r.slowest),
	} {
		err = errors.Join(err, reg.Register(c))
	}
	return m, err
}

func (r *Rules) countFailing() (n float64) {
	r.each(func(rule prom.Rule) {
		if rule.Health() == prom.HealthBad {
			n++
		}
	})
	return n
}

func (r *Rules) countFiring() (n float64) {
	r.each(func(rule prom.Rule) {
		a, alerts := rule.(*prom.AlertingRule)
		if !alerts {
			return
		}
		a.ForEachActiveAlert(func(alert *prom.Alert) {
			if alert.State == prom.StateFiring {
				n++
			}
		})
	})
	return n
}

func (r *Rules) each(do func(prom.Rule)) {
	if m := r.manager.Load(); m != nil {
		for _, rule := range m.Rules() {
			do(rule)
		}
	}
}

func (r *Rules) slowest() (most float64) {
	if m := r.manager.Load(); m != nil {
		for _, g := range m.RuleGroups() {
			most = max(most, g.GetEvaluationTime().Seconds())
		}
	}
	return most
}
