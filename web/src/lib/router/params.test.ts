import { describe, expect, it } from 'vitest';
import { apply, flag, list, oneOf, parseAll, text, whole } from './params';

const schema = {
  q: text(),
  event: whole(),
  live: flag(true),
  tab: oneOf(['fields', 'raw'], 'fields'),
  cols: list(['time', 'type']),
};

describe('page state in the address', () => {
  it('gives defaults for an empty address', () => {
    expect(parseAll(schema, new URLSearchParams())).toEqual({
      q: '',
      event: null,
      live: true,
      tab: 'fields',
      cols: ['time', 'type'],
    });
  });

  it('refuses values it does not know', () => {
    const values = parseAll(schema, new URLSearchParams('tab=<script>&event=-1e9&live=yes'));
    expect(values).toMatchObject({ tab: 'fields', event: null, live: false });
  });

  it('survives the way out and back', () => {
    const changes = { q: 'type:"a b" & c', event: 12, live: false, tab: 'raw', cols: ['host'] } as const;
    const params = apply(schema, new URLSearchParams(), changes);
    expect(parseAll(schema, new URLSearchParams(params.toString()))).toEqual(changes);
  });

  it('leaves defaults out and keeps what is not its own', () => {
    const params = apply(schema, new URLSearchParams('range=1h&q=x&live=0'), { q: '', live: true });
    expect(params.toString()).toBe('range=1h');
  });
});
