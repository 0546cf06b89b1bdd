import { explain, isAbort } from '$lib/api/client';
import { type Labels, prometheus, type RangeSeries } from '$lib/api/prometheus';
import { numberOf } from '$lib/promql/results';
import { now } from '$lib/time/now';

/** Sparklines are of so many values over so many seconds. */
const points = 24;
const span = 3 * 3600;
const step = span / points;
/** Rates are over so long, since devices are polled every few minutes at the longest. */
const window = '15m';

/** What is shown of a device over time: a query each, and the label that tells its lines apart. */
const shown = {
  in: { of: 'rate', metric: 'snmp_interface_bytes_in', by: 'ifIndex' },
  out: { of: 'rate', metric: 'snmp_interface_bytes_out', by: 'ifIndex' },
  errors: { of: 'rate', metric: 'snmp_interface_errors', by: 'ifIndex' },
  cpu: { of: '', metric: 'snmp_system_cpu_load', by: '' },
  response: { of: '', metric: 'snmp_response_seconds', by: '' },
} as const;
export type Curve = keyof typeof shown;

/**
 * What the label ip of a device's readings may be: an address of the device, or the one that
 * is polled; where that has a port of its own, with it.
 */
export function pollLabels(target: string, addresses: readonly string[]): string[] {
  const usual = target.replace(/:161$/, '');
  if (usual === target) return [target];
  return [...new Set([usual.replace(/^\[|\]$/g, ''), ...addresses])];
}

/**
 * Several agents may poll a device: one of them is enough. Only readings of the hosts that
 * saw it are its own, as networks elsewhere may have the same addresses.
 */
export function queryOf(curve: Curve, labels: readonly string[], hosts: readonly string[]): string {
  const { of, metric, by } = shown[curve];
  const any = (texts: readonly string[]) =>
    JSON.stringify(texts.map((each) => each.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'));
  const seen = hosts.length > 0 ? `,host=~${any(hosts)}` : '';
  const selector = `${metric}{ip=~${any(labels)}${seen}}`;
  const read = of ? `${of}(${selector}[${window}])` : selector;
  // Errors come in both directions.
  const one = curve === 'errors' ? `sum by (ifIndex, agent, host) (${read})` : read;
  return `max by (${by}) (${one})`;
}

/** The values of each series at each step, null where there is none, by a label. */
export function linesOf(
  series: readonly RangeSeries[],
  by: keyof Labels,
  start: number,
): Map<string, (number | null)[]> {
  const lines = new Map<string, (number | null)[]>();
  for (const { metric, values } of series) {
    const line = new Array<number | null>(points + 1).fill(null);
    for (const [time, text] of values ?? []) {
      const at = Math.round((time - start) / step);
      if (at >= 0 && at <= points) line[at] = numberOf(text);
    }
    lines.set(metric[by] ?? '', line);
  }
  return lines;
}

/** The last hours of one device and its interfaces, as the metrics of the store have them. */
export class Readings {
  problem = $state('');
  /** Whether any line is there. */
  known = $state(false);
  #lines = $state.raw<Partial<Record<Curve, Map<string, (number | null)[]>>>>({});
  #asking: AbortController | null = null;

  /** Asks for the readings of what is polled at a target, has these addresses, and was seen by agents of these hosts. */
  async follow(target: string, addresses: readonly string[], hosts: readonly string[]): Promise<void> {
    this.stop();
    const asking = new AbortController();
    this.#asking = asking;
    const labels = pollLabels(target, addresses);
    const end = Math.floor(now() / 1000 / step) * step;
    const start = end - span;
    try {
      const curves = Object.keys(shown) as Curve[];
      const answers = await Promise.all(
        curves.map((curve) =>
          prometheus.range({ query: queryOf(curve, labels, hosts), start, end, step }, asking.signal),
        ),
      );
      this.#lines = Object.fromEntries(
        curves.map((curve, at) => {
          const data = answers[at]?.data;
          return [curve, linesOf(data?.resultType === 'matrix' ? data.result : [], shown[curve].by, start)];
        }),
      );
      this.known = Object.values(this.#lines).some((lines) => lines.size > 0);
      this.problem = '';
    } catch (error) {
      if (!isAbort(error)) this.problem = explain(error);
    }
  }

  stop(): void {
    this.#asking?.abort();
  }

  /** The past of an interface, by its number; none where nothing is known. */
  line(curve: 'in' | 'out' | 'errors', index: number): readonly (number | null)[] {
    return this.#lines[curve]?.get(String(index)) ?? [];
  }

  /** The past of the device itself. */
  own(curve: 'cpu' | 'response'): readonly (number | null)[] {
    return this.#lines[curve]?.get('') ?? [];
  }
}
