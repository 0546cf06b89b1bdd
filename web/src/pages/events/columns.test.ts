import { describe, expect, it } from 'vitest';
import { columnsFor, facetText, subject } from './columns';

describe('whom an event is about', () => {
  it.each([
    ['its own host', { host: 'vm', observer: '', about: '' }, 'vm'],
    ['another host', { host: 'web-1', observer: 'vm', about: '' }, 'about web-1, seen by vm'],
    ['a device', { host: '', observer: 'vm', about: 'switch-1' }, 'about switch-1, seen by vm'],
    [
      'a device beside a host',
      { host: 'web-1', observer: 'vm', about: 'disk-1' },
      'about disk-1, seen by vm',
    ],
  ])('%s', (_, event, text) => {
    expect(subject(event)).toBe(text);
  });
});

describe('a value among the commonest', () => {
  it.each([
    ['publisher', 'spiffe://amoskys.local/agent/web-1/synth_agent', 'agent/web-1/synth_agent'],
    ['publisher', 'elsewhere', 'elsewhere'],
    ['process.name', 'spiffe://amoskys.local/agent/web-1', 'spiffe://amoskys.local/agent/web-1'],
  ])('%s %s', (field, value, text) => {
    expect(facetText(field, value)).toBe(text);
  });
});

describe('columns of a narrow screen', () => {
  it('have the message in sight', () => {
    const columns = columnsFor(['time', 'severity', 'type', 'host', 'message'], 'local', true);
    expect(columns.map((column) => column.key)).toEqual(['time', 'severity', 'message', 'type', 'host']);
    expect(columns.slice(0, 3).reduce((sum, column) => sum + column.width, 0)).toBeLessThanOrEqual(390);
  });
});
