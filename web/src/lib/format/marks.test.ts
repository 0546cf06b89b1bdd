import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { shown, shownLines } from './marks';

const file = new URL('../../../../internal/cli/testdata/marks.json', import.meta.url);
const cases = JSON.parse(readFileSync(file, 'utf8')) as { name: string; text: string; shown: string }[];

describe('marks that are not seen', () => {
  it.each(cases)('$name', ({ text, shown: wanted }) => {
    expect(shown(text)).toBe(wanted);
  });

  it('shows half a character, and keeps lines that are meant', () => {
    expect(shown('a\ud800b')).toBe('a⟨U+D800⟩b');
    expect(shownLines('a\n\u202eb')).toBe('a\n⟨U+202E⟩b');
  });
});
