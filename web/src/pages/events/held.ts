import type { Event } from '$lib/api/types';

const mostShown = 5000;
const mostWaiting = 5000;
const remembered = 20;

/**
 * The events of one search, newest first and each once: those shown, and
 * those that came since and wait to be. Offsets order them.
 */
export class Held {
  shown: readonly Event[];
  /** Whether more came than may wait, so that what waits has a gap before it. */
  overflowed = false;
  /** How many came since the last release, shown or sampled away. */
  waiting = 0;
  #new: Event[] = [];
  #newest: number | null;
  #samples: { shown: number; of: number }[] = [];

  constructor(events: readonly Event[] = []) {
    this.shown = events;
    this.#newest = events[0]?.offset ?? null;
  }

  get newest(): number | null {
    return this.#newest;
  }

  get oldest(): number | null {
    return this.shown.at(-1)?.offset ?? null;
  }

  /** One in how many of the last messages' events came through; 1 is all. */
  get ratio(): number {
    let shown = 0;
    let of = 0;
    for (const sample of this.#samples) {
      shown += sample.shown;
      of += sample.of;
    }
    return shown > 0 && of > shown ? of / shown : 1;
  }

  /** Takes live events in any order; false when all were known already. */
  addNewer(events: readonly Event[], shown: number, of: number): boolean {
    this.#samples.push({ shown, of });
    if (this.#samples.length > remembered) this.#samples.shift();
    const newest = this.#newest ?? -1;
    const fresh = events.filter((event) => event.offset > newest).sort((a, b) => a.offset - b.offset);
    const last = fresh.at(-1);
    if (!last) return false;
    this.#newest = last.offset;
    for (const event of fresh) this.#new.push(event);
    this.waiting += Math.max(fresh.length, of - shown + fresh.length);
    if (this.#new.length > mostWaiting) {
      this.#new = this.#new.slice(-mostWaiting);
      this.overflowed = true;
    }
    return true;
  }

  addOlder(events: readonly Event[]): void {
    const oldest = this.oldest ?? Number.POSITIVE_INFINITY;
    this.shown = [...this.shown, ...events.filter((event) => event.offset < oldest)];
  }

  /** Shows what waits. True when old rows had to go, so that they can be loaded again. */
  release(): boolean {
    this.waiting = 0;
    if (this.#new.length === 0) return false;
    const all = [...this.#new.reverse(), ...this.shown];
    this.#new = [];
    const cut = all.length > mostShown;
    this.shown = cut ? all.slice(0, mostShown) : all;
    return cut;
  }
}
