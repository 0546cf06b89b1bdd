import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ServerClock } from './now';

const noon = Date.parse('2026-03-01T12:00:00Z');
const at = (time: number) => new Date(time).toISOString();

/** A clock of a browser that is `off`, and its monotonic time. */
function clockAt(off = 0) {
  const time = { passed: 5000 };
  return {
    time,
    clock: new ServerClock(
      () => time.passed,
      () => noon + off,
    ),
  };
}

describe("the server's clock", () => {
  it("is the browser's until the server has spoken", () => {
    const { clock, time } = clockAt(7);
    expect(clock.now()).toBe(noon + 7);
    time.passed += 1000;
    expect(clock.now()).toBe(noon + 1007);
    for (const nothing of [null, undefined, '', 'soon']) clock.heard(nothing, 5000);
    expect(clock.now()).toBe(noon + 1007);
  });

  it.each([
    ['twenty minutes slow', -1_200_000],
    ['twenty minutes fast', 1_200_000],
    ['of another century', -3e12],
  ])('is right in a browser that is %s', (_, off) => {
    const { clock, time } = clockAt(off);
    time.passed += 80;
    clock.heard(at(noon), 5000);
    expect(clock.now()).toBe(noon + 40);
    time.passed += 60_000;
    expect(clock.now()).toBe(noon + 60_040);
  });

  it('keeps the nearest answer, and takes one that contradicts it', () => {
    const { clock, time } = clockAt();
    time.passed = 5010;
    clock.heard(at(noon), 5000);
    time.passed = 9000;
    // A slow answer that may be true beside the quick one says nothing new.
    clock.heard(at(noon + 100), 5020);
    expect(clock.now()).toBe(noon + 3995);
    // The machine slept for an hour, which performance.now did not count.
    time.passed = 9400;
    clock.heard(at(noon + 3_600_000), 9000);
    expect(clock.now()).toBe(noon + 3_600_200);
  });

  it('forgets with time how near an answer was', () => {
    const { clock, time } = clockAt();
    clock.heard(at(noon), 5000);
    time.passed += 1_000_000;
    clock.heard(at(noon + 1_000_080), time.passed - 100);
    expect(clock.now()).toBe(noon + 1_000_130);
  });
});

// A chart that asked the browser would be empty where its clock is off.
it('is the only clock that the page reads', () => {
  const src = new URL('../../', import.meta.url).pathname;
  const readers = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|svelte|js)$/.test(name) && !name.endsWith('.test.ts'))
    .filter((name) =>
      /\bDate\.now\b|\bnew Date\(\s*\)|[^.\w]Date\(\s*\)/.test(readFileSync(join(src, name), 'utf8')),
    );
  expect(readers).toEqual(['lib/time/now.ts']);
});
