import type { EventsQuery } from '$lib/api/endpoints';
import type { Event } from '$lib/api/types';
import { instant } from '$lib/format/time';
import { quote, term } from '$lib/query/edit';
import { findingOf } from '../findings/finding';

/** How long before a flow the DNS answer that named it is looked for, in milliseconds. */
const namedBefore = 3_600_000;
/** Findings come after what they tell of, and are looked for so long behind it. */
const foundAfter = 3_600_000;
const around = 60_000;

const at = (time: number) => new Date(time).toISOString();
const textOf = (event: Event, name: string) => String(event.fields?.[name] ?? '');

/** When a flow was, in milliseconds, as its event says. */
function spanOf(flow: Event): { from: number; to: number } {
  const own = instant(flow.time) ?? 0;
  const from = instant(textOf(flow, 'event.start')) ?? own;
  const to = instant(textOf(flow, 'event.end')) ?? own;
  return { from: Math.min(from, own), to: Math.max(to, own) };
}

/** The filter that finds all events of a flow: by its community id, or by its two ends. */
export function flowFilter(flow: Event): string {
  const community = textOf(flow, 'network.community_id');
  if (community) return term('network.community_id', community);
  const ends = ['source.ip', 'source.port', 'destination.ip', 'destination.port'];
  return ends
    .filter((name) => textOf(flow, name) !== '')
    .map((name) => term(name, textOf(flow, name)))
    .join(' ');
}

/** What belongs to a flow, one search each; null where there is nothing to look for. */
export interface TimelineQueries {
  /** Created, updated, ended. */
  own: EventsQuery;
  /** DNS answers with the address that it went to, for who began it. */
  named: EventsQuery | null;
  /** Findings that name one of its addresses or itself. */
  findings: EventsQuery | null;
}

export function timelineQueries(flow: Event): TimelineQueries {
  const { from, to } = spanOf(flow);
  const source = textOf(flow, 'source.ip');
  const destination = textOf(flow, 'destination.ip');
  const names = [source, destination, textOf(flow, 'network.community_id')].filter(Boolean);
  return {
    own: {
      query: flowFilter(flow),
      since: at(from - around),
      until: at(to + around),
      limit: 200,
      no_total: 'true',
    },
    named:
      source && destination
        ? {
            query: `dns.answers.data:=${quote(destination)} ${term('source.ip', source)}`,
            since: at(from - namedBefore),
            until: at(from + 1000),
            limit: 3,
            no_total: 'true',
          }
        : null,
    findings:
      names.length > 0
        ? {
            query: `type:finding.* (${names.map((name) => JSON.stringify(name)).join(' or ')})`,
            since: at(from - around),
            until: at(to + foundAfter),
            limit: 50,
            no_total: 'true',
          }
        : null,
  };
}

/** Whether two addresses are one: text compares but for the case of IPv6. */
const sameAddress = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

/**
 * Whether a finding is of this flow: it names the flow itself, or both of its ends and, where
 * it names a port, the port too. One that names a single end is of others of that host.
 */
export function isOf(finding: Event, flow: Event): boolean {
  const said = new Map(findingOf(finding).observables);
  const community = said.get('network.community_id');
  if (community) return community === textOf(flow, 'network.community_id');
  const ends = ['source.ip', 'destination.ip'].map((name) => [said.get(name) ?? '', textOf(flow, name)]);
  if (!ends.every(([named, own]) => named !== '' && sameAddress(named ?? '', own ?? ''))) return false;
  const port = said.get('destination.port');
  return port === undefined || port === textOf(flow, 'destination.port');
}

/** One line of a flow's life. */
export interface TimelineEntry {
  event: Event;
  kind: 'flow' | 'dns' | 'finding';
}

/** All of it in the order of time, each event once. */
export function timeline(
  own: readonly Event[],
  named: readonly Event[],
  findings: readonly Event[],
): TimelineEntry[] {
  const entries = new Map<number, TimelineEntry>();
  for (const event of named) entries.set(event.offset, { event, kind: 'dns' });
  for (const event of own) entries.set(event.offset, { event, kind: 'flow' });
  for (const event of findings) entries.set(event.offset, { event, kind: 'finding' });
  return [...entries.values()].sort(
    (a, b) => Date.parse(a.event.time) - Date.parse(b.event.time) || a.event.offset - b.event.offset,
  );
}
