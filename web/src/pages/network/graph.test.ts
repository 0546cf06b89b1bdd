import { describe, expect, it } from 'vitest';
import { graphOf, isGroup, isPrivate, leftOut, networkOf } from './graph';
import { gravityMark, markedBy } from './gravity';
import { fitted, layout, legible, readable, shapeFor, zoomed } from './layout';

const columns = [
  'source.ip',
  'destination.ip',
  'network.direction',
  'flows',
  'bytes',
  'source_domain',
  'destination_as_number',
  'destination_as_organization_name',
  'destination_geo_country_iso_code',
  'applications',
  'destination_mac',
];

type Pair = [string, string, string, number, number, string?, string?, string?, string?, string?, string?];
const answer = (...pairs: Pair[]) => ({
  columns,
  rows: pairs.map((pair) => columns.map((_, at) => String(pair[at] ?? ''))),
});

/** Many hosts that talk to many networks, the same each time. */
function busy(pairs: number) {
  return answer(
    ...Array.from(
      { length: pairs },
      (_, at): Pair => [
        `10.0.${at % 7}.${at % 250}`,
        `198.${18 + (at % 2)}.${at % 251}.${(at * 7) % 250}`,
        'outbound',
        50,
        1_000_000 - at * 3,
      ],
    ),
  );
}

