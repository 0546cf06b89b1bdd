import type { Event, FieldValue } from '$lib/api/types';
import { instant } from '$lib/format/time';
import { keeper, type PacketsWish } from '$lib/packets/packets';
import { quote, withoutCaptures } from '$lib/query/edit';

const list = (value: FieldValue | undefined): string[] => {
  if (value === undefined || value === null || value === '') return [];
  return Array.isArray(value) ? value.flatMap((each) => list(each)) : [String(value)];
};

/** What a finding says, as a page shows it. */
export interface Finding {
  title: string;
  techniques: string[];
  /** Ids of the events that are its evidence. */
  evidence: string[];
  /** What it points at: names of attributes and their values. */
  observables: [string, string][];
}

const prefix = 'finding.observables.';

export function findingOf(event: Event): Finding {
  const fields = event.fields ?? {};
  return {
    title: list(fields['finding.title'])[0] ?? event.message ?? event.type,
    techniques: list(fields['threat.technique.id'] ?? fields.technique),
    evidence: list(fields['finding.evidence']),
    observables: Object.entries(fields)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length), list(value).join(', ')]),
  };
}

/** A finding and how often it was told: each time that it goes on or changes is an event. */
export interface Told {
  /** The newest event of it. */
  event: Event;
  /** How many events of it there are among those given. */
  times: number;
  /** When the oldest of them was. */
  since: string;
  ended: boolean;
}

/** One entry for each finding, in the order of their newest events; events come newest first. */
export function toldOf(events: readonly Event[]): Told[] {
  const found = new Map<string, Told>();
  for (const event of events) {
    const id = list(event.fields?.['finding.id'])[0] || event.id;
    const known = found.get(id);
    if (known) {
      known.times++;
      known.since = event.time;
    } else {
      const ended = list(event.fields?.['finding.status'])[0] === 'resolved';
      found.set(id, { event, times: 1, since: event.time, ended });
    }
  }
  return [...found.values()];
}

/** Severities of which a list may show those and worse, the least first. */
export const severities = ['any', 'low', 'medium', 'high', 'critical'] as const;
/** Kinds of findings, by the second word of their type. */
export const kinds = ['any', 'flow', 'scanner', 'snmp', 'metric', 'hub'] as const;

/** What is found: in replayed captures, which tell of another time or network, only where they are asked for. */
export const foundQuery = (captures: boolean) =>
  captures ? 'type:finding.*' : `type:finding.* ${withoutCaptures}`;

/** The query of findings that began, as Overview counts them: not of those that go on or ended. */
export const begunQuery = `${foundQuery(false)} -finding.status:in(update,resolved)`;

/** The query narrowed to a severity and worse, and to a kind. */
export function narrowed(query: string, severity: string, kind: string): string {
  const parts = [kind === 'any' ? query : query.replace('type:finding.*', `type:finding.${kind}*`)];
  if (severity !== 'any') parts.push(`severity:>=${severity}`);
  return parts.join(' ');
}

/** The query of Events that finds a finding's evidence; empty for none. */
export function evidenceQuery(finding: Finding): string {
  return finding.evidence.length > 0 ? `id:in(${finding.evidence.slice(0, 50).map(quote).join(',')})` : '';
}

/** A finding tells of what came before it; so much of that is asked for, in milliseconds. */
const foundWithin = 3_600_000;
/** What comes late, in milliseconds. */
const slack = 5_000;

/** The packets that a finding tells of: of its flow, or of the addresses that it names; null for none. */
export function packetsOfFinding(event: Event, finding: Finding): PacketsWish | null {
  const own = instant(event.time);
  if (own === null || event.agent_kind !== 'flow') return null;
  const wish = {
    ...keeper(event),
    since: new Date(own - foundWithin).toISOString(),
    until: new Date(own + slack).toISOString(),
  };
  const community = new Map(finding.observables).get('network.community_id');
  if (community) return { ...wish, community_id: community };
  const [address, peer] = addressesOf(finding);
  if (!address) return null;
  return peer ? { ...wish, address, peer } : { ...wish, address };
}

/** Whether a text is an address of IPv4 or IPv6. */
export function isAddress(text: string): boolean {
  return (
    /^(\d{1,3}\.){3}\d{1,3}$/.test(text) ||
    (/^[0-9a-f:.]+$/i.test(text) &&
      text.split(':').length > 2 &&
      !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text))
  );
}

/** The addresses that a finding names. */
export function addressesOf(finding: Finding): string[] {
  return [...new Set(finding.observables.map(([, value]) => value).filter(isAddress))];
}

/** The query of Network with the flows that a finding tells of; empty for none. */
export function flowsQuery(finding: Finding): string {
  const named = new Map(finding.observables);
  const community = named.get('network.community_id');
  if (community) return `network.community_id:=${quote(community)}`;
  const sides = addressesOf(finding).map((ip) => `(source.ip:=${quote(ip)} or destination.ip:=${quote(ip)})`);
  return sides.join(' ');
}
