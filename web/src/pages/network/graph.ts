import type { RowsResponse } from '$lib/api/types';
import { type NodeId, nodeName, type Rest } from './selection';

/** A host of ours, or a part of the world outside. */
export interface MapNode {
  id: NodeId;
  /** What people call it: a name where one is known, else the address or network. */
  label: string;
  inside: boolean;
  /** Whether it is no host, but all that listen to an address: multicast or broadcast. */
  group: boolean;
  bytes: number;
  flows: number;
  /** How many addresses it stands for. */
  addresses: number;
  /** How many findings name an address of it, and the gravest of them, 0 for none to 5. */
  findings: number;
  gravity: number;
}

/** All flows from one node to another. */
export interface MapEdge {
  id: string;
  from: NodeId;
  to: NodeId;
  bytes: number;
  flows: number;
  gravity: number;
  /** The applications that were spoken, by the alphabet; not all where there are many. */
  services: string[];
}

export interface Graph {
  /** Ours first, then those outside; of each the heaviest first. */
  nodes: MapNode[];
  /** The heaviest first. */
  edges: MapEdge[];
  /** The addresses that the nodes stand for which take what there is no room for. */
  rest: Rest;
}

/** What findings say of an address. */
export type Marked = ReadonlyMap<string, { count: number; gravity: number }>;

/** At most so many nodes of ours, outside, and edges are drawn: the rest is drawn as one. */
export const most = { inside: 60, outside: 60, edges: 400 };

interface End {
  ip: string;
  inside: boolean;
  group: boolean;
  /** The node that it is of, while there is room for all. */
  node: NodeId;
  label: string;
}

/** Addresses that are of no public network: RFC 1918, 4193, 6598, 3927, 4291; and groups. */
export function isPrivate(ip: string): boolean {
  if (ip.includes(':')) return /^(::1?$|f[cdf]|fe[89ab])/i.test(ip);
  const [a = 0, b = 0] = ip.split('.').map(Number);
  return (
    a === 10 ||
    a === 127 ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168) ||
    (a === 169 && b === 254) ||
    (a === 100 && b >= 64 && b < 128) ||
    a >= 224
  );
}

/** Addresses of many at once: RFC 5771, 4291, and the broadcast of RFC 919. */
export function isGroup(ip: string): boolean {
  if (ip.includes(':')) return /^ff/i.test(ip);
  const a = Number(ip.split('.')[0]);
  return (a >= 224 && a < 240) || ip === '255.255.255.255';
}

/** Whether frames went to all on a link, or to some, whatever the address looks like (IEEE 802, the I/G bit). */
const toMany = (mac: string) => /^[0-9a-f][13579bdf]:/i.test(mac);

/** The network that an address outside is shown as: /24 of IPv4, /48 of IPv6. */
export function networkOf(ip: string): string {
  if (!ip.includes(':')) return `${ip.split('.').slice(0, 3).join('.')}.0/24`;
  const [head = '', tail] = ip.toLowerCase().split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  const groups = [...first, ...Array<string>(zeros).fill('0'), ...last].slice(0, 3);
  while (groups.at(-1) === '0') groups.pop();
  return `${groups.join(':')}::/48`;
}

type Row = (name: string) => string;

/** Whether a row has a side for ours: by what the agent says of the direction, else by the kind of address. */
function isInside(row: Row, side: 'source' | 'destination', ip: string): boolean {
  const direction = row('network.direction');
  const ours = side === 'source' ? 'outbound' : 'inbound';
  return direction === 'internal' || direction === ours || isPrivate(ip);
}

function endOf(
  row: Row,
  side: 'source' | 'destination',
  ours: ReadonlySet<string>,
  groups: ReadonlySet<string>,
): End {
  const ip = row(`${side}.ip`);
  const group = groups.has(ip);
  const inside = group || ours.has(ip);
  if (inside) return { ip, inside, group, node: `ip:${ip}`, label: row(`${side}_domain`) || ip };
  const as = row(`${side}_as_number`);
  if (as && as !== '0') {
    return {
      ip,
      inside,
      group,
      node: `as:${as}`,
      label: row(`${side}_as_organization_name`) || nodeName(`as:${as}`),
    };
  }
  const country = row(`${side}_geo_country_iso_code`);
  if (country) return { ip, inside, group, node: `geo:${country}`, label: country };
  const network = networkOf(ip);
  return { ip, inside, group, node: `net:${network}`, label: network };
}

interface Pair {
  from: End;
  to: End;
  bytes: number;
  flows: number;
  services: string[];
}

/** A list as the engine writes it; none where it is none. */
function listOf(text: string): string[] {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list.map(String).filter(Boolean) : [];
  } catch {
    return [];
  }
}

/** The rows of pairsQuery's answer. */
function pairsOf(answer: Pick<RowsResponse, 'columns' | 'rows'>): Pair[] {
  const place = new Map(answer.columns.map((name, index) => [name, index]));
  const rows = answer.rows.map(
    (values): Row =>
      (name) =>
        values[place.get(name) ?? -1] ?? '',
  );
  // An address that is ours in one row is so in all.
  const ours = new Set<string>();
  const groups = new Set<string>();
  for (const row of rows) {
    const to = row('destination.ip');
    if (isGroup(to) || (toMany(row('destination_mac')) && isPrivate(to))) groups.add(to);
    for (const side of ['source', 'destination'] as const) {
      const ip = row(`${side}.ip`);
      if (isInside(row, side, ip)) ours.add(ip);
    }
  }
  return rows
    .map((row) => ({
      from: endOf(row, 'source', ours, groups),
      to: endOf(row, 'destination', ours, groups),
      bytes: Number(row('bytes')) || 0,
      flows: Number(row('flows')) || 0,
      services: listOf(row('applications')),
    }))
    .filter((pair) => pair.from.ip !== '' && pair.to.ip !== '');
}

