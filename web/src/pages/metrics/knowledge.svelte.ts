import { prometheus } from '$lib/api/prometheus';
import type { Catalog } from '$lib/promql/complete';
import { now } from '$lib/time/now';

/** How long names are taken for known, in milliseconds. */
const freshFor = 60_000;
/** How many lists of labels and values are kept. */
const mostLists = 50;

/** The metrics that the store has, with what they mean: what completion and units need. */
class Knowledge {
  catalog = $state.raw<Catalog>({ names: [], metadata: {} });
  #at = 0;
  #lists = new Map<string, readonly string[]>();

  /** Asks for names and meanings, unless they are known; without an answer one types on by oneself. */
  async load(): Promise<void> {
    if (now() - this.#at < freshFor) return;
    this.#at = now();
    this.#lists.clear();
    try {
      const [names, metadata] = await Promise.all([prometheus.names(), prometheus.metadata()]);
      this.catalog = { names: names.data, metadata: metadata.data };
    } catch {
      this.#at = 0;
    }
  }

  labels(selector: string, signal: AbortSignal): Promise<readonly string[]> {
    return this.#list(selector, async () => (await prometheus.labels(selector, signal)).data);
  }

  values(label: string, selector: string, signal: AbortSignal): Promise<readonly string[]> {
    const ask = async () => (await prometheus.values(label, selector, signal)).data;
    return this.#list(`${label} of ${selector}`, ask);
  }

  async #list(key: string, ask: () => Promise<string[]>): Promise<readonly string[]> {
    const known = this.#lists.get(key);
    if (known) return known;
    const list = await ask();
    if (this.#lists.size >= mostLists) this.#lists.clear();
    this.#lists.set(key, list);
    return list;
  }
}

export const knowledge = new Knowledge();
