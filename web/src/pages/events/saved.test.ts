import { describe, expect, it } from 'vitest';
import type { SavedQuery } from '$lib/api/types';
import { matching } from '$lib/saved/matching';
import { edited, opened, shownOf } from './saved';
import { usualColumns } from './state';

const saved = (more: Partial<SavedQuery> = {}): SavedQuery => ({
  id: 7,
  name: 'failed logins',
  query: 'type:=auth.attempt',
  since: '24h',
  until: '',
  columns: ['time', 'host'],
  shared: false,
  owner: 'ada',
  mine: true,
  created_at: '2026-05-01T00:00:00Z',
  changed_at: '2026-05-01T00:00:00Z',
  changed_by: 'ada',
  ...more,
});
const at = (text: string) => new URLSearchParams(text);

describe('a saved query', () => {
  it.each([
    [saved(), 'saved=7', 'cols=time%2Chost&q=type%3A%3Dauth.attempt&range=24h&saved=7'],
    [saved({ since: '', columns: [] }), 'range=7d', 'q=type%3A%3Dauth.attempt&range=7d&saved=7'],
    [
      saved({ since: '2026-05-01T00:00:00Z', until: '2026-05-02T00:00:00Z', columns: [] }),
      'range=7d&event=4',
      'from=2026-05-01T00%3A00%3A00.000Z&q=type%3A%3Dauth.attempt&saved=7&to=2026-05-02T00%3A00%3A00.000Z',
    ],
    [saved({ since: '2w' }), 'range=7d', 'cols=time%2Chost&q=type%3A%3Dauth.attempt&range=7d&saved=7'],
  ])('is opened with its range and columns', (query, before, after) => {
    const params = opened(query, at(before));
    params.sort();
    expect(params.toString()).toBe(after);
  });

  it('is saved as it is shown', () => {
    const range = { range: '7d', from: null, to: null };
    expect(shownOf('a', range, ['time'])).toEqual({
      query: 'a',
      since: '7d',
      until: '',
      columns: ['time'],
    });
    const zoom = { range: '7d', from: 0, to: 1000 };
    expect(shownOf('a', zoom, []).until).toBe('1970-01-01T00:00:01.000Z');
  });

  it('tells whether it was edited', () => {
    const range = { range: '24h', from: null, to: null };
    const shown = shownOf('type:=auth.attempt', range, ['time', 'host']);
    expect(edited(saved(), shown)).toBe(false);
    expect(edited(saved(), { ...shown, query: 'b' })).toBe(true);
    expect(edited(saved(), { ...shown, since: '7d' })).toBe(true);
    expect(edited(saved(), { ...shown, columns: ['time'] })).toBe(true);
    const open = saved({ since: '', columns: [] });
    expect(edited(open, { ...shown, columns: usualColumns })).toBe(false);
  });

  it('is found by name, query and owner', () => {
    const list = [saved(), saved({ id: 8, name: 'b', query: 'sshd', owner: 'bob' })];
    expect(matching(list, ' LOGIN').map((each) => each.id)).toEqual([7]);
    expect(matching(list, 'ss').map((each) => each.id)).toEqual([8]);
    expect(matching(list, '')).toHaveLength(2);
  });
});
