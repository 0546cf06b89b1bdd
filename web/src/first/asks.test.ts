import { describe, expect, it } from 'vitest';
import { firstAsks } from './asks';

describe('what a page asks for before its code is there', () => {
  it.each([
    ['/login', '', ['/api/session']],
    ['/dashboard/agents', '', ['/api/session', '/api/overview?since=15m']],
    [
      '/dashboard',
      '?range=1h',
      [
        '/api/session',
        '/api/overview?since=1h',
        '/api/series?names=events_per_second%2Clatency_ms_highest%2Cqueue_depth_highest&since=1h&step=15s',
      ],
    ],
  ])('%s%s', (path, search, asks) => {
    expect(firstAsks(path, search)).toEqual(asks);
  });

  it('searches for what the address says', () => {
    const [, , search] = firstAsks(
      '/dashboard/events',
      '?q=host:x&from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z',
    );
    const params = new URL(search ?? '', 'http://x').searchParams;
    expect(Object.fromEntries(params)).toMatchObject({
      query: 'host:x',
      since: '2026-01-01T00:00:00.000Z',
      until: '2026-01-01T01:00:00.000Z',
      limit: '200',
      without: 'process.sample',
    });
  });

  it('asks for the rows of a long range alone, whose counts come later', () => {
    const [, , search] = firstAsks('/dashboard/events', '?range=7d&facets=pid');
    const params = new URL(search ?? '', 'http://x').searchParams;
    expect(Object.fromEntries(params)).toEqual({
      since: '168h',
      limit: '200',
      without: 'process.sample',
      no_total: 'true',
    });
  });

  it.each([
    ['?q=type:=process.sample', null],
    ['?q=type:process.*', null],
    ['?readings=1', null],
    ['?q=process.execution', 'process.sample'],
  ])('leaves readings out of %s', (search, without) => {
    const [, , asked] = firstAsks('/dashboard/events', search);
    expect(new URL(asked ?? '', 'http://x').searchParams.get('without')).toBe(without);
  });
});
