import { describe, expect, it } from 'vitest';
import { barsOf, gridColumns, numeric, sorted, valueText } from './tabular';

const table = {
  columns: ['host', 'pid', 'cpu'],
  rows: [
    ['a', '7', '12.5'],
    ['b', '10', '50'],
    ['c', '9', ''],
  ],
};

describe('the table of a query with pipes', () => {
  it('knows amounts from names', () => {
    expect(numeric(table)).toEqual([false, false, true]);
    expect(gridColumns(table).map(({ key, number, grow }) => [key, number, grow])).toEqual([
      ['host', false, true],
      ['pid', false, undefined],
      ['cpu', true, undefined],
    ]);
  });

  it('draws the first amount beside its labels', () => {
    const drawn = barsOf(table);
    expect(drawn?.name).toBe('cpu');
    expect(drawn?.bars.map(({ label, text, share }) => [label, text, share])).toEqual([
      ['a · 7', '12.5%', 0.25],
      ['b · 10', '50.0%', 1],
      ['c · 9', '', 0],
    ]);
  });

  it.each([
    ['one row', { columns: ['a', 'n'], rows: [['x', '1']] }],
    ['no amounts', { columns: ['a'], rows: [['x'], ['y']] }],
    ['amounts alone', { columns: ['n'], rows: [['1'], ['2']] }],
    [
      'amounts below nothing',
      {
        columns: ['a', 'n'],
        rows: [
          ['x', '-1'],
          ['y', '2'],
        ],
      },
    ],
    [
      'nothing but noughts',
      {
        columns: ['a', 'n'],
        rows: [
          ['x', '0'],
          ['y', '0'],
        ],
      },
    ],
  ])('draws nothing of %s', (_, rows) => {
    expect(barsOf(rows)).toBeNull();
  });

  it('is sorted by numbers as numbers', () => {
    const order = (sort: string) => sorted(table, sort).map((row) => row.values[0]);
    expect(order('')).toEqual(['a', 'b', 'c']);
    expect(order('-cpu')).toEqual(['b', 'a', 'c']);
    expect(order('cpu')).toEqual(['c', 'a', 'b']);
    expect(order('-host')).toEqual(['c', 'b', 'a']);
  });

  it('says amounts as people do', () => {
    expect(valueText('rss', '12300000', true)).toBe('12.3 MB');
    expect(valueText('events', '1204', true)).toBe('1 204');
    expect(valueText('host', '12', false)).toBe('12');
  });
});
