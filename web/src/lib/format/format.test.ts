import { describe, expect, it } from 'vitest';
import { ago, clockTime, exact, instant, span } from './time';
import { axisLabels, bytes, count, decimal, inUnit, milliseconds, percent, short } from './units';

describe('units', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_950, '1.0 MB'],
    [123_456_789, '123 MB'],
    [Number.NaN, '–'],
  ])('writes %d bytes as %s', (value, text) => {
    expect(bytes(value)).toBe(text);
  });

  it.each([
    [0, '0'],
    [0.0042, '0.004'],
    [1.5, '1.5'],
    [12.345, '12.3'],
    [1234.5, '1 235'],
  ])('writes %d as %s', (value, text) => {
    expect(decimal(value)).toBe(text);
  });

  it('writes counts, short counts, shares and times', () => {
    expect(count(12_345_678)).toBe('12 345 678');
    expect(short(12_345)).toBe('12.3k');
    expect(short(2_000_000)).toBe('2M');
    expect(percent(12.34)).toBe('12.3%');
    expect(milliseconds(0.31)).toBe('0.31 ms');
    expect(milliseconds(1500)).toBe('1.5 s');
    expect(inUnit(5, '1/s')).toBe('5/s');
    expect(inUnit(5, '{event}')).toBe('5');
    expect(inUnit(null, 'ms')).toBe('–');
  });
});

describe('times', () => {
  it.each([
    [0, 'now'],
    [12, '12 s ago'],
    [150, '2 m ago'],
    [12_000, '3 h 20 m ago'],
    [180_000, '2 d 2 h ago'],
    [-90, 'in 1 m'],
  ])('%d seconds back is %s', (seconds, text) => {
    expect(ago(1_000_000_000 - seconds * 1000, 1_000_000_000)).toBe(text);
  });

  it('writes exact times in UTC', () => {
    const time = Date.parse('2026-03-01T02:03:04.005Z');
    expect(exact(time, true)).toBe('2026-03-01 02:03:04.005');
    expect(clockTime(time, true)).toBe('02:03:04');
    expect(span(59)).toBe('59 s');
  });

  it('knows no time from a zero time', () => {
    expect(instant('0001-01-01T00:00:00Z')).toBeNull();
    expect(instant('rubbish')).toBeNull();
    expect(instant(null)).toBeNull();
  });
});

describe('an axis', () => {
  it('has one unit and as many digits as its steps', () => {
    expect(axisLabels([0, 250_000, 500_000, 1_000_000, 1_250_000], 250_000, 'By/s')).toEqual([
      '0',
      '0.25 MB/s',
      '0.50 MB/s',
      '1.00 MB/s',
      '1.25 MB/s',
    ]);
    expect(axisLabels([0, 200, 400], 200, 'bytes')).toEqual(['0', '200 B', '400 B']);
    expect(axisLabels([0, 2.5], 2.5, 'ms')).toEqual(['0 ms', '2.5 ms']);
  });
});
