import { describe, expect, it } from 'vitest';
import { asksReadings, searchOf } from './ask';

describe('searches', () => {
  it.each([
    ['', false, false],
    ['', true, true],
    ['type:=process.sample', false, true],
    ['type:=snmp.reading', false, true],
    ['type:=hub.health', false, true],
    ['host:=web-1 sshd', false, false],
    ['* | stats by (host) avg(cpu) cpu', false, true],
  ])('%s, with readings of processes shown: %s, are of readings: %s', (query, shown, want) => {
    expect(asksReadings(searchOf(query, shown))).toBe(want);
  });
});
