import type { Alert, Rule, RuleGroup } from '$lib/api/prometheus';
import { instant } from '$lib/format/time';
import { quote } from '$lib/query/edit';
import { presets, spanOf } from '$lib/router/timerange';
import type { Tone } from '$lib/ui/status';

/** An alert that is pending or fires, with the rule that it is of. */
export interface Shown {
  alert: Alert;
  rule: Rule;
  title: string;
  tone: Tone;
  /** Labels beside those that the title or the mark stands for. */
  labels: [string, string][];
}

/** Those that fire first, each kind with the newest first. */
export function alertsOf(groups: readonly RuleGroup[]): Shown[] {
  const all = groups.flatMap((group) =>
    group.rules.flatMap((rule) =>
      (rule.alerts ?? []).map((alert) => ({
        alert,
        rule,
        title: alert.annotations.summary || alert.annotations.title || rule.name,
        tone: alert.state === 'firing' ? toneOfSeverity(alert.labels.severity) : ('unknown' as Tone),
        labels: Object.entries(alert.labels).filter(([name]) => name !== 'alertname' && name !== 'severity'),
      })),
    ),
  );
  const rank = ({ alert }: Shown) => (alert.state === 'firing' ? 0 : 1);
  return all.sort((a, b) => rank(a) - rank(b) || (a.alert.activeAt < b.alert.activeAt ? 1 : -1));
}

function toneOfSeverity(severity: string | undefined): Tone {
  return /^(high|error|major|critical|page|emergency|fatal)$/i.test(severity ?? '') ? 'critical' : 'warning';
}

/** What a rule is at: of one that records whether it works, of one that alerts what it says. */
export function stateOf(rule: Rule): { tone: Tone; word: string } {
  if (rule.health === 'err') return { tone: 'critical', word: 'fails' };
  if (rule.health === 'unknown') return { tone: 'unknown', word: 'not evaluated yet' };
  if (rule.type === 'recording') return { tone: 'ok', word: 'records' };
  if (rule.state === 'firing') return { tone: 'warning', word: 'fires' };
  return rule.state === 'pending' ? { tone: 'unknown', word: 'pending' } : { tone: 'ok', word: 'quiet' };
}

export interface Counts {
  rules: number;
  firing: number;
  pending: number;
  failing: number;
}

export function countsOf(groups: readonly RuleGroup[], alerts: readonly Shown[]): Counts {
  const rules = groups.flatMap((group) => group.rules);
  const firing = alerts.filter(({ alert }) => alert.state === 'firing').length;
  return {
    rules: rules.length,
    firing,
    pending: alerts.length - firing,
    failing: rules.filter((rule) => rule.health === 'err').length,
  };
}

/** When anything was evaluated last, in milliseconds; null: nothing was yet. */
export function newestOf(groups: readonly RuleGroup[]): string | null {
  return groups.reduce<string | null>(
    (newest, { lastEvaluation }) =>
      (instant(lastEvaluation) ?? 0) > (instant(newest) ?? 0) ? lastEvaluation : newest,
    null,
  );
}

/** How labels are named in findings; others are label.NAME. */
const observables: Record<string, string> = {
  host: 'host.name',
  agent: 'agent.id',
  ip: 'device.ip',
  device: 'device.name',
};

/** What Events is asked for the findings of an alert: since it began, with a minute to spare. */
export function findingOf({ alert, rule }: Shown, now: number): Record<string, string> {
  const terms = ['type:finding.metric_alert', `rule.name:=${quote(rule.name)}`];
  for (const [label, attribute] of Object.entries(observables)) {
    const value = alert.labels[label];
    if (value) terms.push(`finding.observables.${attribute}:=${quote(value)}`);
  }
  const age = now - (instant(alert.activeAt) ?? now) + 60_000;
  const range = presets.find((each) => (spanOf(each.range) ?? 0) >= age)?.range ?? '30d';
  return { q: terms.join(' '), range };
}

/** A value as Prometheus writes it, "1.5e+02", as a number. */
export function numberOf(alert: Alert): number | null {
  const value = Number(alert.value);
  return Number.isFinite(value) ? value : null;
}
