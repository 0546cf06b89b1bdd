import { api } from '$lib/api/endpoints';
import type { Completion } from '$lib/api/types';
import type { Typed } from '$lib/query/complete';
import { sinceUntil, type TimeRange } from '$lib/router/timerange';

/** Pauses in typing, in milliseconds: after the first the language is asked, after the second the store too. */
const pause = 30;
const storePause = 150;

/** What can stand at the caret. Typing on ends what was asked before, at the store too. */
export class Completing {
  /** The last answer, and what it is for: while one types it is of what stood there before. */
  answer = $state.raw<Completion | null>(null);
  for = $state.raw<Typed | null>(null);
  #abort: AbortController | null = null;
  #first: Promise<void> = Promise.resolve();

  want(typed: Typed, range: TimeRange): void {
    this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.#first = this.#ask(typed, range, abort.signal);
  }

  stop(): void {
    this.#abort?.abort();
    this.#abort = null;
  }

  clear(): void {
    this.stop();
    this.answer = null;
    this.for = null;
  }

  /** Whether the answer is of what stands there now. */
  isOf(typed: Typed): boolean {
    return this.for?.query === typed.query && this.for.caret === typed.caret;
  }

  /** Comes to an end once the language has answered. */
  settled(): Promise<void> {
    return this.#first;
  }

  async #ask(typed: Typed, range: TimeRange, signal: AbortSignal): Promise<void> {
    const asked = { query: typed.query, cursor: typed.caret, ...sinceUntil(range) };
    await after(pause);
    if (signal.aborted) return;
    if (await this.#take(typed, signal, () => api.complete(asked, signal)))
      void this.#askStore(typed, signal, asked);
  }

  async #askStore(
    typed: Typed,
    signal: AbortSignal,
    asked: Parameters<typeof api.complete>[0],
  ): Promise<void> {
    await after(storePause);
    if (!signal.aborted)
      await this.#take(typed, signal, () => api.complete({ ...asked, stored: 'true' }, signal));
  }

  /** Whether there was an answer, and is somebody to see it. */
  async #take(typed: Typed, signal: AbortSignal, ask: () => Promise<Completion>): Promise<boolean> {
    try {
      const answer = await ask();
      if (signal.aborted) return false;
      this.answer = answer;
      this.for = typed;
      return true;
    } catch {
      // Without an answer one types on by oneself.
      return false;
    }
  }
}

const after = (milliseconds: number) => new Promise<void>((done) => setTimeout(done, milliseconds));
