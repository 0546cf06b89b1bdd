import { describe, expect, it } from 'vitest';
import {
  bounds,
  parseRange,
  presets,
  rangeLabel,
  rangeParams,
  sinceUntil,
  spanOf,
  stepFor,
} from './timerange';

const parse = (query: string) => parseRange(new URLSearchParams(query));

describe('time range', () => {
  it.each([
    ['15m', 900_000],
    ['7d', 604_800_000],
    ['0m', null],
    ['1y', null],
    ['-5m', null],
    ['', null],
  ])('reads %s as a duration', (text, milliseconds) => {
    expect(spanOf(text)).toBe(milliseconds);
  });

  it('falls back to fifteen minutes on nonsense', () => {
    expect(parse('range=soon&from=x&to=y')).toEqual({ range: '15m', from: null, to: null });
  });

  it('ignores a range that ends before it starts', () => {
    expect(parse('from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z').from).toBeNull();
  });

  it('keeps the relative range beneath a zoom', () => {
    const zoomed = parse('range=1h&from=2026-01-01T00:00:00Z&to=2026-01-01T00:05:00Z');
    expect(sinceUntil(zoomed)).toEqual({
      since: '2026-01-01T00:00:00.000Z',
      until: '2026-01-01T00:05:00.000Z',
    });
    expect(rangeParams({ ...zoomed, from: null, to: null })).toEqual({ range: '1h', from: null, to: null });
  });

  it('writes days as hours for the server', () => {
    expect(sinceUntil(parse('range=7d'))).toEqual({ since: '168h' });
  });

  it('says ranges in words', () => {
    for (const { range, label } of presets) expect(rangeLabel(range)).toBe(label);
    expect(rangeLabel('10m')).toBe('Last 10 minutes');
  });

  it('moves with the clock', () => {
    expect(bounds(parse('range=5m'), 1_000_000)).toEqual({ from: 700_000, to: 1_000_000 });
  });

  it('chooses steps that keep charts light', () => {
    expect(stepFor(parse('range=5m'), 0)).toBe(2);
    expect(stepFor(parse('range=7d'), 0)).toBe(3600);
  });
});
