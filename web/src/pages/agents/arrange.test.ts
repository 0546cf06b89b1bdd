import { describe, expect, it } from 'vitest';
import type { Agent, Node } from '$lib/api/types';
import { type Arrangement, arrange, countByHealth } from './arrange';

function agent(host: string, id: string, change: Partial<Agent> = {}): Agent {
  return {
    id,
    host,
    kind: 'proc',
    node: host,
    version: '0.1.0',
    state: 'running',
    health: 'green',
    detail: '',
    pid: 1,
    port: 50002,
    started_at: null,
    last_event_at: null,
    events_total: 0,
    events_per_second: 1,
    events_dropped_total: 0,
    cpu_percent: 0,
    rss_bytes: 0,
    spool_bytes: 0,
    spool_events: 0,
    restarts: 0,
    node_connected: true,
    enabled: true,
    unsupervised: false,
    privileges: [],
    certificate_ends_at: null,
    last_exit_at: null,
    last_exit: '',
    warning: '',
    ...change,
  };
}

const fleet = [
  agent('b', 'proc_agent', { events_per_second: 5 }),
  agent('a', 'proc_agent', { events_per_second: 9 }),
  agent('a', 'eventbus', { kind: 'eventbus' }),
  agent('c', 'proc_agent', { health: 'red', state: 'crashed', detail: 'exit status 2' }),
];
const usual: Arrangement = { filter: '', health: 'all', sort: 'id', grouped: true };
const keys = (wish: Partial<Arrangement>) => arrange(fleet, { ...usual, ...wish }).map((row) => row.key);

describe('list of agents', () => {
  it('groups by host, hosts in trouble first', () => {
    expect(keys({})).toEqual([
      'c/',
      'c/proc_agent',
      'a/',
      'a/eventbus',
      'a/proc_agent',
      'b/',
      'b/proc_agent',
    ]);
  });

  it('sorts over all hosts when it is not grouped', () => {
    expect(keys({ grouped: false, sort: '-rate' }).slice(0, 2)).toEqual(['a/proc_agent', 'b/proc_agent']);
  });

  it('finds by every word, in any place', () => {
    expect(keys({ grouped: false, filter: 'A event' })).toEqual(['a/eventbus']);
    expect(keys({ grouped: false, filter: 'status 2' })).toEqual(['c/proc_agent']);
    expect(keys({ filter: 'nothing like it' })).toEqual([]);
  });

  it('filters and counts by health', () => {
    expect(keys({ grouped: false, health: 'red' })).toEqual(['c/proc_agent']);
    expect(countByHealth(fleet)).toEqual({ all: 4, green: 3, yellow: 0, red: 1, unknown: 0 });
  });

  it('shows hosts that are gone first, also those without agents', () => {
    const node = (host: string, health: Node['health'], state: Node['state']): [string, Node] => [
      host,
      {
        id: host,
        host,
        connected: health === 'green',
        version: '1',
        state,
        health,
        detail: '',
        last_seen_at: null,
        agents: 0,
      },
    ];
    const nodes = new Map([
      node('a', 'green', 'connected'),
      node('b', 'yellow', 'away'),
      node('bare', 'red', 'silent'),
      node('idle', 'green', 'connected'),
    ]);
    const hosts = (wish: Partial<Arrangement>) =>
      arrange(fleet, { ...usual, ...wish }, nodes).flatMap((row) => (row.kind === 'host' ? [row.host] : []));
    expect(hosts({})).toEqual(['bare', 'b', 'c', 'a', 'idle']);
    expect(hosts({ health: 'red' })).toEqual(['bare', 'c']);
    expect(hosts({ filter: 'silent' })).toEqual(['bare']);
  });

  it('arranges ten thousand quickly', () => {
    const many = Array.from({ length: 10_000 }, (_, each) => agent(`host-${each % 2500}`, `agent-${each}`));
    const start = performance.now();
    expect(arrange(many, usual)).toHaveLength(12_500);
    expect(performance.now() - start).toBeLessThan(500);
  });
});
