import { api } from '$lib/api/endpoints';
import type { FieldInfo } from '$lib/api/types';

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
