/**
 * The characters that a reader does not see although they change what is read:
 * controls, zero-width marks, marks of direction (CVE-2021-42574), fillers, tags.
 * The program has the same table in internal/cli/marks.go; its testdata/marks.json
 * is the test of both.
 */
const hidden =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: each stands for itself
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u{0}-\u{1f}\u{7f}-\u{9f}\u{ad}\u{34f}\u{61c}\u{115f}-\u{1160}\u{17b4}-\u{17b5}\u{180b}-\u{180f}\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2060}-\u{206f}\u{3164}\u{feff}\u{ffa0}\u{fff0}-\u{fffb}\u{fffd}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}\u{d800}-\u{dfff}]/gu;

/** A text from outside with what would not be seen in it shown, as ⟨U+202E⟩. */
export function shown(text: string): string {
  return text.replace(hidden, (mark) => {
    const code = (mark.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    return `⟨U+${code}⟩`;
  });
}

/** The same for text of several lines that are its own. */
export function shownLines(text: string): string {
  return text.split('\n').map(shown).join('\n');
}
