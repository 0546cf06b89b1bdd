import { describe, expect, it } from 'vitest';
import { complete, type Knowledge } from './complete';
import { hasFilter, quote, withFilter, withoutFilter } from './edit';
import { tokenize } from './tokens';

describe('tokenize', () => {
  const kinds = (query: string) => tokenize(query).map((token) => `${token.kind}:${token.text}`);

  it.each([
    ['sshd', ['word:sshd']],
    ['type:process.execution', ['field:type', 'value:process.execution']],
    ['a AND -host:=web', ['word:a', 'operator:AND', 'operator:-', 'field:host', 'value:=web']],
    [
      'message:"a b\\" c" (x OR y)',
      ['field:message', 'value:"a b\\" c"', 'paren:(', 'word:x', 'operator:OR', 'word:y', 'paren:)'],
    ],
    ['!a !host:b', ['operator:!', 'word:a', 'operator:!', 'field:host', 'value:b']],
    [`host:'a b' \`c d\``, ['field:host', "value:'a b'", 'word:`c d`']],
    ['pid:in(1,2) z', ['field:pid', 'value:in(1,2)', 'word:z']],
    ['"open', ['word:"open']],
    [':', ['word::']],
    ['host:', ['field:host', 'value:']],
  ])('reads %s', (query, expected) => {
    expect(kinds(query)).toEqual(expected);
  });

  it('always comes to an end and covers what it read', () => {
    for (const query of ['((((', '"""', '- - -', 'a:b:c', 'in(', 'f:in(', '\\', 'a:"\\']) {
      for (const token of tokenize(query)) expect(token.end).toBeGreaterThanOrEqual(token.start);
    }
  });
});

describe('filters', () => {
  it.each([
    ['', 'host', 'web-01', false, 'host:=web-01'],
    ['sshd', 'host', 'web-01', false, 'sshd host:=web-01'],
    ['a OR b', 'host', 'x', false, '(a OR b) host:=x'],
    ['(a OR b) c', 'host', 'x', false, '(a OR b) c host:=x'],
    ['host:=x', 'host', 'x', false, 'host:=x'],
    ['host:=x a', 'host', 'x', true, 'a -host:=x'],
    ['-host:=x a', 'host', 'x', false, 'a host:=x'],
    ['', 'process.command_line', 'sh -c "a"', false, 'process.command_line:="sh -c \\"a\\""'],
    ['', 'pid', 12, true, '-pid:=12'],
  ])('%s with %s=%s', (query, field, value, exclude, expected) => {
    expect(withFilter(query, field, value, exclude)).toBe(expected);
  });

  it('takes a filter out again', () => {
    const query = withFilter('sshd', 'host', 'web 1');
    expect(hasFilter(query, 'host', 'web 1')).toBe(true);
    expect(withoutFilter(query, 'host', 'web 1')).toBe('sshd');
  });

  it('quotes whatever could be read as syntax', () => {
    expect(quote('-x')).toBe('"-x"');
    expect(quote('a*')).toBe('"a*"');
    expect(quote('C:\\a')).toBe('"C:\\\\a"');
  });
});

describe('complete', () => {
  const known: Knowledge = {
    fields: [
      { name: 'type', type: 'keyword', description: 'Kind of event', example_values: ['process.exit'] },
      { name: 'process.name', type: 'keyword', description: 'Name' },
    ],
    facets: [{ field: 'type', distinct: 1, values: [{ value: 'process.execution', count: 7 }] }],
  };
  const labels = (query: string, caret = query.length) =>
    complete(query, caret, known).map((each) => each.label);

  it('offers fields for a word', () => {
    expect(labels('na')).toEqual(['process.name:']);
    expect(labels('sshd ')).toEqual(['type:', 'process.name:']);
  });

  it('offers values seen before values known', () => {
    expect(labels('type:')).toEqual(['process.execution', 'process.exit']);
    expect(labels('type:=process.ex')).toEqual(['process.execution', 'process.exit']);
  });

  it('puts the value in its place and the caret behind it', () => {
    const [first] = complete('type:pro sshd', 8, known);
    expect(first).toMatchObject({ query: 'type:=process.execution sshd', caret: 24 });
  });

  it('offers nothing behind a bracket', () => {
    expect(labels('(')).toEqual([]);
  });
});
