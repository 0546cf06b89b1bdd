import { explain, isAbort } from '$lib/api/client';
import type { SNMPInterface } from '$lib/api/devices';
import { api } from '$lib/api/endpoints';

/** How many readings sparklines are made of. */
const most = 24;
const within = '3h';

/** What one reading says of one interface. */
export interface Rate {
  in: number;
  out: number;
  errors: number;
}

type Raw = { snmp?: { interfaces?: Partial<Record<keyof SNMPInterface, number | string>>[] } };

/** The rates of a reading by ifIndex, as its event has them; what it leaves out is 0. */
export function ratesOf(raw: unknown): Map<number, Rate> {
  const rates = new Map<number, Rate>();
  const number = (value: unknown) => Number(value ?? 0) || 0;
  for (const each of (raw as Raw).snmp?.interfaces ?? []) {
    rates.set(number(each.index), {
      in: number(each.bytes_in_per_second),
      out: number(each.bytes_out_per_second),
      errors: number(each.errors_per_second),
    });
  }
  return rates;
}

/** The last readings of one device, the oldest first: each is asked for once. */
export class Readings {
  list = $state.raw<readonly Map<number, Rate>[]>([]);
  problem = $state('');
  #held = new Map<number, Map<number, Rate>>();
  #asking: AbortController | null = null;

  /** Asks for those that are not here yet. `query` finds the device's events. */
  async follow(query: string): Promise<void> {
    this.stop();
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const wanted = {
        query: `type:=snmp.reading ${query}`,
        since: within,
        limit: most,
        no_total: 'true' as const,
      };
      const { events } = await api.events(wanted, asking.signal);
      const offsets = events.map((event) => event.offset).sort((a, b) => a - b);
      const fresh = offsets.filter((offset) => !this.#held.has(offset));
      await Promise.all(
        fresh.map(async (offset) => {
          const { raw } = await api.event(offset, 0, asking.signal);
          this.#held.set(offset, ratesOf(raw));
        }),
      );
      for (const offset of this.#held.keys()) if (!offsets.includes(offset)) this.#held.delete(offset);
      this.list = offsets.map((offset) => this.#held.get(offset) ?? new Map());
      this.problem = '';
    } catch (error) {
      if (!isAbort(error)) this.problem = explain(error);
    }
  }

  stop(): void {
    this.#asking?.abort();
  }

  /** One line of an interface's past. */
  line(index: number, of: (rate: Rate) => number): number[] {
    return this.list.map((rates) => of(rates.get(index) ?? { in: 0, out: 0, errors: 0 }));
  }
}
