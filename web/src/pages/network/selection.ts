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

const known = /^(ip|net|as|geo|rest):[^>\s]+$/;

/** Reads a selection; null for none, and for what is none. */
export function parseSelection(text: string): Selection | null {
  const nodes = text.split('>');
  if (nodes.length > 2 || !nodes.every((node) => known.test(node))) return null;
  return { nodes };
}

/** The filter of flows with a node at one side; null where none can say it. */
function sideFilter(node: NodeId, side: 'source' | 'destination'): string | null {
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
    default:
      return null;
  }
}

/** The filter of the flows that a selection stands for; empty where no filter can say it. */
export function selectionFilter(selection: Selection | null): string {
  if (!selection) return '';
  const [from = '', to] = selection.nodes;
  if (to !== undefined) {
    return [sideFilter(from, 'source'), sideFilter(to, 'destination')].filter(Boolean).join(' ');
  }
  const sides = [sideFilter(from, 'source'), sideFilter(from, 'destination')].filter(Boolean);
  return sides.length > 0 ? `(${sides.join(' or ')})` : '';
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
