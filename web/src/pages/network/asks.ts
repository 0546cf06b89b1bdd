import { withoutCaptures } from '$lib/query/edit';
import { splitPipes } from '$lib/query/tokens';

/**
 * The questions that the page asks. A flow's counters are cumulative: what is summed
 * are flow.ended events alone, one of each flow, so none counts twice.
 */
export const ended = 'type:=flow.ended';

/** For so long a flow without an end is taken for open, in minutes. */
export const openMinutes = 5;

/** What is counted beside the flows of a page: a search that counts no field counts the usual ones. */
export const facets = ['network.application'];

/** Whether a person asks for captures by what is written. */
export const asksForCaptures = (written: string) => /\blabels\.capture\s*:/.test(written);

/** A query of flows: what a person wrote comes first, so that places of faults are found. */
export function flowQuery(written: string, selected: string, captures = false, base = ended): string {
  const { filter } = splitPipes(written);
  const own = filter === '*' ? '' : filter;
  const live = captures || asksForCaptures(own) ? '' : withoutCaptures;
  // On a line of its own, as a comment would swallow the bracket.
  return [own && `(${own}\n)`, selected, base, live].filter(Boolean).join(' ');
}

/** How far a fault's place in flowQuery's text lies behind that in what was written. */
export const writtenAt = 1;

const bytes = 'sum(source.bytes, destination.bytes) bytes';

/** Most pairs of addresses that the map is made of. */
export const mostPairs = 2000;

/** Who talked to whom, the heaviest pairs first. */
export function pairsQuery(flows: string): string {
  const ends = ['source', 'destination'];
  const each = (field: string) =>
    ends.map((end) => `max(${end}.${field}) ${end}_${field.replaceAll('.', '_')}`);
  const names = [
    ...each('domain'),
    ...each('as.number'),
    ...each('as.organization.name'),
    ...each('geo.country_iso_code'),
    'max(destination.mac) destination_mac',
  ];
  return `${flows} | stats by (source.ip, destination.ip, network.direction) count() flows, ${bytes}, uniq_values(network.application) limit 5 as applications, ${names.join(', ')} | sort by (bytes desc, source.ip, destination.ip) limit ${mostPairs}`;
}

/** All that the pairs are of, to know what they leave out. */
export function totalQuery(flows: string): string {
  return `${flows} | stats count() flows, ${bytes}, count_uniq(source.ip, destination.ip) pairs`;
}

/** At most so many open flows are told of, those that were heard of last. */
export const mostOpen = 2000;

/** Flows of the last minutes that have not ended, with their newest counters. */
export function openQuery(written: string, selected: string, captures = false): string {
  const flows = flowQuery(written, selected, captures, 'type:in(flow.created,flow.updated,flow.ended)');
  const who =
    'network.community_id, event.start, source.ip, source.port, destination.ip, destination.port, network.transport';
  const newest = [
    'max(time) seen',
    'max(offset) newest',
    'max(source.bytes) out_bytes',
    'max(destination.bytes) in_bytes',
    'max(network.application) application',
    'max(network.process.name) process',
    'max(tls.client.server_name) sni',
  ];
  return `${flows} | stats by (${who}) count() if (${ended}) ends, ${newest.join(', ')} | filter ends:0 | sort by (newest desc) limit ${mostOpen}`;
}

/** One table of a breakdown. */
export interface Breakdown {
  title: string;
  query: string;
  /** The columns whose values, when clicked, become filters of flows. */
  filters: readonly string[];
  /** Says how columns are called, where not as they are. */
  heads: Readonly<Record<string, string>>;
  /** What stands there while there is nothing. */
  empty: string;
}

const heads = {
  flows: 'Flows',
  bytes: 'Bytes',
  hosts: 'Hosts',
  servers: 'Servers',
  answers: 'Answers',
  share: 'NXDOMAIN',
  median: 'Median',
  slowest: '95th of 100',
};

function by(title: string, fields: readonly string[], flows: string, name: string, empty: string): Breakdown {
  const list = fields.join(', ');
  return {
    title,
    query: `${flows} ${fields[0]}:* | stats by (${list}) ${bytes}, count() flows, count_uniq(source.ip) hosts | sort by (bytes desc, ${list}) limit 20`,
    filters: fields,
    heads: { ...heads, [fields[0] ?? '']: name },
    empty,
  };
}

