import { describe, expect, it } from 'vitest';
import type { Lack } from '$lib/api/types';
import { lacking } from './lacks';

const lack = (change: Partial<Lack>): Lack => ({
  place: 'agent',
  count: 0,
  reason: 'its spool was full',
  since: null,
  until: null,
  host: '',
  agent: '',
  ...change,
});

describe('what an answer lacks', () => {
  it.each([
    ['nothing', [], 'complete'],
    ['a limit alone', [lack({ place: 'limit', reason: 'limit of 10 rows' })], 'complete'],
    [
      'one agent for a while',
      [
        lack({
          count: 1204,
          agent: 'proc_agent',
          host: 'web-1',
          since: '2026-01-01T12:01:00Z',
          until: '2026-01-01T12:09:00Z',
        }),
      ],
      'lacks 1 204 events: proc_agent on web-1: its spool was full 2026-01-01 12:01:00–12:09:00',
    ],
    [
      'over midnight',
      [lack({ count: 1, host: 'web-1', since: '2026-01-01T23:59:00Z', until: '2026-01-02T00:01:00Z' })],
      'lacks 1 event: web-1: its spool was full 2026-01-01 23:59:00–2026-01-02 00:01:00',
    ],
    [
      'unknown how many',
      [lack({ place: 'store', reason: 'that day is set aside' })],
      'lacks events, unknown how many: the store: that day is set aside',
    ],
    [
      'several',
      [lack({ count: 5, place: 'hub', reason: 'refused' }), lack({ place: 'log', reason: 'damaged' })],
      'lacks at least 5 events: the hub: refused; and 1 more',
    ],
    [
      'before a time',
      [lack({ place: 'store', reason: 'no longer kept', until: '2026-01-01T00:00:00Z' })],
      'lacks events, unknown how many: the store: no longer kept before 2026-01-01 00:00:00',
    ],
  ])('%s', (_, lacks, text) => {
    expect(lacking(lacks as Lack[], true).text).toBe(text);
  });

  it('lists every lack, those of a limit too', () => {
    const { complete, lines } = lacking([lack({ place: 'limit', reason: 'limit of 10 rows' })], true);
    expect(complete).toBe(true);
    expect(lines).toEqual(['unknown how many, a limit of this answer: limit of 10 rows']);
  });
});
