import { describe, expect, it } from 'vitest';
import type { TopologyLink, TopologyNode } from '$lib/api/devices';
import { FakeDevices } from '../../../tests/fake/devices';
import { draw, mostLeaves, neighbourOf, describe as say } from './topology';

const node = (uid: string, device_class = ''): TopologyNode => ({
  uid,
  name: uid,
  device_class,
  ip: '',
  up: true,
  findings: 0,
});
const link = (from: string, to: string, from_port = '', to_port = '', source = 'fdb'): TopologyLink => ({
  from,
  to,
  from_port,
  to_port,
  source,
  description: '',
});

describe('topology', () => {
  it('goes from the router over switches to what hangs at them', () => {
    const drawing = draw({
      nodes: [node('pc'), node('sw', 'switch'), node('gw', 'router'), node('lonely')],
      links: [
        link('sw', 'pc', 'Gi1/0/7'),
        link('sw', 'gw', 'Te1', 'sfp1', 'lldp'),
        link('gw', 'sw', '', '', 'arp'),
      ],
    });
    const place = Object.fromEntries(drawing.nodes.map((each) => [each.id, each]));
    expect(place.gw?.x).toBeLessThan(place.sw?.x ?? 0);
    expect(place.sw?.x).toBeLessThan(place.pc?.x ?? 0);
    expect(drawing.links.map((each) => each.ports).sort()).toEqual(['Gi1/0/7', 'sfp1 – Te1']);
    expect(drawing.alone).toBe(1);
    expect([place.gw, place.sw, place.pc].map((each) => each?.beneath)).toEqual([true, true, false]);
    const bare = draw({ nodes: [node('a'), node('b')], links: [link('a', 'b')] });
    expect(bare.nodes.map((each) => each.beneath)).toEqual([true, false]);
  });

  it('closes rings by lines of their own', () => {
    const nodes = ['a', 'b', 'c'].map((uid) => node(uid, 'switch'));
    const drawing = draw({ nodes, links: [link('a', 'b'), link('b', 'c'), link('c', 'a')] });
    expect(drawing.links.filter((each) => each.across)).toHaveLength(1);
    expect(drawing.links).toHaveLength(3);
  });

  it('draws many leaves of a switch as one, which says how many are down', () => {
    const leaves = Array.from({ length: mostLeaves + 9 }, (_, at) => ({ ...node(`pc-${at}`), up: at > 2 }));
    const drawing = draw({
      nodes: [node('sw', 'switch'), ...leaves],
      links: leaves.map(({ uid }) => link('sw', uid)),
    });
    expect(drawing.nodes).toHaveLength(2);
    const group = drawing.nodes[1];
    expect(group && say(group)).toBe(`${leaves.length} devices, 3 of them down: Enter lists them`);
  });

  it('gives every node a place of its own, also of a large network', () => {
    for (const total of [40, 2000]) {
      const { nodes } = draw(new FakeDevices(total, 0).topology());
      expect(nodes.length).toBeLessThan(200);
      expect(new Set(nodes.map(({ x, y }) => `${x} ${y}`)).size).toBe(nodes.length);
    }
  });

  it('is walked by arrow keys, and has no end of links to itself', () => {
    const { nodes } = draw({
      nodes: [node('gw', 'router'), node('a', 'switch'), node('b', 'switch'), node('pc')],
      links: [link('gw', 'a'), link('gw', 'b'), link('b', 'pc'), link('b', 'b'), link('b', 'nobody')],
    });
    const at = (id: string) => nodes.findIndex((each) => each.id === id);
    expect(neighbourOf(nodes, -1, 'ArrowDown')).toBe(0);
    expect(neighbourOf(nodes, at('gw'), 'ArrowRight')).toBe(at('a'));
    expect(neighbourOf(nodes, at('a'), 'ArrowDown')).toBe(at('b'));
    expect(neighbourOf(nodes, at('pc'), 'ArrowLeft')).toBe(at('b'));
    expect(neighbourOf(nodes, at('pc'), 'ArrowRight')).toBe(at('pc'));
    expect(neighbourOf(nodes, 0, 'x')).toBeNull();
  });
});
