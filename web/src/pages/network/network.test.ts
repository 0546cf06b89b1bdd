import { describe, expect, it } from 'vitest';
import type { Event } from '$lib/api/types';
import { packetsOfFlow } from '$lib/packets/packets';
import { withoutCaptures } from '$lib/query/edit';
import { asksForCaptures, breakdowns, ended, flowQuery, openQuery, pairsQuery } from './asks';
import {
  bytesOf,
  directionTexts,
  durationOf,
  durationText,
  endpoint,
  flowText,
  flowValue,
  place,
} from './columns';
import { openFlows } from './open';
import { mostNamed, parseSelection, selectionFilter, selectionName } from './selection';
import { cellText } from './tabletext';
import { flowFilter, isOf, timeline, timelineQueries } from './timeline';

const event = (fields: Event['fields'], more: Partial<Event> = {}): Event => ({
  offset: 1,
  id: 'a',
  time: '2026-01-01T12:00:10Z',
  logged_time: '2026-01-01T12:00:10Z',
  type: 'flow.ended',
  severity: 'informational',
  host: 'web-01',
  observer: '',
  about: '',
  agent: 'synth_agent',
  agent_kind: 'synth',
  publisher: '',
  message: '',
  fields,
  ...more,
});

describe('packets and places', () => {
  it('asks for the packets of a flow while it went on, of who saw it', () => {
    const fields = { 'network.community_id': '1:x', 'event.start': '2026-01-01T12:00:00Z' };
    const ended = event(fields, { observer: 'gate' });
    expect(packetsOfFlow(ended)).toEqual({
      agent: 'synth_agent',
      host: 'gate',
      community_id: '1:x',
      since: '2026-01-01T11:59:55.000Z',
      until: '2026-01-01T12:00:15.000Z',
    });
    expect(packetsOfFlow(event(fields, { type: 'flow.created' }))?.until).toBeUndefined();
    expect(packetsOfFlow(event({}))).toBeNull();
    expect(packetsOfFlow(event({ ...fields, 'network.exporter.ip': '192.0.2.1' }))).toBeNull();
  });

  it('names the network of the peer', () => {
    expect(place({})).toBe('');
    expect(
      place({
        'source.geo.country_iso_code': 'DE',
        'destination.geo.country_iso_code': 'NL',
        'destination.as.number': 64496,
      }),
    ).toBe('NL AS64496');
    expect(place({ 'source.as.organization.name': 'Example Net', 'source.as.number': 64496 })).toBe(
      'Example Net',
    );
  });
});

describe('questions', () => {
  it('counts ended flows alone, whatever a person wrote', () => {
    const live = `${ended} ${withoutCaptures}`;
    expect(flowQuery('', '')).toBe(live);
    expect(flowQuery('*', '')).toBe(live);
    expect(flowQuery('a or b', 'source.ip:=192.0.2.1')).toBe(`(a or b\n) source.ip:=192.0.2.1 ${live}`);
    expect(flowQuery('app:ssh # a comment', '')).toBe(`(app:ssh # a comment\n) ${live}`);
    expect(flowQuery('app:ssh | limit 1', '')).toBe(`(app:ssh\n) ${live}`);
  });

  it('leaves out what was replayed, unless it is asked for', () => {
    expect(flowQuery('', '', true)).toBe(ended);
    expect(flowQuery('labels.capture:="a.pcap"', '')).toBe(`(labels.capture:="a.pcap"\n) ${ended}`);
    expect(asksForCaptures('-labels.capture:a or x')).toBe(true);
    expect(asksForCaptures('labels.captures:a')).toBe(false);
    expect(openQuery('', '')).toContain(withoutCaptures);
    expect(openQuery('', '', true)).not.toContain('labels');
  });

  it('sums both directions, and bounds what comes back', () => {
    for (const query of [
      pairsQuery(ended),
      openQuery('', ''),
      ...['apps', 'tls', 'ja4', 'dns'].flatMap((tab) => breakdowns(tab, ended, 0).map((each) => each.query)),
    ])
      expect(query).toMatch(/ limit \d+$/);
    expect(pairsQuery(ended)).toContain('sum(source.bytes, destination.bytes) bytes');
    expect(breakdowns('map', ended, 0)).toEqual([]);
  });

  it('asks for certificates that end within 30 days, up to the end of the last', () => {
    const at = Date.parse('2026-01-01T12:34:56Z');
    const query = breakdowns('tls', ended, at).find((each) => each.title.startsWith('Expired'))?.query;
    expect(query).toContain('tls.server.not_after:<2026-02-01T00:00:00Z');
  });
});

