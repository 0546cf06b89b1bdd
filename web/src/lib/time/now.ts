/** How far two clocks may part: 100 parts in a million are more than quartz does. */
const drift = 1e-4;

/**
 * The server's clock, as far as this page knows it. Browsers' clocks may be hours
 * off, so times of the server are never compared with theirs: what the server says
 * is carried on by a clock that nobody sets (performance.now). Until the server has
 * said something the browser's clock has to do.
 *
 * What the server said was true at some moment between question and answer; the
 * middle is off by half of that at most. So
 *
 *     what it says now                         | then
 *     is nearer than what is known has become  | it is taken
 *     cannot be true beside what is known      | it is taken: a clock was set, or this machine slept
 *     neither                                  | what is known stays
 */
export class ServerClock {
  #monotonic: () => number;
  /** Milliseconds since 1970 when monotonic() was 0, off by at most #error at #at. */
  #base: number;
  #error = Number.POSITIVE_INFINITY;
  #at = 0;

  constructor(monotonic: () => number, wall: () => number) {
    this.#monotonic = monotonic;
    this.#base = wall() - monotonic();
  }

  /** Milliseconds since 1970. */
  now(): number {
    return Math.round(this.#base + this.#monotonic());
  }

  /** Takes a time that the server told; asked and came are by the monotonic clock. */
  heard(text: string | null | undefined, asked: number, came: number = this.#monotonic()): void {
    const time = Date.parse(text ?? '');
    if (Number.isNaN(time)) return;
    const base = time - (asked + came) / 2;
    const error = (came - asked) / 2;
    const known = this.#error + (came - this.#at) * drift;
    if (error > known && Math.abs(base - this.#base) <= error + known) return;
    [this.#base, this.#error, this.#at] = [base, error, came];
  }
}

/** The clock of this page. Nothing else asks the browser what time it is: a test sees to it. */
export const serverClock = new ServerClock(
  () => performance.now(),
  () => Date.now(),
);

/** Now, by the server's clock, in milliseconds since 1970. */
export const now = () => serverClock.now();
