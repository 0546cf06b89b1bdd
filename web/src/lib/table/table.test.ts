import { describe, expect, it } from 'vitest';
import { toCsv, toJsonLines } from './export';
import { Anchor, movedBy } from './grid';
import { scrollTo, topOf, windowOf } from './virtual';

describe('virtual rows', () => {
  it('draws only what is seen of ten thousand', () => {
    const seen = windowOf(10_000, 32, 32_000, 640);
    expect(seen).toEqual({ first: 994, end: 1027, before: 31_808, total: 320_000 });
  });

  it('draws all of a short list', () => {
    expect(windowOf(3, 32, 0, 640)).toEqual({ first: 0, end: 3, before: 0, total: 96 });
  });

  it('draws nothing of an empty list', () => {
    expect(windowOf(0, 32, 500, 640)).toEqual({ first: 0, end: 0, before: 0, total: 0 });
  });

  it('makes room for an opened row', () => {
    const tall = { index: 2, extra: 400 };
    expect(topOf(2, 32, tall)).toBe(64);
    expect(topOf(3, 32, tall)).toBe(496);
    expect(windowOf(100, 32, 496, 64, tall)).toMatchObject({ first: 0, end: 12, total: 3600 });
    expect(windowOf(100, 32, 200, 64, tall).first).toBe(0);
  });

  it('ignores an opened row that is not in the list', () => {
    expect(windowOf(10, 32, 0, 64, { index: 40, extra: 400 }).total).toBe(320);
    expect(windowOf(10, 32, 0, 64, { index: -1, extra: 400 }).total).toBe(320);
  });

  it('never scrolls further than it must', () => {
    expect(scrollTo(5, 32, 0, 320)).toBe(0);
    expect(scrollTo(10, 32, 0, 320)).toBe(32);
    expect(scrollTo(1, 32, 320, 320)).toBe(32);
  });
});

describe('moving', () => {
  it.each([
    ['ArrowDown', -1, 0],
    ['ArrowDown', 9, 9],
    ['ArrowUp', 0, 0],
    ['PageDown', 2, 7],
    ['PageUp', 2, 0],
    ['Home', 7, 0],
    ['End', 0, 9],
    ['x', 3, null],
  ])('%s from %d of ten leads to %s', (key, from, to) => {
    expect(movedBy(key, from, 10, 5)).toBe(to);
  });
});

describe('the row at the top', () => {
  const key = (row: number) => row;

  it('stays where it is when rows come in above', () => {
    const anchor = new Anchor<number>();
    anchor.set([9, 8, 7, 6, 5], key, 32, 70);
    expect(anchor.correct([11, 10, 9, 8, 7, 6, 5], key, 32, 70, null)).toBe(134);
    expect(anchor.correct([9, 8, 7, 6, 5], key, 32, 70, null)).toBeNull();
  });

  it('is the opened one while that is in sight', () => {
    const anchor = new Anchor<number>();
    const tall = { index: 1, extra: 400 };
    anchor.set([9, 8, 7], key, 32, 0, { tall, viewport: 600 });
    expect(anchor.correct([11, 10, 9, 8, 7], key, 32, 0, { index: 3, extra: 400 })).toBe(64);
    anchor.set([9, 8, 7], key, 32, 480, { tall, viewport: 600 });
    expect(anchor.correct([10, 9, 8, 7], key, 32, 480, { index: 2, extra: 400 })).toBe(512);
  });

  it('follows what comes at the very top, or when it is gone', () => {
    const anchor = new Anchor<number>();
    anchor.set([9, 8, 7], key, 32, 0);
    expect(anchor.correct([10, 9, 8], key, 32, 0, null)).toBeNull();
    anchor.set([9, 8, 7], key, 32, 40);
    expect(anchor.correct([3, 2, 1], key, 32, 40, null)).toBeNull();
  });
});

describe('export', () => {
  const columns = [
    { name: 'a', value: (row: { a: unknown }) => row.a },
    { name: 'b, c', value: () => 1 },
  ];

  it('writes CSV that spreadsheets read and do not run', () => {
    const rows = [{ a: 'x "y"' }, { a: '=SUM(A1)' }, { a: null }, { a: ['p', 'q'] }, { a: -5 }];
    expect(toCsv(rows, columns)).toBe(
      'a,"b, c"\r\n"x ""y""",1\r\n\'=SUM(A1),1\r\n,1\r\n"[""p"",""q""]",1\r\n-5,1\r\n',
    );
  });

  it('writes one JSON object a line', () => {
    expect(toJsonLines([{ a: 1 }, { a: 'b\n' }])).toBe('{"a":1}\n{"a":"b\\n"}\n');
  });
});
