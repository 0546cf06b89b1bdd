import { api } from '$lib/api/endpoints';
import type { Facet, FieldInfo } from '$lib/api/types';
import { sinceUntil, type TimeRange } from '$lib/router/timerange';

/** The fields that queries may name; asked for once in the life of a tab. */
class FieldList {
  list = $state.raw<FieldInfo[]>([]);
  #asked = false;

  async load(): Promise<void> {
    if (this.#asked) return;
    this.#asked = true;
    try {
      this.list = (await api.fields()).fields;
    } catch {
      // Without it there is no completion; the next visit asks again.
      this.#asked = false;
    }
  }
}

export const fields = new FieldList();

/** A pause in typing after which values are asked for, in milliseconds. */
const pause = 120;
const mostKept = 100;

/** Values of a field that begin with what was typed, as the store has them. */
class StoredValues {
  /** Those of the last question. */
  facet = $state.raw<Facet | null>(null);
  #kept = new Map<string, Facet>();
  #wanted = '';
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Asks for what a caret needs; null when that is no value. */
  want(need: { field: string; prefix: string } | null, range: TimeRange): void {
    const key = need ? JSON.stringify([need, range]) : '';
    if (key === this.#wanted) return;
    this.#wanted = key;
    clearTimeout(this.#timer);
    const kept = this.#kept.get(key);
    if (!need || kept) this.facet = kept ?? null;
    else this.#timer = setTimeout(() => void this.#ask(key, need, range), pause);
  }

  async #ask(key: string, need: { field: string; prefix: string }, range: TimeRange): Promise<void> {
    try {
      const found = await api.fieldValues(need.field, {
        ...sinceUntil(range),
        prefix: need.prefix,
        limit: 12,
      });
      if (this.#kept.size >= mostKept) this.#kept.clear();
      this.#kept.set(key, found);
      if (key === this.#wanted) this.facet = found;
    } catch {
      // What the search has counted is offered all the same.
    }
  }
}

export const storedValues = new StoredValues();
