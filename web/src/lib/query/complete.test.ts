import { describe, expect, it } from 'vitest';
import type { CompletionOption } from '../api/types';
import { lackOf, mended, noteOf, taken } from './complete';

const option = (text: string, more: Partial<CompletionOption> = {}): CompletionOption => ({
  text,
  label: text.trim(),
  kind: 'value',
  about: '',
  ...more,
});

describe('completion', () => {
  it.each([
    ['type:pro', 5, 8, '=process.exit ', 'type:=process.exit |'],
    ['type:pro sshd', 5, 8, '=process.exit ', 'type:=process.exit |sshd'],
    ['ho', 0, 2, 'host:', 'host:|'],
    ['a  b', 2, 2, 'and ', 'a and |b'],
    ['ü😀 ho', 4, 6, 'host:', 'ü😀 host:|'],
  ])('puts what was taken in its place, and the caret behind it', (query, from, to, text, after) => {
    const now = taken({ query, caret: to }, { from, to }, option(text));
    expect(`${now.query.slice(0, now.caret)}|${now.query.slice(now.caret)}`).toBe(after);
  });

  it('mends what was misspelled', () => {
    expect(mended('a proces.name:x', { from: 2, to: 13, text: 'process.name' })).toBe('a process.name:x');
  });

  it('says where an option is, and what is lacking', () => {
    expect(noteOf(option('a', { about: 'keyword' }))).toBe('keyword');
    expect(noteOf(option('a', { about: 'keyword', events: 0 }))).toBe('none in this range · keyword');
    expect(noteOf(option('a', { events: 1 }))).toBe('1 event');
    expect(lackOf('complete')).toBe('');
    expect(lackOf('away')).toContain('away');
  });
});
