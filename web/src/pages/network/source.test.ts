import { describe, expect, it } from 'vitest';
import type { Agent } from '$lib/api/types';
import { flowSource } from './source';

const agent = (change: Partial<Agent>): Agent =>
  ({
    id: 'flow_agent',
    kind: 'flow',
    host: 'web-01',
    state: 'running',
    health: 'green',
    detail: '',
    ...change,
  }) as Agent;

describe('why there are no flows', () => {
  it.each([
    ['no flow agent', [agent({ id: 'proc_agent', kind: 'proc' })], 'amoskys up', '', /needs CAP_NET_RAW/],
    [
      'one that lacks a right',
      [
        agent({
          state: 'stopped',
          health: 'unknown',
          detail: 'off: needs CAP_NET_RAW: sudo setpriv --inh-caps +net_raw amoskys up',
        }),
      ],
      'sudo setpriv --inh-caps +net_raw amoskys up',
      'web-01/flow_agent',
      /web-01 is off: it needs CAP_NET_RAW/,
    ],
    [
      'one that is stopped',
      [agent({ state: 'stopped', health: 'unknown' })],
      '',
      'web-01/flow_agent',
      /is stopped\./,
    ],
    [
      'one that is unwell',
      [agent({ health: 'yellow', state: 'degraded', detail: 'eth9 is away' })],
      '',
      'web-01/flow_agent',
      /not well: eth9 is away/,
    ],
    ['quiet', [agent({}), agent({ host: 'db-01' })], '', '', /watches on 2 hosts/],
  ] as const)('with %s', (_, list, command, key, text) => {
    const source = flowSource(list);
    expect(source.command).toBe(command);
    expect(source.agent).toBe(key);
    expect(source.text).toMatch(text);
  });
});
