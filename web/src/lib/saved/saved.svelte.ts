import { explain } from '$lib/api/client';
import { api } from '$lib/api/endpoints';
import type { SavedKind, SavedQuery, SavedText } from '$lib/api/types';

/** The own saved queries of one kind and all shared ones. */
export class SavedQueries {
  list = $state.raw<readonly SavedQuery[]>([]);
  /** Why they could not be asked for. */
  problem = $state('');
  loaded = $state(false);
  /** What one is called. */
  readonly noun: string;
  readonly #kind: SavedKind;

  constructor(kind: SavedKind, noun: string) {
    this.#kind = kind;
    this.noun = noun;
  }

  /** Asks anew: others share and change them meanwhile. */
  async load(): Promise<void> {
    try {
      this.list = (await api.savedQueries(this.#kind)).queries;
      this.problem = '';
      this.loaded = true;
    } catch (error) {
      this.problem = explain(error);
    }
  }

  find(id: number | null): SavedQuery | undefined {
    return this.list.find((each) => each.id === id);
  }

  async save(text: SavedText): Promise<SavedQuery> {
    const kept = await api.saveQuery({ ...text, kind: this.#kind });
    await this.load();
    return kept;
  }

  async change(id: number, text: SavedText): Promise<void> {
    await api.changeQuery(id, { ...text, kind: this.#kind });
    await this.load();
  }

  async remove(id: number): Promise<void> {
    await api.deleteQuery(id);
    await this.load();
  }
}

export const savedQueries = new SavedQueries('events', 'query');
/** Saved queries of Metrics, several of which make a panel. */
export const savedPanels = new SavedQueries('metrics', 'panel');
