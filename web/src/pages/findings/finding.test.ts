import { describe, expect, it } from 'vitest';
import type { Event } from '$lib/api/types';
import {
  addressesOf,
  evidenceQuery,
  findingOf,
  flowsQuery,
  foundQuery,
  isAddress,
  narrowed,
  packetsOfFinding,
  toldOf,
} from './finding';

const finding = (fields: Event['fields']) =>
  findingOf({ message: 'a message', type: 'finding.synth.x', fields } as Event);

describe('findings', () => {
  it('say what they point at', () => {
    const found = finding({
      'finding.title': 'A scan',
      technique: ['T1046'],
      'finding.evidence': 'one',
      'finding.observables.source.ip': '203.0.113.7',
      'finding.observables.process.name': 'nmap',
    });
    expect(found.title).toBe('A scan');
    expect(found.techniques).toEqual(['T1046']);
    expect(evidenceQuery(found)).toBe('id:in(one)');
    expect(addressesOf(found)).toEqual(['203.0.113.7']);
    expect(flowsQuery(found)).toBe('(source.ip:=203.0.113.7 or destination.ip:=203.0.113.7)');
  });

  it('may say next to nothing', () => {
    const found = finding({});
    expect(found.title).toBe('a message');
    expect(evidenceQuery(found)).toBe('');
    expect(flowsQuery(found)).toBe('');
  });

  it('lead to the one flow where they name it', () => {
    const found = finding({ 'finding.observables.network.community_id': '1:abc=' });
    expect(flowsQuery(found)).toBe('network.community_id:="1:abc="');
  });

  it('lead to the packets of their flow, or between the ends that they name', () => {
    const packets = (fields: Event['fields'], kind = 'flow') => {
      const event = {
        type: 'finding.flow.x',
        time: '2026-01-01T12:00:00Z',
        agent: 'a',
        agent_kind: kind,
        host: 'h',
        observer: '',
        fields,
      };
      return packetsOfFinding(event as Event, finding(fields));
    };
    const span = {
      agent: 'a',
      host: 'h',
      since: '2026-01-01T11:00:00.000Z',
      until: '2026-01-01T12:00:05.000Z',
    };
    const ends = {
      'finding.observables.source.ip': '192.0.2.1',
      'finding.observables.destination.ip': '192.0.2.2',
    };
    expect(packets(ends)).toEqual({ ...span, address: '192.0.2.1', peer: '192.0.2.2' });
    expect(packets({ ...ends, 'finding.observables.network.community_id': '1:x' })).toEqual({
      ...span,
      community_id: '1:x',
    });
    expect(packets({ 'finding.observables.observer.ingress.interface.name': 'eth0' })).toBeNull();
    expect(packets(ends, 'hub')).toBeNull();
  });

  it('are one however often they are told', () => {
    const told = (id: string, time: string, fields: Event['fields']) => ({ id, time, fields }) as Event;
    const of = toldOf([
      told('4', '2026-01-01T12:03:00Z', { 'finding.id': 'a', 'finding.status': 'resolved' }),
      told('3', '2026-01-01T12:02:00Z', {}),
      told('2', '2026-01-01T12:01:00Z', { 'finding.id': 'a' }),
      told('1', '2026-01-01T12:00:00Z', {}),
    ]);
    expect(of.map(({ event, times, since, ended }) => [event.id, times, since, ended])).toEqual([
      ['4', 2, '2026-01-01T12:01:00Z', true],
      ['3', 1, '2026-01-01T12:02:00Z', false],
      ['1', 1, '2026-01-01T12:00:00Z', false],
    ]);
  });

  it.each([
    ['any', 'any', 'type:finding.* x:y'],
    ['high', 'any', 'type:finding.* x:y severity:>=high'],
    ['any', 'metric', 'type:finding.metric* x:y'],
    ['low', 'hub', 'type:finding.hub* x:y severity:>=low'],
  ])('are narrowed to severity %s and kind %s', (severity, kind, query) => {
    expect(narrowed('type:finding.* x:y', severity, kind)).toBe(query);
  });

  it('are those of replayed captures only where they are asked for', () => {
    expect(narrowed(foundQuery(false), 'high', 'flow')).toBe(
      'type:finding.flow* -labels.capture:* severity:>=high',
    );
    expect(foundQuery(true)).toBe('type:finding.*');
  });

  it.each([
    ['192.0.2.1', true],
    ['2001:db8::1', true],
    ['00:00:5e:00:53:01', false],
    ['nmap', false],
    ['12:30', false],
    ['', false],
  ])('knows whether %s is an address', (text, is) => {
    expect(isAddress(text)).toBe(is);
  });
});
