import { quote } from '$lib/query/edit';

/**
 * What a node of the map stands for, as the address writes it: "ip:192.0.2.1" one
 * address, "net:198.51.100.0/24" a network, "as:64500" an autonomous system,
 * "geo:DE" a country, "rest:in", "rest:groups" and "rest:out" what the map has no room for. Two of
 * them with ">" between are an edge, from who began to who was reached.
 */
export type NodeId = string;

export interface Selection {
  nodes: readonly NodeId[];
}

/** The addresses that the rest of a map stands for, by node. */
export type Rest = ReadonlyMap<NodeId, readonly string[]>;

/** A filter names at most so many addresses: a query has 16 KiB. */
export const mostNamed = 250;

const none: Rest = new Map();
const known = /^(ip|net|as|geo|rest):[^>\s]+$/;

/** Reads a selection; null for none, and for what is none. */
export function parseSelection(text: string): Selection | null {
  const nodes = text.split('>');
  if (nodes.length > 2 || !nodes.every((node) => known.test(node))) return null;
  return { nodes };
}

/** The filter of flows with a node at one side; null where none can say it. */
function sideFilter(node: NodeId, side: 'source' | 'destination', rest: Rest): string | null {
  const at = node.indexOf(':');
  const value = node.slice(at + 1);
  switch (node.slice(0, at)) {
    case 'ip':
      return `${side}.ip:=${quote(value)}`;
    case 'net':
      return `${side}.ip:${quote(value)}`;
    case 'as':
      return `${side}.as.number:=${quote(value)}`;
    case 'geo':
      return `${side}.geo.country_iso_code:=${quote(value)}`;
    default: {
      const named = rest.get(node) ?? [];
      if (named.length === 0 || named.length > mostNamed) return null;
      return `${side}.ip:in(${named.map(quote).join(',')})`;
    }
  }
}

/**
 * The filter of the flows that a selection stands for, and whether it says all of it: of
 * what the map has no room for, not more can be said than which addresses that was.
 */
export function selectionFilter(
  selection: Selection | null,
  rest: Rest = none,
): { filter: string; whole: boolean } {
  if (!selection) return { filter: '', whole: true };
  const [from = '', to] = selection.nodes;
  const sides = [sideFilter(from, 'source', rest), sideFilter(to ?? from, 'destination', rest)];
  const said = sides.filter((side) => side !== null);
  const whole = said.length === sides.length;
  if (to !== undefined) return { filter: said.join(' '), whole };
  return { filter: whole ? `(${said.join(' or ')})` : '', whole };
}

/** How a node is called. */
export function nodeName(node: NodeId): string {
  if (node === 'rest:in') return 'other hosts';
  if (node === 'rest:groups') return 'other groups';
  if (node === 'rest:out') return 'internet, others';
  const value = node.slice(node.indexOf(':') + 1);
  return node.startsWith('as:') ? `AS${value}` : value;
}

export function selectionName(selection: Selection): string {
  return selection.nodes.map(nodeName).join(' → ');
}