describe('addresses', () => {
  it.each([
    ['10.1.2.3', true],
    ['172.16.0.1', true],
    ['172.32.0.1', false],
    ['192.168.1.1', true],
    ['100.64.0.1', true],
    ['169.254.1.1', true],
    ['224.0.0.251', true],
    ['198.51.100.1', false],
    ['fd00::1', true],
    ['fe80::1', true],
    ['::1', true],
    ['2001:db8::1', false],
  ])('%s is private: %s', (ip, is) => expect(isPrivate(ip)).toBe(is));

  it.each([
    ['224.0.0.251', true],
    ['239.255.255.250', true],
    ['255.255.255.255', true],
    ['ff02::fb', true],
    ['240.0.0.1', false],
    ['10.0.0.255', false],
    ['fe80::1', false],
  ])('%s is a group: %s', (ip, is) => expect(isGroup(ip)).toBe(is));

  it.each([
    ['198.51.100.7', '198.51.100.0/24'],
    ['2001:db8::1', '2001:db8::/48'],
    ['2001:db8:1:2::1', '2001:db8:1::/48'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::/48'],
    ['::ffff:1', '::/48'],
  ])('%s is of %s', (ip, network) => expect(networkOf(ip)).toBe(network));
});

describe('graph', () => {
  it('has hosts of ours one by one, and the world outside by what is known of it', () => {
    const graph = graphOf(
      answer(
        ['192.0.2.1', '198.51.100.1', 'outbound', 2, 100, 'web-01', '', '', '', '["https","ssh"]'],
        ['192.0.2.1', '198.51.100.2', 'outbound', 1, 50, 'web-01', '', '', '', '["dns","https"]'],
        ['192.0.2.1', '203.0.113.1', 'outbound', 1, 10, 'web-01', '64500', 'Example Transit'],
        ['192.0.2.1', '203.0.113.9', 'outbound', 1, 5, 'web-01', '', '', 'DE'],
        ['203.0.113.5', '192.0.2.1', '', 1, 1],
      ),
    );
    expect(graph.nodes.map(({ id, label, bytes, addresses }) => [id, label, bytes, addresses])).toEqual([
      ['ip:192.0.2.1', 'web-01', 166, 1],
      ['net:198.51.100.0/24', '198.51.100.0/24', 150, 2],
      ['as:64500', 'Example Transit', 10, 1],
      ['geo:DE', 'DE', 5, 1],
      ['net:203.0.113.0/24', '203.0.113.0/24', 1, 1],
    ]);
    const first = graph.edges[0];
    expect([first?.id, first?.bytes, first?.flows, first?.services]).toEqual([
      'ip:192.0.2.1>net:198.51.100.0/24',
      150,
      3,
      ['dns', 'https', 'ssh'],
    ]);
  });

  it('draws what there is no room for as one, and loses nothing', () => {
    const rows = busy(2000);
    const graph = graphOf(rows);
    const sum = (list: readonly { bytes: number; flows: number }[]) =>
      list.reduce((all, each) => [(all[0] ?? 0) + each.bytes, (all[1] ?? 0) + each.flows], [0, 0]);
    const all = rows.rows.reduce((total, row) => total + Number(row[4]), 0);
    expect(sum(graph.edges)).toEqual([all, 100_000]);
    expect(graph.nodes.length).toBeLessThanOrEqual(200);
    expect(graph.nodes.map((node) => node.id)).toContain('rest:in');
    expect(graph.nodes.map((node) => node.id)).toContain('rest:out');
  });

  it('keeps what findings name in sight, and colours it', () => {
    const light = answer(
      ['10.0.0.1', '198.51.100.1', 'outbound', 1, 900],
      ['10.0.0.2', '203.0.113.66', 'outbound', 1, 1],
    );
    const graph = graphOf(light, new Map([['203.0.113.66', { count: 2, gravity: 4 }]]), {
      inside: 1,
      outside: 1,
    });
    expect(graph.nodes.map(({ id, findings, gravity }) => [id, findings, gravity])).toEqual([
      ['ip:10.0.0.1', 0, 0],
      ['rest:in', 0, 0],
      ['net:198.51.100.0/24', 0, 0],
      ['net:203.0.113.0/24', 2, 4],
    ]);
    expect(graph.edges.map((edge) => edge.gravity)).toEqual([0, 4]);
    expect(gravityMark(4)?.sign).toBe('■');
    expect(gravityMark(0)).toBeNull();
  });

  it('reads what findings name', () => {
    const finding = {
      severity: 'high',
      type: 'finding.x',
      message: '',
      fields: { 'finding.observables.source.ip': '192.0.2.1', 'finding.observables.user.name': 'x' },
    };
    expect([...markedBy([finding, finding] as never)]).toEqual([['192.0.2.1', { count: 2, gravity: 4 }]]);
  });

  it('tells groups from hosts, by their address or by the frames', () => {
    const many = ['', '', '', '', '[]'] as const;
    const graph = graphOf(
      answer(
        ['10.0.0.1', '224.0.0.251', 'outbound', 1, 30, ...many],
        ['10.0.0.1', '10.0.0.255', 'outbound', 1, 20, ...many, 'ff:ff:ff:ff:ff:ff'],
        ['10.0.0.1', '10.0.0.2', 'outbound', 1, 10, ...many, '02:00:00:00:00:01'],
        ['10.0.0.1', '239.1.1.1', 'outbound', 1, 1, ...many],
      ),
      new Map(),
      { inside: 4, outside: 4 },
    );
    expect(graph.nodes.map(({ id, group }) => [id, group])).toEqual([
      ['ip:10.0.0.1', false],
      ['ip:224.0.0.251', true],
      ['ip:10.0.0.255', true],
      ['ip:10.0.0.2', false],
      ['rest:groups', true],
    ]);
  });

  it('is empty of nothing', () => {
    expect(graphOf(null)).toEqual({ nodes: [], edges: [], rest: new Map() });
    expect(graphOf(answer(['', '', '', 1, 1])).nodes).toEqual([]);
    expect(layout(graphOf(null)).nodes).toEqual([]);
  });

  it('says what an answer leaves out', () => {
    const total = { columns: ['flows', 'bytes'], rows: [['10', '2000']] };
    expect(leftOut(answer(['10.0.0.1', '10.0.0.2', '', 4, 500]), total)).toEqual({ flows: 6, bytes: 1500 });
    expect(leftOut(null, total)).toEqual({ flows: 0, bytes: 0 });
  });
});

describe('layout', () => {
  it('is the same each time, and no circle lies on another', () => {
    const once = layout(graphOf(busy(2000)));
    expect(layout(graphOf(busy(2000)))).toEqual(once);
    expect(once.edges.length).toBeLessThanOrEqual(400);
    for (const one of once.nodes) {
      for (const other of once.nodes) {
        if (one === other) continue;
        expect(Math.hypot(one.x - other.x, one.y - other.y)).toBeGreaterThan(one.r + other.r);
      }
      expect(one.y - one.r).toBeGreaterThan(0);
      expect(one.y + one.r).toBeLessThan(once.height);
    }
    expect(once.edges.every((edge) => !/NaN|undefined/.test(edge.path))).toBe(true);
  });

  it('makes circles larger by area', () => {
    const { nodes } = layout(
      graphOf(
        answer(
          ['10.0.0.1', '198.51.100.1', 'outbound', 1, 400],
          ['10.0.0.2', '198.51.100.1', 'outbound', 1, 100],
        ),
      ),
    );
    const [large = 0, small = 0] = nodes.filter((node) => node.inside).map((node) => node.r - 5);
    expect(large / small).toBeCloseTo(2);
  });

  it('has servers on the right where all hosts are of ours', () => {
    const { nodes } = layout(
      graphOf(
        answer(['10.0.0.1', '10.0.0.9', 'internal', 9, 100], ['10.0.0.2', '10.0.0.9', 'internal', 5, 100]),
      ),
    );
    const left = nodes.filter((node) => node.left).map((node) => node.id);
    expect(left.sort()).toEqual(['ip:10.0.0.1', 'ip:10.0.0.2']);
    expect(nodes.find((node) => !node.left)?.id).toBe('ip:10.0.0.9');
  });

  it('bows between hosts of one side, and of a host to itself', () => {
    const { edges } = layout(
      graphOf(
        answer(
          ['10.0.0.1', '10.0.0.2', 'internal', 1, 1],
          ['10.0.0.1', '10.0.0.1', 'internal', 1, 1],
          ['10.0.0.1', '198.51.100.1', 'outbound', 1, 1],
        ),
      ),
    );
    expect(edges).toHaveLength(3);
    expect(new Set(edges.map((edge) => edge.path)).size).toBe(3);
  });

  it.each([320, 366, 390, 700, 1200])('has names that can be read in a map %d px wide', (width) => {
    const graph = graphOf(busy(2000));
    const drawing = layout(graph, 400, shapeFor(width));
    const view = legible(drawing, { width, height: 380 });
    expect(view.scale).toBeGreaterThanOrEqual(readable);
    expect(view.scale).toBeLessThanOrEqual(1.25);
    expect(view.y).toBe(0);
    // Nothing lies beside it, names included.
    expect(drawing.width * view.scale).toBeLessThanOrEqual(width + 1);
    expect(drawing.characters).toBeGreaterThanOrEqual(13);
  });

  it('zooms about a point, within bounds', () => {
    const view = fitted({ width: 100, height: 400 }, { width: 200, height: 200 });
    expect(view).toEqual({ scale: 0.5, x: 75, y: 0 });
    const near = zoomed(view, 2, 100, 50);
    expect([(100 - near.x) / near.scale, (50 - near.y) / near.scale]).toEqual([
      (100 - view.x) / view.scale,
      (50 - view.y) / view.scale,
    ]);
    expect(zoomed(view, 100, 0, 0).scale).toBe(4);
    expect(zoomed(view, 0.0001, 0, 0).scale).toBe(0.2);
  });
});