const day = 86_400_000;

/** Certificates that end within so long are told of, in milliseconds. */
const soon = 30 * day;

function tls(flows: string, now: number): Breakdown[] {
  // By whole days, so that the question stays the same, and up to the end of the last one.
  const limit = new Date((Math.floor((now + soon) / day) + 1) * day).toISOString().replace('.000', '');
  const certificate = 'tls.server.subject, tls.server.issuer, tls.server.not_after';
  const counts = 'count() flows, count_uniq(destination.ip) servers';
  const names = {
    ...heads,
    'tls.server.subject': 'Certificate of',
    'tls.server.issuer': 'Issued by',
    'tls.server.not_after': 'Valid until',
  };
  const filters = ['tls.server.subject', 'tls.server.issuer'];
  return [
    by('Versions', ['tls.version'], flows, 'TLS', 'No flow told its TLS version.'),
    by('Server names (SNI)', ['tls.client.server_name'], flows, 'Name', 'No flow told a server name.'),
    by('Issuers', ['tls.server.issuer'], flows, 'Issuer', 'No certificate was seen; TLS 1.3 encrypts them.'),
    {
      title: 'Expired, or within 30 days',
      query: `${flows} tls.server.not_after:<${limit} | stats by (${certificate}) ${counts} | sort by (tls.server.not_after) limit 20`,
      filters,
      heads: names,
      empty: 'No certificate that was seen ends within 30 days.',
    },
    {
      title: 'Self-signed',
      query: `${flows} tls.server.self_signed:=true | stats by (${certificate}) ${counts} | sort by (flows desc) limit 20`,
      filters,
      heads: names,
      empty: 'No self-signed certificate was seen.',
    },
  ];
}

function dns(flows: string): Breakdown[] {
  const asked = `${flows} dns.question.name:*`;
  return [
    {
      title: 'Names',
      query: `${asked} | stats by (dns.question.name) count() questions, count_uniq(source.ip) hosts | sort by (questions desc, dns.question.name) limit 20`,
      filters: ['dns.question.name'],
      heads: { ...heads, questions: 'Questions', 'dns.question.name': 'Name' },
      empty: 'No DNS question was seen.',
    },
    {
      title: 'Response codes',
      query: `${flows} dns.response_code:* | stats by (dns.response_code) count() answers, count_uniq(dns.question.name) names | sort by (answers desc) limit 20`,
      filters: ['dns.response_code'],
      heads: { ...heads, 'dns.response_code': 'Code', names: 'Names' },
      empty: 'No DNS answer was seen.',
    },
    {
      title: 'Who asks for names that do not exist',
      query: `${flows} dns.response_code:* | stats by (source.ip) count() answers, count() if (dns.response_code:=NXDOMAIN) missing | filter missing:>0 | math missing / answers * 100 as share | sort by (missing desc, source.ip) limit 20`,
      filters: ['source.ip'],
      heads: { ...heads, 'source.ip': 'Host', missing: 'Missing' },
      empty: 'No NXDOMAIN was answered.',
    },
    {
      title: 'Slow servers',
      query: `${flows} dns.latency:* | stats by (destination.ip) count() answers, quantile(0.5, dns.latency) median, quantile(0.95, dns.latency) slowest | sort by (slowest desc) limit 20`,
      filters: ['destination.ip'],
      heads: { ...heads, 'destination.ip': 'Server' },
      empty: 'No server was timed.',
    },
  ];
}

/** The tables of a tab. `now` decides which certificates end soon, in milliseconds. */
export function breakdowns(tab: string, flows: string, now: number): Breakdown[] {
  switch (tab) {
    case 'apps':
      return [
        by('Applications', ['network.application'], flows, 'Application', 'No flow told its application.'),
        by('Categories', ['network.category'], flows, 'Category', 'No flow told its category.'),
        by('Transports', ['network.transport'], flows, 'Transport', 'No flow was seen.'),
      ];
    case 'tls':
      return tls(flows, now);
    case 'ja4':
      return [by('JA4 of clients', ['tls.client.ja4'], flows, 'JA4', 'No client hello was seen.')];
    case 'dns':
      return dns(flows);
    default:
      return [];
  }
}
