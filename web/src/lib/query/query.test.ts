import { describe, expect, it } from 'vitest';
import { hasFilter, quote, withFilter, withoutFilter } from './edit';
import { joinPipes, splitPipes, tokenize } from './tokens';

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
    ['a|limit 3', ['word:a', 'pipe:|', 'word:limit', 'word:3']],
    ['host:a|b', ['field:host', 'value:a', 'pipe:|', 'word:b']],
  ])('reads %s', (query, expected) => {
    expect(kinds(query)).toEqual(expected);
  });

  it('always comes to an end and covers what it read', () => {
    for (const query of ['((((', '"""', '- - -', 'a:b:c', 'in(', 'f:in(', '\\', 'a:"\\']) {
      for (const token of tokenize(query)) expect(token.end).toBeGreaterThanOrEqual(token.start);
    }
  });
});

describe('pipes', () => {
  it.each([
    ['host:a', 'host:a', ''],
    [' host:a | limit 3', 'host:a', '| limit 3'],
    ['a:~"x|y" | top 3 by (a)', 'a:~"x|y"', '| top 3 by (a)'],
    ['a:in(b | fields a) c', 'a:in(b | fields a) c', ''],
    ['(a | b) | c', '(a | b)', '| c'],
    ['| limit 1', '', '| limit 1'],
  ])('%s', (query, filter, pipes) => {
    expect(splitPipes(query)).toEqual({ filter, pipes });
  });

  it('have everything before them where nothing stands', () => {
    expect(joinPipes('', '| limit 1')).toBe('* | limit 1');
    expect(joinPipes(' a ', '')).toBe('a');
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
    ['* | limit 3', 'host', 'x', false, 'host:=x | limit 3'],
    ['a OR b | limit 3', 'host', 'x', true, '(a OR b) -host:=x | limit 3'],
  ])('%s with %s=%s', (query, field, value, exclude, expected) => {
    expect(withFilter(query, field, value, exclude)).toBe(expected);
  });

  it('takes a filter out again', () => {
    const query = withFilter('sshd', 'host', 'web 1');
    expect(hasFilter(query, 'host', 'web 1')).toBe(true);
    expect(withoutFilter(query, 'host', 'web 1')).toBe('sshd');
  });

  it('takes the last filter before pipes out', () => {
    expect(hasFilter('host:=x | limit 3', 'host', 'x')).toBe(true);
    expect(hasFilter('* | filter host:=x', 'host', 'x')).toBe(false);
    expect(withoutFilter('host:=x | limit 3', 'host', 'x')).toBe('* | limit 3');
  });

  it('quotes whatever could be read as syntax', () => {
    expect(quote('-x')).toBe('"-x"');
    expect(quote('a*')).toBe('"a*"');
    expect(quote('C:\\a')).toBe('"C:\\\\a"');
  });
});
