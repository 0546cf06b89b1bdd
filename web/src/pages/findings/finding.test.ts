import { describe, expect, it } from 'vitest';
import type { Event } from '$lib/api/types';
import { addressesOf, evidenceQuery, findingOf, flowsQuery, isAddress } from './finding';

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
