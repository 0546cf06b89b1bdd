package rules

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	prom "github.com/prometheus/prometheus/rules"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
)

// follow tells of alerts of a group that began to fire and of those that ended, after the
// group was evaluated:
//
//	alert of a rule        told before   what is told
//	fires                  no            its beginning
//	fires                  yes           nothing
//	is pending             either        nothing: after a restart it fires again when its time has come
//	is not there           yes           its end, once the rule's state was restored after a start
//	the rule failed        either        nothing: it is not known
func (r *Rules) follow(ctx context.Context, g *prom.Group, at time.Time) {
	changed := false
	r.mu.Lock()
	active, unsure := map[string]bool{}, map[string]bool{}
	for _, rule := range g.Rules() {
		a, alerts := rule.(*prom.AlertingRule)
		r.noteHealth(ctx, g, rule)
		if !alerts {
			continue
		}
		if a.Health() != prom.HealthGood || !a.Restored() {
			unsure[a.Name()] = true
		}
		for _, alert := range a.ActiveAlerts() {
			key := keyOf(g.File(), g.Name(), a.Name(), alert.Labels.String())
			active[key] = true
			if alert.State == prom.StateFiring && a.Health() == prom.HealthGood {
				changed = r.begin(ctx, key, g, alert, a.Name()) || changed
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.told.Alerts)) {
		t := r.told.Alerts[key]
		if t.File == g.File() && t.Group == g.Name() && !active[key] && !unsure[t.Rule] && hasRule(g, t.Rule) {
			changed = r.end(ctx, key, at, "") || changed
		}
	}
	r.mu.Unlock()
	if changed {
		r.keep(ctx)
		r.due()
	}
}

// noteHealth logs when a rule begins to fail, and when it works again. The caller holds mu.
func (r *Rules) noteHealth(ctx context.Context, g *prom.Group, rule prom.Rule) {
	key := keyOf(g.File(), g.Name(), rule.Name(), rule.Labels().String())
	switch bad := rule.Health() == prom.HealthBad; {
	case bad && !r.failing[key]:
		r.failing[key] = true
		r.o.Logger.WarnContext(ctx, "a rule fails", obs.KeyPath, g.File(), "group", g.Name(), "rule", rule.Name(), obs.KeyError, rule.LastError())
	case !bad && r.failing[key]:
		delete(r.failing, key)
		r.o.Logger.InfoContext(ctx, "a rule works again", obs.KeyPath, g.File(), "group", g.Name(), "rule", rule.Name())
	}
}

func hasRule(g *prom.Group, name string) bool {
	return slices.ContainsFunc(g.Rules(), func(r prom.Rule) bool { return r.Name() == name })
}

// keyOf names an alert among all that are remembered.
func keyOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// begin remembers an alert that fires and tells of it, if that was not done, and reports
// whether it did. One that has no room is told when there is. The caller holds mu.
func (r *Rules) begin(ctx context.Context, key string, g *prom.Group, alert *prom.Alert, rule string) bool {
	if r.told.Alerts[key] != nil {
		return false
	}
	if len(r.told.Alerts) >= maxTold || r.told.alertBytes >= maxToldBytes || r.told.isFull() {
		r.metrics.suppressed.Inc()
		return false
	}
	fired := alert.FiredAt
	if fired.IsZero() {
		fired = alert.ActiveAt
	}
	t := &toldAlert{
		File: g.File(), Group: g.Name(), Rule: rule, Labels: shortened(alert.Labels.Map(), maxLabels), Annotations: shortened(alert.Annotations.Map(), maxLabels),
		Value: number(alert.Value), Began: alert.ActiveAt.UTC(), Fired: fired.UTC(), UID: keyOf(key, fired.UTC().Format(time.RFC3339Nano)),
	}
	if !r.tell(ctx, t, event.FindingNew, fired, "") {
		return false
	}
	r.told.Alerts[key] = t
	r.told.alertBytes += t.size()
	r.metrics.findings.WithLabelValues(event.FindingNew).Inc()
	return true
}

// end tells the end of an alert and forgets it, and reports whether it did. One that has no
// room is told when there is. The caller holds mu.
func (r *Rules) end(ctx context.Context, key string, at time.Time, why string) bool {
	if r.told.isFull() {
		return false
	}
	if !r.tell(ctx, r.told.Alerts[key], event.FindingResolved, at, why) {
		return false
	}
	r.told.alertBytes -= r.told.Alerts[key].size()
	delete(r.told.Alerts, key)
	r.metrics.findings.WithLabelValues(event.FindingResolved).Inc()
	return true
}

// tell has an event published. The caller holds mu.
func (r *Rules) tell(ctx context.Context, t *toldAlert, status string, at time.Time, why string) bool {
	b, err := t.event(r.o.Host, status, at, why)
	if err != nil {
		r.o.Logger.ErrorContext(ctx, "no finding can be made of an alert", "rule", t.Rule, obs.KeyError, err)
		return false
	}
	r.told.Waiting = append(r.told.Waiting, waiting{b})
	r.told.waitingBytes += len(b)
	return true
}

// dropGone tells the end of alerts whose rule is not there any more. Those of a file that
// was refused since the program started stay.
func (r *Rules) dropGone(ctx context.Context) {
	changed := false
	r.mu.Lock()
	for _, key := range slices.Sorted(maps.Keys(r.told.Alerts)) {
		t := r.told.Alerts[key]
		if !r.loader.has(t.File, t.Group, t.Rule) {
			changed = r.end(ctx, key, r.o.Now(), "Its rule is not there any more.") || changed
		}
	}
	r.mu.Unlock()
	if changed {
		r.keep(ctx)
		r.due()
	}
}