/** The heaviest of some amounts, by their names. */
function heaviest(amounts: ReadonlyMap<string, number>, count: number): Set<string> {
  const order = [...amounts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return new Set(order.slice(0, count).map(([name]) => name));
}

function weights(pairs: readonly Pair[], inside: boolean): Map<NodeId, number> {
  const sums = new Map<NodeId, number>();
  for (const pair of pairs) {
    for (const end of [pair.from, pair.to]) {
      if (end.inside === inside) sums.set(end.node, (sums.get(end.node) ?? 0) + pair.bytes + 1);
    }
  }
  return sums;
}

class Builder {
  nodes = new Map<NodeId, MapNode>();
  edges = new Map<string, MapEdge>();
  #seen = new Map<NodeId, Set<string>>();
  #kept: Set<string>;
  #marked: Marked;

  constructor(kept: Set<string>, marked: Marked) {
    this.#kept = kept;
    this.#marked = marked;
  }

  #node(end: End): MapNode {
    const rest = end.group ? 'rest:groups' : end.inside ? 'rest:in' : 'rest:out';
    const id = this.#kept.has(end.node) ? end.node : rest;
    let node = this.nodes.get(id);
    if (!node) {
      const label = id === end.node ? end.label : nodeName(id);
      const { inside, group } = end;
      node = { id, label, inside, group, bytes: 0, flows: 0, addresses: 0, findings: 0, gravity: 0 };
      this.nodes.set(id, node);
      this.#seen.set(id, new Set());
    }
    if (id === end.node && node.label === nodeName(id)) node.label = end.label;
    const seen = this.#seen.get(id);
    if (seen && !seen.has(end.ip)) {
      seen.add(end.ip);
      node.addresses += 1;
      const mark = this.#marked.get(end.ip);
      if (mark) {
        node.findings += mark.count;
        node.gravity = Math.max(node.gravity, mark.gravity);
      }
    }
    return node;
  }

  /** The addresses of the nodes that take what there is no room for. */
  rest(): Rest {
    return new Map(
      [...this.#seen].filter(([id]) => id.startsWith('rest:')).map(([id, ips]) => [id, [...ips].sort()]),
    );
  }

  add(pair: Pair): void {
    const from = this.#node(pair.from);
    const to = this.#node(pair.to);
    for (const node of from === to ? [from] : [from, to]) {
      node.bytes += pair.bytes;
      node.flows += pair.flows;
    }
    const id = `${from.id}>${to.id}`;
    const none = { bytes: 0, flows: 0, gravity: 0, services: [] };
    const edge = this.edges.get(id) ?? { id, from: from.id, to: to.id, ...none };
    edge.services = [...new Set([...edge.services, ...pair.services])].sort();
    edge.bytes += pair.bytes;
    edge.flows += pair.flows;
    const gravity = (ip: string) => this.#marked.get(ip)?.gravity ?? 0;
    edge.gravity = Math.max(edge.gravity, gravity(pair.from.ip), gravity(pair.to.ip));
    this.edges.set(id, edge);
  }
}

/**
 * Makes the map of pairs of addresses: hosts of ours one by one, the world outside by
 * autonomous system, country or network, whichever is known. What there is no room for
 * is drawn as one node of each kind, so every flow of the answer is on the map.
 */
export function graphOf(
  answer: Pick<RowsResponse, 'columns' | 'rows'> | null,
  marked: Marked = new Map(),
  room: { inside: number; outside: number } = most,
): Graph {
  if (!answer) return { nodes: [], edges: [], rest: new Map() };
  const pairs = pairsOf(answer);
  const kept = heaviest(weights(pairs, true), room.inside);
  for (const id of heaviest(weights(pairs, false), room.outside)) kept.add(id);
  // What findings name is never among the rest.
  for (const { from, to } of pairs)
    for (const end of [from, to]) if (marked.has(end.ip) && kept.size < 180) kept.add(end.node);
  const builder = new Builder(kept, marked);
  for (const pair of pairs) builder.add(pair);
  const heavier = (a: { bytes: number; flows: number; id: string }, b: typeof a) =>
    b.bytes - a.bytes || b.flows - a.flows || (a.id < b.id ? -1 : 1);
  const nodes = [...builder.nodes.values()].sort(
    (a, b) => Number(b.inside) - Number(a.inside) || heavier(a, b),
  );
  return { nodes, edges: [...builder.edges.values()].sort(heavier), rest: builder.rest() };
}

/** What an answer of the heaviest pairs leaves out of all. */
export function leftOut(
  pairs: Pick<RowsResponse, 'columns' | 'rows'> | null,
  total: Pick<RowsResponse, 'columns' | 'rows'> | null,
): { flows: number; bytes: number } {
  const sum = (answer: Pick<RowsResponse, 'columns' | 'rows'> | null, name: string) => {
    const at = answer?.columns.indexOf(name) ?? -1;
    return (answer?.rows ?? []).reduce((all, row) => all + (Number(row[at]) || 0), 0);
  };
  if (!pairs || !total) return { flows: 0, bytes: 0 };
  // The two are asked one after the other, and flows end in between.
  return {
    flows: Math.max(0, sum(total, 'flows') - sum(pairs, 'flows')),
    bytes: Math.max(0, sum(total, 'bytes') - sum(pairs, 'bytes')),
  };
}
