import type { Graph, MapEdge, MapNode } from './graph';

/** A node with its place, in the units of the drawing: pixels before zoom. */
export interface PlacedNode extends MapNode {
  x: number;
  y: number;
  r: number;
  /** In the left column, with its name to the left of it. */
  left: boolean;
}

export interface PlacedEdge extends MapEdge {
  /** A path of SVG. */
  path: string;
  width: number;
}

export interface Layout {
  width: number;
  height: number;
  /** How many characters of a name there is room for. */
  characters: number;
  nodes: PlacedNode[];
  edges: PlacedEdge[];
}

/** How wide a drawing is: room between the two sides, room for names beside them, and its largest circle. */
export interface Shape {
  apart: number;
  names: number;
  largest: number;
}

const smallest = 5;
const gap = 14;
const margin = 32;
const wide: Shape = { apart: 420, names: 220, largest: 22 };
/** A letter of the names, about, in pixels. */
const letter = 6.8;

/** Text is never smaller than by this, unless a person zooms out. */
export const readable = 0.85;

/** The shape with which names can be read in a box so many pixels wide. */
export function shapeFor(width: number): Shape {
  const room = Math.max(300, Math.floor(width / 20) * 20) / readable;
  if (width === 0 || room >= wide.apart + 2 * wide.names) return wide;
  return { apart: Math.round(room * 0.26), names: Math.round(room * 0.37), largest: 14 };
}

/** Radius by area: four times the bytes are twice the radius. */
function radius(bytes: number, highest: number, largest: number): number {
  return highest <= 0 ? smallest : smallest + (largest - smallest) * Math.sqrt(bytes / highest);
}

/**
 * Orders one side by where its partners stand on the other, so that fewer lines cross
 * (the barycentre heuristic of Sugiyama, Tagawa and Toda, 1981). Equal ones keep the
 * order of the graph, so equal graphs have equal layouts.
 */
function ordered(
  nodes: readonly MapNode[],
  partners: ReadonlyMap<string, [string, number][]>,
  place: ReadonlyMap<string, number>,
): MapNode[] {
  const centre = (node: MapNode) => {
    let sum = 0;
    let weight = 0;
    for (const [id, bytes] of partners.get(node.id) ?? []) {
      const at = place.get(id);
      if (at === undefined) continue;
      sum += at * (bytes + 1);
      weight += bytes + 1;
    }
    return weight > 0 ? sum / weight : Number.POSITIVE_INFINITY;
  };
  return nodes
    .map((node, index) => ({ node, index, at: centre(node) }))
    .sort((a, b) => (a.at === b.at ? a.index - b.index : a.at - b.at))
    .map(({ node }) => node);
}

/** A column; that at `x` is the left one. */
function stack(
  nodes: readonly MapNode[],
  x: number,
  left: boolean,
  highest: number,
  largest: number,
): PlacedNode[] {
  let y = margin;
  return nodes.map((node) => {
    const r = radius(node.bytes, highest, largest);
    const placed = { ...node, x, y: y + r, r, left };
    y += r * 2 + gap;
    return placed;
  });
}

/**
 * Which nodes stand on the left: hosts of ours, beside the world outside. Where only one of
 * the two is there, those stand on the right that are rather spoken to than speak.
 */
function columnsOf(graph: Graph): [MapNode[], MapNode[]] {
  const split = (left: (node: MapNode) => boolean): [MapNode[], MapNode[]] => [
    graph.nodes.filter(left),
    graph.nodes.filter((node) => !left(node)),
  ];
  const both = (sides: [MapNode[], MapNode[]]) => sides.every((side) => side.length > 0);
  const usual = split((node) => node.inside);
  if (both(usual)) return usual;
  const spoke = new Map<string, number>();
  for (const edge of graph.edges) {
    if (edge.from === edge.to) continue;
    spoke.set(edge.from, (spoke.get(edge.from) ?? 0) + edge.flows);
    spoke.set(edge.to, (spoke.get(edge.to) ?? 0) - edge.flows);
  }
  const bySpeech = split((node) => (spoke.get(node.id) ?? 0) >= 0);
  return both(bySpeech) ? bySpeech : [graph.nodes.slice(), []];
}

const round = (value: number) => Math.round(value * 10) / 10;

