import { describe, expect, it } from 'vitest';
import type { SeriesResponse } from '../api/types';
import { colorSlots } from './colors';
import {
  busiest,
  type Frame,
  frameOf,
  highestOf,
  meanOfAll,
  resumed,
  stacked,
  summary,
  withPoints,
} from './frame';

const byType = (labels: Record<string, string>) => labels.type ?? '';
const frame = (): Frame => ({
  times: [100, 105, 110],
  step: 5,
  unit: 'ev/s',
  lines: [
    { label: 'a', values: [1, 2, 3] },
    { label: 'b', values: [1, null, 1] },
  ],
});
const point = (type: string, value: number) => ({
  name: 'events_per_second',
  labels: { type },
  unit: 'ev/s',
  value,
});
const add = (time: number, points: ReturnType<typeof point>[], from = 0) =>
  withPoints(frame(), time, points, byType, from);
/** A frame after all seconds of a step, of which only the last has something to say. */
const addStep = (slot: number, points: ReturnType<typeof point>[], from = 0) =>
  withPoints(add(slot, points, from), slot + 4, points, byType, from);

describe('frames', () => {
  it('are made of an answer, short series filled with gaps', () => {
    const response: SeriesResponse = {
      start: '1970-01-01T00:01:40Z',
      step_seconds: 5,
      thinned: 0,
      series: [
        { name: 'events_per_second', labels: { type: 'a' }, unit: 'ev/s', values: [1, 2] },
        { name: 'events_per_second', labels: { type: 'b' }, unit: 'ev/s', values: [3] },
        { name: 'queue_depth', labels: {}, unit: '', values: [9, 9, 9] },
      ],
    };
    expect(frameOf(response, 'events_per_second', byType)).toEqual({
      times: [100, 105],
      step: 5,
      unit: 'ev/s',
      lines: [
        { label: 'a', values: [1, 2] },
        { label: 'b', values: [3, null] },
      ],
    });
  });

  it('grow by live points, once their step is over', () => {
    const begun = add(115.4, [point('a', 4)]);
    expect(begun.times).toEqual([100, 105, 110]);
    const grown = withPoints(begun, 120, [point('a', 9)], byType, 0);
    expect(grown.times).toEqual([100, 105, 110, 115]);
    expect(grown.lines[0]?.values).toEqual([1, 2, 3, 4]);
    expect(grown.lines[1]?.values).toEqual([1, null, 1, null]);
  });

  it('keep a break as a gap', () => {
    const grown = addStep(130, [point('a', 4)]);
    expect(grown.behind).toBe(true);
    expect(grown.times).toEqual([100, 105, 110, 115, 120, 125, 130]);
    expect(grown.lines[0]?.values).toEqual([1, 2, 3, null, null, null, 4]);
  });

  it('take the mean of points within one step', () => {
    expect(add(112, [point('a', 9)])).toEqual(frame()); // it is in what was loaded
    const next = withPoints(add(115, [point('a', 4)]), 119, [point('a', 6)], byType, 0);
    expect(next.lines[0]?.values).toEqual([1, 2, 3, 5]);
  });

  it('take no mean of a step whose beginning was missed: it is loaded', () => {
    const late = add(118, [point('a', 0)]);
    const over = withPoints(late, 119, [point('a', 0)], byType, 0);
    expect(over).toEqual({ ...frame(), behind: true });
    // What came of the next step meanwhile counts on.
    const loaded: Frame = { ...frame(), times: [105, 110, 115] };
    const next = withPoints(over, 120, [point('a', 8)], byType, 0);
    const grown = withPoints(resumed(loaded, next), 124, [point('a', 4)], byType, 0);
    expect(grown.times).toEqual([105, 110, 115, 120]);
    expect(grown.lines[0]?.values).toEqual([1, 2, 3, 6]);
    expect(grown.behind).toBeUndefined();
    // Nothing of a step that is loaded, nor of other steps.
    expect(resumed({ ...loaded, times: [110, 115, 120] }, next).pending).toBeUndefined();
    expect(resumed({ ...loaded, step: 10 }, next).pending).toBeUndefined();
  });

  it('take in a new line and let go of the old end', () => {
    const grown = addStep(115, [point('c', 7)], 108);
    expect(grown.times).toEqual([110, 115]);
    expect(grown.lines.map((line) => line.label)).toEqual(['a', 'b', 'c']);
    expect(grown.lines[2]?.values).toEqual([null, 7]);
  });

  it('add up series that get one name', () => {
    const all = () => 'all';
    const response: SeriesResponse = {
      start: '1970-01-01T00:01:40Z',
      step_seconds: 5,
      thinned: 0,
      series: [
        { name: 'n', labels: { type: 'a' }, unit: '', values: [1, 2, null] },
        { name: 'n', labels: { type: 'b' }, unit: '', values: [10, null, null] },
      ],
    };
    const summed = frameOf(response, 'n', all);
    expect(summed.lines).toEqual([{ label: 'all', values: [11, 2, null] }]);
    const points = [point('a', 3), point('b', 4)];
    const grown = withPoints(withPoints(summed, 115, points, all, 0), 119, points, all, 0);
    expect(grown.lines[0]?.values).toEqual([11, 2, null, 7]);
  });

  it('say the mean of all and the highest', () => {
    expect(meanOfAll(frame())).toBeCloseTo((2 + 2 + 4) / 3);
    expect(meanOfAll({ times: [1], step: 1, unit: '', lines: [{ label: 'a', values: [null] }] })).toBeNull();
    expect(highestOf(frame(), 'a')).toBe(3);
    expect(highestOf(frame(), 'x')).toBeNull();
  });

  it('know their busiest lines', () => {
    expect(busiest(frame())).toEqual(['a', 'b']);
  });

  it('start anew when all of them is too old', () => {
    expect(addStep(300, [point('a', 4)], 290).times.at(-1)).toBe(300);
  });

  it('ignore points of the past, and no points', () => {
    expect(add(90, [point('a', 4)])).toEqual(frame());
    expect(add(120, [])).toEqual(frame());
  });

  it('stack, with a gap only where nothing is known', () => {
    const lines = [
      { label: 'a', values: [1, null, null] },
      { label: 'b', values: [2, 3, null] },
    ];
    expect(stacked(lines)).toEqual([
      [1, 0, null],
      [3, 3, null],
    ]);
  });

  it('say in words what a line did', () => {
    expect(summary({ label: 'a', values: [null, 4, 1, null] })).toEqual({ now: 1, lowest: 1, highest: 4 });
    expect(summary({ label: 'a', values: [null] })).toBeNull();
  });
});

describe('colours', () => {
  it('stay with a name, whatever stands beside it', () => {
    const alone = colorSlots(['process.execution']).get('process.execution');
    const among = colorSlots(['x', 'y', 'process.execution', 'z']).get('process.execution');
    expect(among).toBe(alone);
  });

  it('stay with a name when others come, go, or are isolated', () => {
    const all = ['a.one', 'a.two', 'a.three', 'a.four', 'process.exit', 'other'];
    const before = colorSlots(all);
    for (const some of [['a.three'], ['a.four', 'z.new', 'a.one'], [...all].reverse()]) {
      for (const [name, slot] of colorSlots(some)) {
        if (before.has(name)) expect([name, slot]).toEqual([name, before.get(name)]);
      }
    }
  });

  it('differ where names that stood apart come together', () => {
    const names = Array.from({ length: 8 }, (_, at) => `apart.${at}`);
    for (const name of names) colorSlots([name]);
    const together = colorSlots(names);
    expect(new Set(together.values()).size).toBe(8);
    expect(colorSlots(names)).toEqual(together);
  });

  it('differ for up to eight names', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'process.exit', 'flow.ended'];
    expect(new Set(colorSlots(names).values()).size).toBe(8);
  });
});