describe('selection', () => {
  it.each([
    ['', null, ''],
    ['nonsense', null, ''],
    ['ip:192.0.2.1>ip:192.0.2.2>ip:192.0.2.3', null, ''],
    ['ip:192.0.2.1', 1, '(source.ip:=192.0.2.1 or destination.ip:=192.0.2.1)'],
    ['ip:2001:db8::1', 1, '(source.ip:="2001:db8::1" or destination.ip:="2001:db8::1")'],
    ['net:198.51.100.0/24', 1, '(source.ip:198.51.100.0/24 or destination.ip:198.51.100.0/24)'],
    ['ip:192.0.2.1>net:2001:db8::/48', 2, 'source.ip:=192.0.2.1 destination.ip:"2001:db8::/48"'],
    ['ip:192.0.2.1>as:64500', 2, 'source.ip:=192.0.2.1 destination.as.number:=64500'],
    ['geo:DE', 1, '(source.geo.country_iso_code:=DE or destination.geo.country_iso_code:=DE)'],
    ['ip:192.0.2.1>rest:out', 2, 'source.ip:=192.0.2.1'],
    ['rest:in', 1, ''],
  ])('%s', (text, nodes, filter) => {
    const selection = parseSelection(text);
    expect(selection?.nodes.length ?? null).toBe(nodes);
    expect(selectionFilter(selection).filter).toBe(filter);
    expect(selectionFilter(selection).whole).toBe(!text.includes('rest:'));
  });

  it.each([
    ['ip:192.0.2.1>rest:out', 'source.ip:=192.0.2.1 destination.ip:in(198.51.100.7,"2001:db8::1")', true],
    ['rest:out>ip:192.0.2.1', 'source.ip:in(198.51.100.7,"2001:db8::1") destination.ip:=192.0.2.1', true],
    [
      'rest:out',
      '(source.ip:in(198.51.100.7,"2001:db8::1") or destination.ip:in(198.51.100.7,"2001:db8::1"))',
      true,
    ],
    ['rest:in>rest:out', 'destination.ip:in(198.51.100.7,"2001:db8::1")', false],
  ])('%s, where it is known what the rest was', (text, filter, whole) => {
    const rest = new Map([
      ['rest:out', ['198.51.100.7', '2001:db8::1']],
      ['rest:in', Array.from({ length: mostNamed + 1 }, (_, i) => `10.0.${i >> 8}.${i & 255}`)],
    ]);
    expect(selectionFilter(parseSelection(text), rest)).toEqual({ filter, whole });
  });

  it('has names', () => {
    expect(selectionName({ nodes: ['ip:192.0.2.1', 'as:64500'] })).toBe('192.0.2.1 → AS64500');
    expect(selectionName({ nodes: ['rest:out'] })).toBe('internet, others');
  });
});

describe('columns', () => {
  const flow = event({
    'source.ip': '192.0.2.1',
    'source.port': 50000,
    'destination.ip': '2001:db8::1',
    'destination.port': 443,
    'source.bytes': 1000,
    'destination.bytes': 2000,
    'source.packets': 3,
    'destination.packets': 4,
    'event.start': '2026-01-01T12:00:00Z',
    'event.end': '2026-01-01T12:00:10Z',
    app: 'https',
    'tls.client.server_name': 'www.example.com',
    'event.reason': 'fin',
  });

  it('show a flow', () => {
    const texts = ['source', 'destination', 'application', 'bytes', 'packets', 'duration', 'name', 'state'];
    expect(texts.map((key) => flowText(flow, key))).toEqual([
      '192.0.2.1:50000',
      '[2001:db8::1]:443',
      'https',
      '3.0 kB',
      '7',
      '10 s',
      'www.example.com',
      'fin',
    ]);
    expect(flowValue(flow, 'bytes')).toBe(3000);
    const sampled = event({ 'source.bytes': '3000', 'network.sampling_rate': '100' });
    expect(flowText(sampled, 'bytes')).toBe('≈ 3.0 kB');
    expect(flowValue(sampled, 'bytes')).toBe(3000);
    expect(flowValue(flow, 'duration')).toBe(10);
    expect(directionTexts(flow.fields)).toEqual([
      ['Sent by the source', '1.0 kB in 3 packets'],
      ['Sent by the destination', '2.0 kB in 4 packets'],
    ]);
    expect(directionTexts(event({ 'destination.packets': 1 }).fields)).toEqual([
      ['Sent by the destination', '0 B in 1 packet'],
    ]);
  });

  it('say nothing of what is not known', () => {
    const bare = event({});
    expect(endpoint(bare.fields, 'source')).toBe('');
    expect(bytesOf(bare.fields)).toBe(0);
    expect(durationOf(bare.fields)).toBeNull();
    expect(durationText(null)).toBe('');
    expect(durationText(0.25)).toBe('0.25 ms');
    expect(endpoint({ 'source.ip': '192.0.2.1', 'source.port': 0 }, 'source')).toBe('192.0.2.1');
  });

  it('of breakdowns have their units', () => {
    expect(cellText('bytes', '1500', true)).toBe('1.5 kB');
    expect(cellText('median', '2500000', true)).toBe('2.5 ms');
    expect(cellText('share', '12.345', true)).toBe('12.3%');
    expect(cellText('bytes', '', true)).toBe('–');
    expect(cellText('tls.version', '1.3', true)).toBe('1.3');
    expect(cellText('tls.server.not_after', '2026-02-01T00:00:00Z', true)).toBe('2026-02-01 00:00:00');
  });
});