/** Between the sides a curve; on one side a bow towards the middle. */
function pathOf(from: PlacedNode, to: PlacedNode, apart: number): string {
  const [x1, y1, x2, y2] = [from.x, from.y, to.x, to.y].map(round) as [number, number, number, number];
  const towards = from.left ? 1 : -1;
  if (from.id === to.id) {
    const out = round(x1 + towards * (from.r + Math.min(26, apart / 4)));
    return `M${x1} ${y1}C${out} ${round(y1 - 24)} ${out} ${round(y1 + 24)} ${x1} ${y1}`;
  }
  if (x1 === x2) {
    const bow = round(x1 + towards * Math.min(apart / 2, 60 + Math.abs(y2 - y1) / 3));
    return `M${x1} ${y1}C${bow} ${y1} ${bow} ${y2} ${x2} ${y2}`;
  }
  const middle = round((x1 + x2) / 2);
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

/** Two columns, as columnsOf says, with at most `mostEdges` lines. */
export function layout(graph: Graph, mostEdges = 400, shape: Shape = wide): Layout {
  const { apart, names, largest } = shape;
  const partners = new Map<string, [string, number][]>();
  for (const edge of graph.edges) {
    for (const [one, other] of [
      [edge.from, edge.to],
      [edge.to, edge.from],
    ] as const) {
      const list = partners.get(one);
      if (list) list.push([other, edge.bytes]);
      else partners.set(one, [[other, edge.bytes]]);
    }
  }
  const highest = Math.max(0, ...graph.nodes.map((node) => node.bytes));
  const [ours, others] = columnsOf(graph);
  const oursAt = new Map(ours.map((node, index) => [node.id, index]));
  const left = stack(ours, names, true, highest, largest);
  const right = stack(ordered(others, partners, oursAt), names + apart, false, highest, largest);
  const height =
    Math.max(...[left, right].map((side) => (side.at(-1)?.y ?? 0) + (side.at(-1)?.r ?? 0)), margin) + margin;
  centre(left, height);
  centre(right, height);
  const nodes = [...left, ...right];
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const heaviest = Math.max(1, graph.edges[0]?.bytes ?? 1);
  const edges = graph.edges.slice(0, mostEdges).flatMap((edge) => {
    const from = byId.get(edge.from);
    const to = byId.get(edge.to);
    if (!from || !to) return [];
    return [
      { ...edge, path: pathOf(from, to, apart), width: round(1 + 7 * Math.sqrt(edge.bytes / heaviest)) },
    ];
  });
  const characters = Math.max(8, Math.floor((names - largest - 8) / letter));
  return { width: names * 2 + apart, height, characters, nodes, edges };
}

/** Moves the shorter side to the middle of the higher one. */
function centre(side: PlacedNode[], height: number): void {
  const last = side.at(-1);
  if (!last) return;
  const by = (height - margin - (last.y + last.r)) / 2;
  for (const node of side) node.y = round(node.y + by);
}

/** What part of the drawing is seen, and how large. */
export interface View {
  x: number;
  y: number;
  scale: number;
}

const scales = { least: 0.2, most: 4 };

/** Shows all of a drawing in a box, but no larger than it is. */
export function fitted(
  drawing: { width: number; height: number },
  box: { width: number; height: number },
): View {
  const scale = Math.max(
    scales.least,
    Math.min(1.25, box.width / drawing.width, box.height / drawing.height),
  );
  return { scale, x: (box.width - drawing.width * scale) / 2, y: (box.height - drawing.height * scale) / 2 };
}

/** Shows as much of a drawing as can be read, from its top; all of it where that can be read. */
export function legible(
  drawing: { width: number; height: number },
  box: { width: number; height: number },
): View {
  const all = fitted(drawing, box);
  const scale = Math.max(all.scale, Math.min(1, Math.max(readable, box.width / drawing.width)));
  return {
    scale,
    x: (box.width - drawing.width * scale) / 2,
    y: Math.max(0, (box.height - drawing.height * scale) / 2),
  };
}

/** Zooms so that what lies at (x, y) of the box stays there. */
export function zoomed(view: View, factor: number, x: number, y: number): View {
  const scale = Math.max(scales.least, Math.min(scales.most, view.scale * factor));
  const by = scale / view.scale;
  return { scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by };
}
