import { describe, expect, it } from 'vitest';
import type { Alert, Rule, RuleGroup } from '$lib/api/prometheus';
import type { SavedQuery } from '$lib/api/types';
import { refreshEvery, windowOf } from '$lib/promql/window';
import { alertsOf, countsOf, findingOf, newestOf, stateOf } from './rules';
import { edited, opened, shownOf } from './saved';
import { grafanaLink, linkTo } from './share';
import { queriesOf } from './state';

const live = (range: string) => ({ range, from: null, to: null });

describe('the window', () => {
  it('has whole steps, none nearer than readings are', () => {
    expect(windowOf(live('15m'), 'auto', 1_000_003_000)).toEqual({ start: 999_100, end: 1_000_000, step: 5 });
    expect(windowOf(live('1h'), '1m', 3_600_000_000)).toEqual({ start: 3_596_400, end: 3_600_000, step: 60 });
  });

  it('asks for no more values than a screen has', () => {
    const { start, end, step } = windowOf(live('30d'), '5s', 1e12);
    expect((end - start) / step).toBeLessThanOrEqual(4001);
    expect(refreshEvery({ start: 0, end: 0, step: 5 })).toBe(5000);
    expect(refreshEvery({ start: 0, end: 0, step: 3600 })).toBe(60_000);
  });
});

describe('the address', () => {
  it('holds several queries', () => {
    expect(queriesOf(' a \n\nb')).toEqual(['a', 'b']);
    expect(queriesOf(Array(20).fill('a').join('\n'))).toHaveLength(8);
  });

  it('is shared with its time', () => {
    const link = linkTo('http://x/dashboard/metrics?q=a&range=1h', { start: 0, end: 60, step: 5 });
    expect(new URL(link).searchParams.get('to')).toBe('1970-01-01T00:01:00.000Z');
    expect(linkTo('http://x/y?q=a', undefined)).toBe('http://x/y?q=a');
  });

  it('leads to the same in Grafana', () => {
    const url = new URL(grafanaLink('https://g.example/sub/', 'ds', ['a', 'b'], live('6h')));
    const { a } = JSON.parse(url.searchParams.get('panes') ?? '');
    expect(url.pathname).toBe('/sub/explore');
    expect(a.range).toEqual({ from: 'now-6h', to: 'now' });
    expect(a.queries.map((each: { expr: string }) => each.expr)).toEqual(['a', 'b']);
  });
});

describe('a saved panel', () => {
  const saved = { id: 7, query: 'a\nb', since: '24h', until: '', columns: [] } as unknown as SavedQuery;

  it('is opened with its queries and range, and tells whether it was edited', () => {
    const params = opened(saved, new URLSearchParams('range=7d&step=1m'));
    expect([params.get('q'), params.get('range'), params.get('step')]).toEqual(['a\nb', '24h', '1m']);
    expect(edited(saved, shownOf(['a', 'b'], live('24h')))).toBe(false);
    expect(edited(saved, shownOf(['a'], live('24h')))).toBe(true);
    expect(edited(saved, shownOf(['a', 'b'], live('1h')))).toBe(true);
  });
});

describe('rules', () => {
  const at = '2026-03-01T12:00:00Z';
  const evaluated = { evaluationTime: 0, lastEvaluation: at };
  const alert = (state: 'pending' | 'firing', labels: Record<string, string>): Alert => ({
    ...{ state, labels, annotations: {}, activeAt: at, value: '1e+02' },
  });
  const rule: Rule = {
    ...{ name: 'Gone', query: 'up == 0', type: 'alerting', health: 'ok', state: 'firing', ...evaluated },
    alerts: [alert('pending', { host: 'a' }), alert('firing', { host: 'b c', severity: 'page' })],
  };
  const group: RuleGroup = { name: 'g', file: 'f', interval: 30, rules: [rule], ...evaluated };

  it('lists what fires first, and leads to its finding', () => {
    const [first, second] = alertsOf([group]);
    expect([first?.tone, first?.title, second?.tone]).toEqual(['critical', 'Gone', 'unknown']);
    if (!first) throw new Error('there is none');
    expect(findingOf(first, Date.parse(at) + 3 * 3_600_000)).toEqual({
      q: 'type:finding.metric_alert rule.name:=Gone finding.observables.host.name:="b c"',
      range: '6h',
    });
    expect(findingOf(first, Date.parse(at) + 90 * 86_400_000).range).toBe('30d');
    expect(countsOf([group], alertsOf([group]))).toEqual({ rules: 1, firing: 1, pending: 1, failing: 0 });
  });

  it('says what a rule is at', () => {
    expect(stateOf(rule).word).toBe('fires');
    expect(stateOf({ ...rule, health: 'err' }).word).toBe('fails');
    expect(stateOf({ ...rule, health: 'unknown' }).word).toBe('not evaluated yet');
    expect(newestOf([{ ...group, lastEvaluation: '0001-01-01T00:00:00Z' }])).toBe(null);
    expect(newestOf([group])).toBe(at);
  });
});
