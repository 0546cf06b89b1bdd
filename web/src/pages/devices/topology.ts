import type { TopologyAnswer, TopologyLink, TopologyNode } from '$lib/api/devices';
import { carries, classWord } from './classes';
import { compareText } from './device';

/** A device of the picture, or the devices of a switch that are drawn as one. */
export interface DrawnNode {
  id: string;
  label: string;
  device_class: string;
  ip: string;
  up: boolean;
  findings: number;
  /** Whether it carries what others send. */
  carries: boolean;
  /** The devices that it stands for; 1 but for groups. */
  devices: number;
  /** Of a group: how many of them are down. */
  down: number;
  /** The node to its left; null for a root. */
  parent: string | null;
  /** Whether its name stands beneath it, since a line leaves to its right. */
  beneath: boolean;
  x: number;
  y: number;
}

export interface DrawnLink {
  id: string;
  from: string;
  to: string;
  /** Ports at both ends, as people read them from left to right. */
  ports: string;
  path: string;
  x: number;
  y: number;
  /** Not part of the tree: it closes a ring. */
  across: boolean;
}

export interface Drawing {
  width: number;
  height: number;
  nodes: DrawnNode[];
  links: DrawnLink[];
  /** Devices that no link is known of. */
  alone: number;
}

/** With more leaves than this in all, and more than that at one device, they are drawn as one. */
export const mostLeaves = 48;
const fewOfOne = 6;
/** However few there are in all, so many at one device are. */
const mostOfOne = 24;
const column = 270;
const line = 26;
/** What carries is larger. */
const carrierLine = 52;
const margin = 40;

type Neighbours = Map<string, Map<string, TopologyLink>>;

/** Links by device and neighbour; of several between two, the one that says most. */
function neighboursOf(links: readonly TopologyLink[], known: ReadonlyMap<string, TopologyNode>): Neighbours {
  const found: Neighbours = new Map();
  const says = (link: TopologyLink) =>
    Number(link.from_port !== '') + Number(link.to_port !== '') + Number(/lldp|cdp/.test(link.source)) * 4;
  const put = (one: string, other: string, link: TopologyLink) => {
    const of = found.get(one) ?? new Map<string, TopologyLink>();
    const before = of.get(other);
    if (!before || says(link) > says(before)) of.set(other, link);
    found.set(one, of);
  };
  for (const link of links) {
    if (link.from === link.to || !known.has(link.from) || !known.has(link.to)) continue;
    put(link.from, link.to, link);
    put(link.to, link.from, link);
  }
  return found;
}

/** "Gi1/0/1 – Gi0/24", the port of `left` first. */
function portsOf(link: TopologyLink, left: string): string {
  const [near, far] = link.from === left ? [link.from_port, link.to_port] : [link.to_port, link.from_port];
  return near && far ? `${near} – ${far}` : near || far;
}

/** The order in which roots are chosen: routers, then what has the most neighbours. */
function rootsFirst(nodes: readonly TopologyNode[], neighbours: Neighbours): TopologyNode[] {
  const degree = (node: TopologyNode) => neighbours.get(node.uid)?.size ?? 0;
  const rank = (node: TopologyNode) => {
    const word = classWord(node.device_class);
    return word === 'firewall' || word === 'router' ? 2 : Number(carries(node.device_class));
  };
  return [...nodes].sort(
    (a, b) => rank(b) - rank(a) || degree(b) - degree(a) || compareText(a.name || a.uid, b.name || b.uid),
  );
}

function drawn(node: TopologyNode, of: number): DrawnNode {
  const { uid, name, ip, device_class, up, findings } = node;
  const label = name || ip || uid;
  // What has several neighbours carries, whatever it is thought to be.
  const middle = carries(device_class) || of > 2;
  return {
    id: uid,
    label,
    device_class,
    ip,
    up,
    findings,
    carries: middle,
    devices: 1,
    down: 0,
    parent: null,
    beneath: middle,
    x: 0,
    y: 0,
  };
}

/** The leaves of one device as one node. */
function group(of: DrawnNode, leaves: readonly DrawnNode[]): DrawnNode {
  const down = leaves.filter((leaf) => !leaf.up).length;
  return {
    ...of,
    id: `group:${of.id}`,
    label: `${leaves.length} devices`,
    device_class: '',
    carries: false,
    beneath: false,
    up: down < leaves.length,
    findings: leaves.reduce((sum, leaf) => sum + leaf.findings, 0),
    devices: leaves.length,
    down,
    parent: of.id,
  };
}

/** Walks each network from its root to the right; every device has one parent. */
function forest(roots: readonly TopologyNode[], neighbours: Neighbours): Map<string, DrawnNode[]> {
  const children = new Map<string, DrawnNode[]>([['', []]]);
  const placed = new Set<string>();
  const byUid = new Map(roots.map((node) => [node.uid, drawn(node, neighbours.get(node.uid)?.size ?? 0)]));
  for (const root of roots) {
    if (placed.has(root.uid) || !neighbours.has(root.uid)) continue;
    placed.add(root.uid);
    const first = byUid.get(root.uid);
    if (!first) continue;
    children.get('')?.push(first);
    const queue = [first];
    for (let node = queue.shift(); node; node = queue.shift()) {
      const own: DrawnNode[] = [];
      for (const uid of neighbours.get(node.id)?.keys() ?? []) {
        const child = byUid.get(uid);
        if (!child || placed.has(uid)) continue;
        placed.add(uid);
        child.parent = node.id;
        own.push(child);
        queue.push(child);
      }
      own.sort((a, b) => Number(b.carries) - Number(a.carries) || compareText(a.label, b.label));
      children.set(node.id, own);
    }
  }
  return children;
}