it('reads open flows, the heaviest first', () => {
  const columns = [
    'source.ip',
    'source.port',
    'destination.ip',
    'newest',
    'out_bytes',
    'in_bytes',
    'event.start',
  ];
  const flows = openFlows({
    columns,
    rows: [
      ['192.0.2.1', '50000', '192.0.2.9', '7', '', '', '2026-01-01T12:00:00Z'],
      ['192.0.2.2', '', '192.0.2.9', '9', '10', '20', ''],
    ],
  });
  expect(flows.map(({ offset, bytes, since, source }) => [offset, bytes, since, source])).toEqual([
    [9, 30, null, '192.0.2.2'],
    [7, 0, Date.parse('2026-01-01T12:00:00Z'), '192.0.2.1:50000'],
  ]);
  expect(openFlows(null)).toEqual([]);
});

describe('timeline', () => {
  const flow = event({
    'source.ip': '192.0.2.1',
    'source.port': 50000,
    'destination.ip': '198.51.100.1',
    'destination.port': 443,
    'event.start': '2026-01-01T12:00:00Z',
    'event.end': '2026-01-01T12:00:10Z',
  });

  it('looks for a flow by its community id, or by its ends', () => {
    expect(flowFilter(flow)).toBe(
      'source.ip:=192.0.2.1 source.port:=50000 destination.ip:=198.51.100.1 destination.port:=443',
    );
    const known = event({ ...flow.fields, 'network.community_id': '1:abc=' });
    expect(flowFilter(known)).toBe('network.community_id:="1:abc="');
    expect(timelineQueries(known).findings?.query).toBe(
      'type:finding.* ("192.0.2.1" or "198.51.100.1" or "1:abc=")',
    );
    const { own, named } = timelineQueries(flow);
    expect([own.since, own.until]).toEqual(['2026-01-01T11:59:00.000Z', '2026-01-01T12:01:10.000Z']);
    expect(named?.query).toBe('dns.answers.data:=198.51.100.1 source.ip:=192.0.2.1');
    expect(timelineQueries(event({})).findings).toBeNull();
  });

  it('takes a finding for that of a flow only where both ends and the port fit', () => {
    const found = (observables: Record<string, string>) =>
      event(
        Object.fromEntries(
          Object.entries(observables).map(([name, value]) => [`finding.observables.${name}`, value]),
        ),
        { type: 'finding.flow.port_scan' },
      );
    const ends = { 'source.ip': '192.0.2.1', 'destination.ip': '198.51.100.1' };
    expect(isOf(found(ends), flow)).toBe(true);
    expect(isOf(found({ ...ends, 'destination.port': '443' }), flow)).toBe(true);
    expect(isOf(found({ ...ends, 'destination.port': '80' }), flow)).toBe(false);
    expect(isOf(found({ ...ends, 'destination.ip': '198.51.100.2' }), flow)).toBe(false);
    expect(isOf(found({ 'source.ip': '192.0.2.1' }), flow)).toBe(false);
    expect(isOf(found({ ...ends, 'network.community_id': '1:other=' }), flow)).toBe(false);
    expect(isOf(found({}), flow)).toBe(false);
  });

  it('puts all into the order of time, each once', () => {
    const at = (offset: number, time: string) => event({}, { offset, time });
    const own = [at(3, '2026-01-01T12:00:10Z'), at(2, '2026-01-01T12:00:00Z')];
    const entries = timeline(own, [at(1, '2026-01-01T11:59:59Z')], [at(3, '2026-01-01T12:00:10Z')]);
    expect(entries.map(({ event, kind }) => [event.offset, kind])).toEqual([
      [1, 'dns'],
      [2, 'flow'],
      [3, 'finding'],
    ]);
  });
});
