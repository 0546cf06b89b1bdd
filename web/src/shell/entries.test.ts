import { describe, expect, it } from 'vitest';
import { type Entry, search } from './entries';

const entry = (title: string, group = 'Action', note = ''): Entry => ({
  group,
  title,
  note,
  icon: 'play',
  run: () => {},
});
const entries = [
  entry('Stop proc_agent on web-01', 'Action', 'asks first'),
  entry('proc_agent on web-01', 'Agent'),
  entry('Overview', 'Page'),
];
const titles = (text: string) => search(entries, text).map((each) => each.title);

describe('palette', () => {
  it('finds by every word, wherever it stands', () => {
    expect(titles('web stop')).toEqual(['Stop proc_agent on web-01']);
    expect(titles('PAGE')).toEqual(['Overview']);
    expect(titles('nothing')).toEqual([]);
  });

  it('puts what starts so first', () => {
    expect(titles('proc')).toEqual(['proc_agent on web-01', 'Stop proc_agent on web-01']);
  });

  it('shows all for no words, within bounds', () => {
    expect(titles('')).toHaveLength(3);
    expect(
      search(
        Array.from({ length: 500 }, () => entry('x')),
        'x',
      ),
    ).toHaveLength(50);
  });
});