/** Draws the leaves of a device as one where there are too many of them. */
function fold(children: Map<string, DrawnNode[]>): void {
  const leaf = (node: DrawnNode) => !node.carries && (children.get(node.id)?.length ?? 0) === 0;
  const all = [...children].flatMap(([id, own]) => (id === '' ? [] : own.filter(leaf)));
  const most = all.length > mostLeaves ? fewOfOne : mostOfOne;
  const byId = new Map([...children.values()].flat().map((node) => [node.id, node]));
  for (const [id, own] of children) {
    const leaves = own.filter(leaf);
    const of = byId.get(id);
    if (of && leaves.length > most)
      children.set(id, [...own.filter((node) => !leaf(node)), group(of, leaves)]);
  }
}

/** Devices from left to right, those that carry before those that do not. */
export function draw(answer: Pick<TopologyAnswer, 'nodes' | 'links'>): Drawing {
  const known = new Map(answer.nodes.map((node) => [node.uid, node]));
  const neighbours = neighboursOf(answer.links, known);
  const children = forest(rootsFirst(answer.nodes, neighbours), neighbours);
  fold(children);
  const nodes: DrawnNode[] = [];
  let next = margin;
  const place = (node: DrawnNode, depth: number) => {
    nodes.push(node);
    node.x = margin + 20 + depth * column;
    const own = children.get(node.id) ?? [];
    node.beneath = node.carries || own.length > 0;
    for (const child of own) place(child, depth + 1);
    const [first, last] = [own[0], own.at(-1)];
    node.y = first && last ? (first.y + last.y) / 2 : next;
    if (!first) next += line;
    if (node.beneath) next = Math.max(next, node.y + carrierLine);
  };
  for (const root of children.get('') ?? []) {
    place(root, 0);
    next += line;
  }
  const width = Math.max(0, ...nodes.map((node) => node.x)) + 220;
  const links = linksOf(nodes, neighbours);
  return {
    width,
    height: Math.max(next, margin * 3),
    nodes,
    links,
    alone: answer.nodes.length - neighbours.size,
  };
}

const round = (value: number) => Math.round(value * 10) / 10;

function linksOf(nodes: readonly DrawnNode[], neighbours: Neighbours): DrawnLink[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const links: DrawnLink[] = [];
  const add = (from: DrawnNode, to: DrawnNode, ports: string, across: boolean) => {
    const [x1, y1, x2, y2] = [from.x, from.y, to.x, to.y].map(round) as [number, number, number, number];
    const bow = across ? Math.max(60, Math.abs(y2 - y1) / 3) : (x2 - x1) / 2;
    const path = `M${x1} ${y1}C${round(x1 + bow)} ${y1} ${round(across ? x2 + bow : x2 - bow)} ${y2} ${x2} ${y2}`;
    const at = across
      ? { x: round((x1 + x2) / 2 + bow * 0.75), y: round((y1 + y2) / 2) }
      : { x: x2 - 22, y: y2 - 4 };
    links.push({ id: `${from.id}>${to.id}`, from: from.id, to: to.id, ports, path, ...at, across });
  };
  for (const node of nodes) {
    const parent = node.parent === null ? undefined : byId.get(node.parent);
    if (!parent) continue;
    const link = neighbours.get(parent.id)?.get(node.id);
    add(parent, node, link ? portsOf(link, parent.id) : '', false);
  }
  for (const node of nodes) {
    for (const [uid, link] of neighbours.get(node.id) ?? []) {
      const other = byId.get(uid);
      if (!other || other.id <= node.id || other.parent === node.id || node.parent === other.id) continue;
      add(node, other, portsOf(link, node.id), true);
    }
  }
  return links;
}

/** How a node is called in the picture: what is down says so. */
export function drawnName(node: DrawnNode): string {
  return node.up ? node.label : `${node.label} (down)`;
}

/** What a node is, for readers of screens and on hover; it begins with what is seen. */
export function describe(node: DrawnNode): string {
  const found = node.findings > 0 ? `, ${node.findings} ${node.findings === 1 ? 'finding' : 'findings'}` : '';
  const down = node.down > 0 ? `, ${node.down} of them down` : '';
  if (node.devices > 1) return `${drawnName(node)}${down}${found}: Enter lists them`;
  const where = node.ip && node.ip !== node.label ? `, ${node.ip}` : '';
  return `${drawnName(node)}, ${classWord(node.device_class)}${where}${found}`;
}

/** The node that an arrow key moves to. */
export function neighbourOf(nodes: readonly DrawnNode[], active: number, key: string): number | null {
  const node = nodes[active];
  const last = nodes.length - 1;
  switch (key) {
    case 'Home':
      return 0;
    case 'End':
      return last;
    case 'ArrowDown':
    case 'ArrowUp': {
      if (!node) return 0;
      const step = key === 'ArrowDown' ? 1 : -1;
      // The next one that stands at the same distance from the root.
      for (let at = active + step; at >= 0 && at <= last; at += step) if (nodes[at]?.x === node.x) return at;
      return Math.max(0, Math.min(last, active + step));
    }
    case 'ArrowLeft':
      return node?.parent == null ? 0 : nodes.findIndex((each) => each.id === node.parent);
    case 'ArrowRight': {
      if (!node) return 0;
      const child = nodes.findIndex((each) => each.parent === node.id);
      return child < 0 ? active : child;
    }
    default:
      return null;
  }
}
