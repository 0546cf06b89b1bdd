import { describe, expect, it } from 'vitest';
import type { OverviewStatus } from '$lib/api/types';
import { concerns } from './attention';

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
      recovery: '',
      oldest_time: null,
      free_bytes: 2e9,
    },
    store: { state: 'ok', events: 10, capacity: 100, oldest_time: null, next_offset: 10 },
    agents: { total: 2, green: 2, yellow: 0, red: 0, unknown: 0 },
    subscribers: [{ name: 'store', offset: 10, lag_events: 0 }],
    rate: { events_per_second: 1, events_total: 10, errors_total: 0, connections: 2, queue_depth: 0 },
    latency_ms: { p50: 1, p99: 1, p999: 1 },
    findings: { total: 0, by_severity: {} },
    top: { processes: [], hosts: [], types: [] },
    ...change,
  };
}
const texts = (change: Partial<OverviewStatus>) => concerns(status(change)).map((each) => each.text);

describe('what needs attention', () => {
  it('is nothing when all is well', () => {
    expect(concerns(status())).toEqual([]);
  });

  it('is red agents first, with the way to them', () => {
    const [first, second] = concerns(
      status({ agents: { total: 3, green: 0, yellow: 2, red: 1, unknown: 0 } }),
    );
    expect(first).toMatchObject({
      tone: 'critical',
      text: '1 agent is not running',
      extra: { health: 'red' },
    });
    expect(second).toMatchObject({ tone: 'warning', extra: { health: 'yellow' } });
  });

  it('is a log that cannot take more, once', () => {
    const log = { ...status().log, state: 'full', reason: 'no space left', free_bytes: 0 };
    const hub = { state: 'degraded' as const, reasons: ['no space left'], version: '0', uptime_seconds: 1 };
    expect(texts({ log, status: hub })).toEqual(['The log is full: no space left (0 B free)']);
  });

  it('is a reader far behind', () => {
    expect(texts({ subscribers: [{ name: 'store', offset: 0, lag_events: 2_000_000 }] })).toEqual([
      'store is 2 000 000 events behind the log',
    ]);
  });

  it('is whatever else the hub says', () => {
    const hub = { state: 'failed' as const, reasons: ['disk gone'], version: '0', uptime_seconds: 1 };
    expect(concerns(status({ status: hub }))).toMatchObject([{ tone: 'critical', text: 'disk gone' }]);
  });
});
