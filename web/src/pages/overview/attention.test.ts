import { describe, expect, it } from 'vitest';
import type { OverviewStatus, Trouble } from '$lib/api/types';
import { concerns } from './attention';

const now = Date.parse('2026-01-01T12:00:00Z');

function status(change: Partial<OverviewStatus> = {}): OverviewStatus {
  return {
    status: { state: 'ok', reasons: [], version: '0', uptime_seconds: 1 },
    log: {
      state: 'ok',
      reason: '',
      first_offset: 0,
      next_offset: 10,
      bytes: 1,
      segments: 1,
      quarantined: 0,
      losses: [],
      recovery: '',
      oldest_time: null,
      free_bytes: 2e9,
    },
    store: {
      state: 'ok',
      events: 10,
      capacity: 100,
      oldest_time: null,
      next_offset: 10,
      lag_events: 0,
      reason: '',
    },
    store_away: '',
    as_of: '2026-01-01T00:00:00Z',
    nodes: { total: 1, connected: 1, reconnecting: 0, away: 0, silent: 0 },
    troubles: [],
    agents: { total: 2, green: 2, yellow: 0, red: 0, unknown: 0 },
    subscribers: [{ name: 'store', offset: 10, lag_events: 0, state: 'ok', hold: true }],
    rate: { events_per_second: 1, events_total: 10, errors_total: 0, connections: 2, queue_depth: 0 },
    latency_ms: { p50: 1, p99: 1, p999: 1 },
    findings: { total: 0, by_severity: {}, newest: [] },
    top: { processes: [], hosts: [], types: [] },
    ...change,
  };
}
const texts = (change: Partial<OverviewStatus>) => concerns(status(change), now).map((each) => each.text);

describe('what needs attention', () => {
  it('is nothing when all is well', () => {
    expect(concerns(status(), now)).toEqual([]);
  });

  it('names hosts and agents, and opens what it speaks of', () => {
    const trouble = (change: Partial<Trouble>): Trouble => ({
      kind: 'agent',
      host: 'web-1',
      agent: 'proc_agent',
      health: 'red',
      state: 'crashed',
      detail: '',
      since: null,
      restarts: 0,
      ...change,
    });
    const list = concerns(
      status({
        agents: { total: 14, green: 1, yellow: 2, red: 11, unknown: 0 },
        nodes: { total: 3, connected: 1, reconnecting: 0, away: 1, silent: 1 },
        troubles: [
          trouble({ kind: 'host', agent: '', state: 'silent', since: '2026-01-01T11:50:00Z' }),
          trouble({ detail: 'exit code 2: out of luck' }),
          trouble({
            kind: 'host',
            host: 'web-2',
            agent: '',
            health: 'yellow',
            state: 'away',
            since: '2026-01-01T11:59:20Z',
          }),
          trouble({ health: 'yellow', state: 'degraded', detail: 'the hub is away' }),
          trouble({
            kind: 'crash',
            health: 'green',
            state: 'running',
            detail: 'exit code 1',
            since: '2026-01-01T11:58:00Z',
          }),
        ],
      }),
      now,
    );
    expect(list.map(({ tone, text, extra }) => [tone, text, extra])).toEqual([
      [
        'critical',
        'Host web-1 is silent: last seen 10 m ago. If it is gone for good, forget it there',
        { q: 'web-1' },
      ],
      [
        'critical',
        'proc_agent on web-1 has crashed: exit code 2: out of luck',
        { agent: 'web-1/proc_agent' },
      ],
      ['critical', '11 more hosts and agents are in trouble', {}],
      ['warning', 'Host web-2 is not connected: last seen 40 s ago.', { q: 'web-2' }],
      ['warning', 'proc_agent on web-1 is unwell: the hub is away', { agent: 'web-1/proc_agent' }],
      [
        'warning',
        'proc_agent on web-1 crashed 2 m ago and runs again: exit code 1',
        { agent: 'web-1/proc_agent', tab: 'logs' },
      ],
    ]);
  });

  it('is a log that cannot take more, once', () => {
    const log = { ...status().log, state: 'full', reason: 'no space left', free_bytes: 0 };
    const hub = { state: 'degraded' as const, reasons: ['no space left'], version: '0', uptime_seconds: 1 };
    expect(texts({ log, status: hub })).toEqual(['The log is full: no space left (0 B free)']);
  });

  it.each([
    ['behind', false, ['store is 2 000 000 events behind the log']],
    ['waiting', true, ['store is 2 000 000 events behind the log']],
    ['stopped', false, []],
    [
      'stopped',
      true,
      ['Nobody reads as store, and the log keeps 2 000 000 events for it: amoskys wal cursors remove store'],
    ],
  ])('is a reader far behind: %s, hold %s', (state, hold, said) => {
    expect(
      texts({ subscribers: [{ name: 'store', offset: 0, lag_events: 2_000_000, state, hold }] }),
    ).toEqual(said);
  });

  it('is whatever else the hub says', () => {
    const hub = { state: 'failed' as const, reasons: ['disk gone'], version: '0', uptime_seconds: 1 };
    expect(concerns(status({ status: hub }), now)).toMatchObject([{ tone: 'critical', text: 'disk gone' }]);
  });
});
